//! What an attacker may do, and what counts as success.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tensor::{Norm, Rng};

/// Parameters that attacks inside a ball share.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Ball {
    /// The norm of the perturbation.
    pub(super) norm: Norm,
    /// Its largest size, in units of the input as read (pictures: of [0, 1]). If left out, what the field takes for
    /// pictures: 8/255 for linf, 0.5 for l2, 12 for l1.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["epsilon", "radius"]))]
    pub(super) eps: Option<f64>,
    /// The class to be predicted: an index, `least_likely`, or `random`; `none` for any wrong one.
    pub(super) target: Goal,
    /// Queries about a case, forward and gradient together, after which no step begins; no bound if left out.
    #[schemars(range(min = 1))]
    pub(super) query_budget: Option<u64>,
}

impl Ball {
    pub(super) fn threat(&self) -> Threat {
        let usual = match self.norm {
            Norm::Linf => 8.0 / 255.0,
            Norm::L2 => 0.5,
            Norm::L1 => 12.0,
        };
        Threat { norm: self.norm, eps: Some(self.eps.unwrap_or(usual)), goal: self.target, budget: self.query_budget }
    }
}

/// Parameters that attacks share which look for the smallest perturbation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Nearest {
    /// The largest size that counts, in units of the input as read; without it, every size does, and the sizes make a
    /// robustness curve.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["epsilon", "radius"]))]
    pub(super) eps: Option<f64>,
    /// The class to be predicted: an index, `least_likely`, or `random`; `none` for any wrong one.
    pub(super) target: Goal,
    /// Queries about a case, forward and gradient together, after which no step begins; no bound if left out.
    #[schemars(range(min = 1))]
    pub(super) query_budget: Option<u64>,
}

impl Nearest {
    pub(super) fn threat(&self, norm: Norm) -> Threat {
        Threat { norm, eps: self.eps, goal: self.target, budget: self.query_budget }
    }
}

/// What an attacker may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threat {
    pub norm: Norm,
    /// The radius of the ball; `None` for any, where the nearest witness is looked for.
    pub eps: Option<f64>,
    pub goal: Goal,
    /// Most queries about a case.
    pub budget: Option<u64>,
}

/// What rounding may add to a radius and to bounds, beside [`STEPS`].
const SLACK: f64 = 1e-6;

/// Rounding steps of float32 that a value may lie outside.
const STEPS: f64 = 4.0;

impl Threat {
    /// Whether `x` is inside the ball around `clean` and inside the bounds: up to 1e-6 and four float32 rounding steps
    /// of each value's own size.
    pub fn allows(&self, x: &[f32], clean: &[f32], [low, high]: [f32; 2]) -> bool {
        let step = |x: f32, c: f32| STEPS * f64::from(f32::EPSILON) * f64::from(x.abs().max(c.abs()));
        let bounded = x.iter().zip(clean).all(|(x, c)| {
            let slack = SLACK + step(*x, *c);
            x.is_finite() && f64::from(*x) >= f64::from(low) - slack && f64::from(*x) <= f64::from(high) + slack
        });
        let rounding = || match self.norm {
            // Of each value alone.
            Norm::Linf => 0.0,
            norm => norm.of(x.iter().zip(clean).filter(|(x, c)| x != c).map(|(x, c)| step(*x, *c))),
        };
        let excess = |(x, c): (&f32, &f32)| {
            let slack = if self.norm == Norm::Linf { step(*x, *c) } else { 0.0 };
            ((f64::from(*x) - f64::from(*c)).abs() - slack).max(0.0)
        };
        bounded && self.eps.is_none_or(|eps| self.norm.of(x.iter().zip(clean).map(excess)) <= eps + SLACK + rounding())
    }
}

/// Whether an attack wants any wrong class, or a certain one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// Any wrong class.
    #[default]
    Untargeted,
    /// The wrong class with the lowest clean score.
    LeastLikely,
    /// A wrong class drawn for each case.
    Random,
    /// This class; a case of which it is right is skipped.
    Class(usize),
}

impl Goal {
    /// The target of a case with these right classes and clean scores; `None` for any wrong one.
    pub fn of(self, right: &[usize], scores: &[f32], rng: &mut Rng) -> Option<usize> {
        let wrong: Vec<usize> = (0..scores.len()).filter(|class| !right.contains(class)).collect();
        match self {
            Self::Untargeted => None,
            Self::LeastLikely => wrong.into_iter().min_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b))),
            Self::Random if wrong.is_empty() => None,
            Self::Random => Some(wrong[rng.below(wrong.len())]),
            Self::Class(class) => Some(class),
        }
    }
}

/// Words for goals; another one is a class's index.
const WORDS: [(&str, Goal); 3] =
    [("none", Goal::Untargeted), ("least_likely", Goal::LeastLikely), ("random", Goal::Random)];

impl<'de> Deserialize<'de> for Goal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Class(usize),
            Word(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Class(class) => Ok(Self::Class(class)),
            Either::Word(word) => WORDS.iter().find(|(w, _)| *w == word).map(|(_, goal)| *goal).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{word}` was found, none, least_likely, random or a class was expected"
                ))
            }),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Class(class) => serializer.serialize_u64(*class as u64),
            word => serializer.serialize_str(WORDS.iter().find(|(_, goal)| goal == word).map_or("none", |(w, _)| w)),
        }
    }
}

impl JsonSchema for Goal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Goal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = WORDS.map(|(word, _)| word);
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "enum": words }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_allowed_and_more_is_not() {
        let threat = |norm| Threat { norm, eps: Some(0.3), goal: Goal::Untargeted, budget: None };
        let linf = threat(Norm::Linf);
        assert!(linf.allows(&[0.1 + 0.3, 0.0], &[0.1, 0.3], [0.0, 1.0]));
        assert!(!linf.allows(&[0.400_01, 0.0], &[0.1, 0.3], [0.0, 1.0]));
        assert!(!linf.allows(&[-0.001, 0.0], &[0.1, 0.3], [0.0, 1.0]));
        assert!(!linf.allows(&[f32::NAN, 0.0], &[0.1, 0.3], [0.0, 1.0]));
        // A step of float32 at 4000 is larger than 1e-6.
        assert!(linf.allows(&[4000.301], &[4000.0], [f32::NEG_INFINITY, f32::INFINITY]));
        assert!(threat(Norm::L2).allows(&[0.18, 0.24], &[0.0, 0.0], [0.0, 1.0]));
        assert!(!threat(Norm::L2).allows(&[0.3, 0.3], &[0.0, 0.0], [0.0, 1.0]));
        assert!(!threat(Norm::L1).allows(&[0.2, 0.2], &[0.0, 0.0], [0.0, 1.0]));
    }

    #[test]
    fn goals_are_read_and_found() {
        let goal = |json: &str| serde_json::from_str::<Goal>(json).unwrap();
        let mut rng = Rng::new(0, "goal", "0", 0);
        assert_eq!(goal("\"none\"").of(&[0], &[1.0, 0.0], &mut rng), None);
        assert_eq!(goal("\"least_likely\"").of(&[1], &[0.3, 0.1, 0.2], &mut rng), Some(2));
        assert_eq!(goal("3").of(&[1], &[0.3, 0.1, 0.2, 0.0], &mut rng), Some(3));
        assert!((0..50).all(|_| matches!(goal("\"random\"").of(&[1], &[0.3, 0.1, 0.2], &mut rng), Some(0 | 2))));
        assert!(serde_json::from_str::<Goal>("\"likely\"").is_err());
    }
}

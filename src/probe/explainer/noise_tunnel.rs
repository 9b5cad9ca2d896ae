//! An explainer over noisy copies of the case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::study::{Case, Explanation, Study};
use super::view::View;
use super::{Attributor, find};
use crate::engine::{Input, Spent};
use crate::error::{Error, Result};
use crate::tensor::Rng;

/// Parameters of what is added up over noise.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Tunnel {
    #[serde(flatten)]
    pub(super) view: View,
    /// What explains the noisy copies, as it does by default: `saliency` (with signs), `input_x_gradient`, or
    /// `integrated_gradients`.
    of: Inner,
    /// Noisy copies.
    #[schemars(range(min = 2, max = 10_000), extend("aliases" = ["nt_samples"]))]
    n_samples: u32,
    /// Standard deviation of the noise, as a share of the input's range, or of the case's own where none is declared.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0, "aliases" = ["stdevs"]))]
    stdev: f64,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self { view: View::default(), of: Inner::default(), n_samples: 25, stdev: 0.15 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Inner {
    #[default]
    Saliency,
    InputXGradient,
    IntegratedGradients,
}

/// First and second moments of the attributions of a case over the noise.
pub(super) struct Moments {
    pub(super) mean: Vec<f64>,
    /// Over n - 1.
    pub(super) variance: Vec<f64>,
    /// Noisy copies.
    pub(super) n: f64,
}

/// A mean and the sum of squared differences from it, value after value (Welford 1962): equal values differ by nothing.
#[derive(Clone, Copy, Default)]
struct Running {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Running {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        let from = value - self.mean;
        self.mean += from / self.n;
        self.squares += from * (value - self.mean);
    }
}

impl Tunnel {
    /// The explainer of the copies.
    fn inner(&self) -> Result<Attributor> {
        let (name, params) = match self.of {
            Inner::Saliency => ("saliency", json!({ "absolute": false })),
            Inner::InputXGradient => ("input_x_gradient", json!({})),
            Inner::IntegratedGradients => ("integrated_gradients", json!({})),
        };
        let entry = find(name).ok_or_else(|| Error::internal("noise tunnel", name))?;
        let none = Map::new();
        (entry.read)(if let Value::Object(params) = &params { params } else { &none })
    }

    /// Whether what explains the copies gives slopes.
    pub(super) fn slopes(&self) -> bool {
        self.of == Inner::Saliency
    }

    pub(super) fn cost(&self, input: &Input, background: u64) -> Spent {
        let each = self.inner().map_or(Spent::default(), |inner| inner.cost(input, background));
        let all = |count: u64| count.saturating_mul(u64::from(self.n_samples));
        Spent { forward: all(each.forward), gradient: all(each.gradient) }
    }

    /// The moments of each case of a study.
    pub(super) fn moments(&self, study: &Study<'_>) -> Result<Vec<Moments>> {
        let inner = self.inner()?;
        let mut rngs: Vec<Rng> = (0..study.cases.len()).map(|case| study.rng(case)).collect();
        let mut all: Vec<Vec<Running>> =
            study.cases.iter().map(|case| vec![Running::default(); case.x.len()]).collect();
        for _ in 0..self.n_samples {
            let noisy = |(case, rng): (&Case, &mut Rng)| Case {
                id: case.id.clone(),
                x: self.noisy(case, study.input(), rng),
                class: case.class,
                mask: None,
            };
            let cases: Vec<Case> = study.cases.iter().zip(&mut rngs).map(noisy).collect();
            let explanations = inner.study(&Study { cases: &cases, ..*study })?;
            for (running, explanation) in all.iter_mut().zip(explanations) {
                running.iter_mut().zip(explanation.attribution).for_each(|(one, a)| one.add(f64::from(a)));
            }
        }
        let n = f64::from(self.n_samples);
        let moments = |all: Vec<Running>| Moments {
            mean: all.iter().map(|one| one.mean).collect(),
            variance: all.iter().map(|one| one.squares / (n - 1.0)).collect(),
            n,
        };
        Ok(all.into_iter().map(moments).collect())
    }

    #[allow(clippy::cast_possible_truncation)]
    fn noisy(&self, case: &Case, input: &Input, rng: &mut Rng) -> Vec<f32> {
        let own = || {
            let (low, high) = case.x.iter().fold((f32::MAX, f32::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
            f64::from(high) - f64::from(low)
        };
        let spread = self.stdev * input.range.map_or_else(own, |[low, high]| high - low);
        case.x.iter().map(|x| x + (spread * rng.normal()) as f32).collect()
    }
}

impl Moments {
    /// The explanation whose attributions are the means: its residual is their mean standard error over the noise, and
    /// relative to their mean size.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn mean_explanation(&self) -> Explanation {
        let count = self.mean.len().max(1) as f64;
        let error = self.variance.iter().map(|v| (v / self.n).sqrt()).sum::<f64>() / count;
        let size = self.mean.iter().map(|m| m.abs()).sum::<f64>() / count;
        Explanation::new(self.mean.iter().map(|m| *m as f32).collect(), error, size)
    }

    /// The explanation whose attributions are the variances: its residual is their mean standard error as that of normal
    /// values, relative to their mean.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn variance_explanation(&self) -> Explanation {
        let mean = self.variance.iter().sum::<f64>() / self.variance.len().max(1) as f64;
        let error = mean * (2.0 / (self.n - 1.0)).sqrt();
        Explanation::new(self.variance.iter().map(|v| *v as f32).collect(), error, mean)
    }
}

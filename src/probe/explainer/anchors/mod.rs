//! A rule under which the answer stays.

mod beam;
mod bins;
mod bounds;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::beam::Beam;
use self::bins::{Bins, edges};
use super::Explainer;
use super::study::{Explanation, Study};
use super::view::View;
use super::words::{answer, class};
use crate::engine::{Input, OutputKind, Spent};
use crate::error::{Error, Result};
use crate::metric::mean_and_deviation;
use crate::probe::{Access, Kind, Probe};
use crate::tensor::{Rng, argmax};

/// A rule on a few features of a row under which the model gives the same answer whatever the others are.
///
/// A rule keeps features within the quarters of the background that the case lies in, such as `1 < x7 <= 2`. Its precision
/// is the share of drawn rows to which the model gives the class that is explained: rows of the background, in which
/// features that break the rule have the values of other rows that keep it. Rules grow feature by feature, the four most
/// precise of a length going on (beam search with KL-LUCB bounds); of those that are precise enough the one that covers
/// most is given, else the most precise. It is in the verdict's reason. A feature's attribution is what the rule loses of
/// its precision without it, 0 of those that it does not speak of. Measures: `anchor_precision`, of rows drawn anew,
/// `anchor_coverage`, the share of the background's rows that keep the rule, and `anchor_size`. The residual is what the
/// precision is below 1. It needs no more than labels.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Anchors {
    #[serde(flatten)]
    view: View,
    /// The share of drawn rows that must have the same answer.
    #[schemars(range(min = 0.5, max = 0.999), extend("aliases" = ["threshold"]))]
    precision: f64,
    /// The chance that a rule which is called precise enough is not.
    #[schemars(range(min = 1e-6, max = 0.5))]
    delta: f64,
    /// Features that a rule speaks of, at most.
    #[schemars(range(min = 1, max = 20), extend("aliases" = ["max_anchor_size"]))]
    size: usize,
    /// How far a value may lie from the case's for the same answer, where the model gives values. If left out, half the
    /// standard deviation of its values for the background's rows.
    #[schemars(extend("exclusiveMinimum" = 0))]
    tolerance: Option<f64>,
    /// Rows that are drawn for a case, at most.
    #[schemars(range(min = 5000, max = 1_000_000))]
    query_budget: usize,
}

impl Default for Anchors {
    fn default() -> Self {
        let view = View::default();
        Self { view, precision: 0.95, delta: 0.05, size: 6, tolerance: None, query_budget: 20_000 }
    }
}

/// Rows that are drawn for the precision of the rule that is found, and of the rule without each of its features.
const FINAL: usize = 500;
const WITHOUT: usize = 200;

/// Features of a row, at most: a rule of each is drawn for.
const MOST: usize = 512;

impl Anchors {
    /// How far an answer may be from the case's; 0 for classes.
    #[allow(clippy::cast_precision_loss)]
    fn tolerance(&self, study: &Study<'_>, case: usize) -> Result<f64> {
        match (study.target.kind(), self.tolerance) {
            (OutputKind::Value, Some(tolerance)) => Ok(tolerance),
            (OutputKind::Value, None) => {
                let background = study.background;
                let values = study.values_at(case, background.len(), |i, rows| rows.extend(&background[i]))?;
                Ok(mean_and_deviation(&values).1 / 2.0)
            }
            _ => Ok(0.0),
        }
    }

    /// Rows that the search may draw.
    fn searched(&self) -> usize {
        self.query_budget.saturating_sub(FINAL + WITHOUT * self.size)
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn case(&self, study: &Study<'_>, case: usize, edges: &[Vec<f32>]) -> Result<Explanation> {
        let own = &study.cases[case];
        let tolerance = self.tolerance(study, case)?;
        let is = study.scores_at(case, 1, |_, rows| rows.extend(&own.x), |scores| scores.to_vec())?;
        let is = is.into_iter().next().unwrap_or_default();
        let stays = |scores: &[f64]| match (study.target.kind(), scores.first().zip(is.first())) {
            (OutputKind::Value, Some((value, is))) => (value - is).abs() <= tolerance,
            _ => argmax(scores) == own.class,
        };
        let bins = Bins::new(&own.x, study.background, edges);
        let share = |rules: &[Vec<usize>], each: usize, rng: &mut Rng| -> Result<Vec<usize>> {
            let drawn = |i: usize, rows: &mut Vec<f32>| rows.extend(bins.draw(&rules[i / each], rng));
            let same = study.scores_at(case, rules.len() * each, drawn, |scores| stays(&scores.to_vec()))?;
            Ok(same.chunks(each).map(|same| same.iter().filter(|same| **same).count()).collect())
        };
        let mut rng = study.rng(case);
        let mut beam = Beam {
            precision: self.precision,
            delta: self.delta,
            size: self.size,
            features: &bins.features(),
            coverage: &|rule| bins.coverage(rule),
            draw: &mut |rules, each| share(rules, each, &mut rng),
            left: self.searched(),
        };
        let rule = beam.run()?;
        // Drawn anew: what was drawn to choose the rule speaks too well of it.
        let mut rng = Rng::new(study.seed, study.check, &own.id, 1);
        let rate = |stayed: Vec<usize>, n: usize| stayed.into_iter().map(move |count| count as f64 / n as f64);
        let features = rule.features;
        let precision = rate(share(std::slice::from_ref(&features), FINAL, &mut rng)?, FINAL).sum::<f64>();
        let without = |left: &usize| features.iter().copied().filter(|feature| feature != left).collect();
        let shorter: Vec<Vec<usize>> = features.iter().map(without).collect();
        let mut attribution = vec![0.0; own.x.len()];
        for (feature, less) in features.iter().zip(rate(share(&shorter, WITHOUT, &mut rng)?, WITHOUT)) {
            attribution[*feature] = (precision - less) as f32;
        }
        let if_so =
            if features.is_empty() { "whatever the row".to_owned() } else { bins.words(&features, study.input()) };
        let coverage = rule.coverage;
        let output = study.target.output();
        let said = if output.kind == OutputKind::Value { answer(&is, output) } else { class(own.class, output) };
        let words =
            format!("{if_so}: the answer stays {said} in {precision:.2} of drawn rows (coverage {coverage:.2})");
        let size = ("anchor_size", features.len() as f64);
        let measures = [("anchor_precision", precision), ("anchor_coverage", coverage), size];
        Ok(Explanation::new(attribution, 1.0 - precision, 1.0).saying(words, measures))
    }
}

impl Probe for Anchors {
    const NAME: &'static str = "anchors";
    const PAPER: &'static str =
        "Ribeiro, Singh and Guestrin, Anchors: High-Precision Model-Agnostic Explanations, AAAI 2018";
    const ACCESSES: &'static [Access] = &[Access::Label];
    const COST: &'static str = "query_budget + 1; of values + background";
    const KINDS: &'static [Kind] = &[Kind::Row];
}

impl Explainer for Anchors {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn fits(&self, input: &Input) -> Result<()> {
        if input.len() > MOST {
            let message = format!("{} features were found, at most {MOST} are explained", input.len());
            return Err(Error::invalid("name", message));
        }
        Ok(())
    }

    fn cost(&self, _: &Input, background: u64) -> Spent {
        Spent { forward: (self.query_budget as u64 + 1).saturating_add(background), gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let edges = edges(study.background, study.input().len());
        (0..study.cases.len()).map(|case| self.case(study, case, &edges)).collect()
    }
}

//! Gradients between the case and reference rows, at random places.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::study::{Case, Explanation, Study};
use super::view::View;
use crate::engine::{Input, Row, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};
use crate::tensor::Rng;

/// Gradients at random places between the case, with noise on it, and random rows of the background, times these ways.
///
/// A cheap estimate of Shapley values, as captum's `GradientShap`: the attributions add up to the score less its mean
/// over the background only on average, and the residual is how far those of these samples do not.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct GradientShap {
    #[serde(flatten)]
    view: View,
    /// Places where the gradient is taken.
    #[schemars(range(min = 1, max = 10_000))]
    n_samples: u32,
    /// Standard deviation of the noise on the case, in units of the input as read.
    #[schemars(range(min = 0.0), extend("aliases" = ["stdevs"]))]
    stdev: f64,
}

impl Default for GradientShap {
    fn default() -> Self {
        Self { view: View::default(), n_samples: 25, stdev: 0.0 }
    }
}

impl Probe for GradientShap {
    const NAME: &'static str = "gradient_shap";
    const PAPER: &'static str =
        "Lundberg and Lee, A Unified Approach to Interpreting Model Predictions, 2017 (arXiv:1705.07874)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "n_samples + background + 1";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for GradientShap {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn cost(&self, _: &Input, background: u64) -> Spent {
        Spent { forward: background.saturating_add(1), gradient: u64::from(self.n_samples) }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        between(study, |case, rng| {
            let way = |_| {
                let reference = rng.below(study.background.len());
                let noisy = |x: &f32| x + (self.stdev * rng.normal()) as f32;
                let x = if self.stdev > 0.0 { case.x.iter().map(noisy).collect() } else { case.x.clone() };
                Way { x, reference, place: rng.uniform() }
            };
            (0..self.n_samples).map(way).collect()
        })
    }
}

/// A place on the way from a row of the background to `x`: 0 is that row, 1 is `x`.
pub(super) struct Way {
    pub(super) x: Vec<f32>,
    pub(super) reference: usize,
    pub(super) place: f64,
}

/// The mean over ways of the gradient at the place times the way.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn between(
    study: &Study<'_>,
    mut ways: impl FnMut(&Case, &mut Rng) -> Vec<Way>,
) -> Result<Vec<Explanation>> {
    let clean = study.values(&study.rows(|case| case.x.clone()))?;
    let mut explanations = Vec::new();
    for (case, own) in study.cases.iter().enumerate() {
        let ways = ways(own, &mut study.rng(case));
        let mut sums = vec![0.0; own.x.len()];
        for some in ways.chunks(study.target.gradient_batch()) {
            let at = |way: &Way| {
                let between =
                    |(x, b): (&f32, &f32)| (f64::from(*b) + way.place * (f64::from(*x) - f64::from(*b))) as f32;
                Row { case, x: way.x.iter().zip(&study.background[way.reference]).map(between).collect() }
            };
            let mut of = some.iter();
            study.gradients(&some.iter().map(at).collect::<Vec<_>>(), |_, _, gradient| {
                let Some(way) = of.next() else { return };
                let reference = &study.background[way.reference];
                for (((sum, g), x), b) in sums.iter_mut().zip(gradient).zip(&way.x).zip(reference) {
                    *sum += f64::from(g) * (f64::from(*x) - f64::from(*b));
                }
            })?;
        }
        let attribution = sums.iter().map(|sum| (sum / ways.len() as f64) as f32).collect();
        let references = study.background.iter().map(|x| Row { case, x: x.clone() }).collect::<Vec<_>>();
        let mean = study.values(&references)?.iter().sum::<f64>() / references.len() as f64;
        explanations.push(Explanation::adding_up_to(clean[case] - mean, attribution));
    }
    Ok(explanations)
}

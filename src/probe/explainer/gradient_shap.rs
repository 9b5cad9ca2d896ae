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
        between(
            study,
            self.n_samples as usize,
            |_| (),
            |(), _, case, rng| {
                let reference = rng.below(study.background.len());
                let mut noise = || case.x.iter().map(|_| (self.stdev * rng.normal()) as f32).collect();
                let noise = (self.stdev > 0.0).then(&mut noise);
                Way { reference, noise, place: rng.uniform() }
            },
        )
    }
}

/// A place on the way from a row of the background to the case, with noise on it if there is some: 0 is that row, 1 the
/// case.
pub(super) struct Way {
    pub(super) reference: usize,
    pub(super) noise: Option<Vec<f32>>,
    pub(super) place: f64,
}

impl Way {
    /// How far each value goes on the way, and where it stands at the place.
    #[allow(clippy::cast_possible_truncation)]
    fn values<'a>(&'a self, x: &'a [f32], background: &'a [Vec<f32>]) -> impl Iterator<Item = (f64, f32)> + 'a {
        x.iter().zip(&background[self.reference]).enumerate().map(|(i, (x, b))| {
            let x = self.noise.as_ref().map_or(*x, |noise| x + noise[i]);
            let way = f64::from(x) - f64::from(*b);
            (way, (f64::from(*b) + self.place * way) as f32)
        })
    }
}

/// The mean over `count` ways of the gradient at the place times the way. `begin` draws what belongs to a case, `draw` its
/// ways, one after the other.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn between<S>(
    study: &Study<'_>,
    count: usize,
    begin: impl Fn(&mut Rng) -> S,
    draw: impl Fn(&S, usize, &Case, &mut Rng) -> Way,
) -> Result<Vec<Explanation>> {
    let (clean, batch) = (study.clean()?, study.target.gradient_batch());
    let mut explanations = Vec::new();
    for (case, own) in study.cases.iter().enumerate() {
        let mut rng = study.rng(case);
        let (state, mut sums) = (begin(&mut rng), vec![0.0; own.x.len()]);
        for start in (0..count).step_by(batch) {
            let some = start..count.min(start + batch);
            let ways: Vec<Way> = some.map(|i| draw(&state, i, own, &mut rng)).collect();
            let at = |way: &Way| way.values(&own.x, study.background).map(|(_, at)| at).collect();
            let rows: Vec<Row> = ways.iter().map(|way| Row { case, x: at(way) }).collect();
            let mut of = ways.iter();
            study.gradients(&rows, |_, _, gradient| {
                let Some(way) = of.next() else { return };
                let values = way.values(&own.x, study.background).zip(gradient);
                sums.iter_mut().zip(values).for_each(|(sum, ((way, _), g))| *sum += f64::from(g) * way);
            })?;
        }
        let attribution = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
        let background = study.background;
        let references = study.values_at(case, background.len(), |i, rows| rows.extend(&background[i]))?;
        let mean = references.iter().sum::<f64>() / references.len() as f64;
        explanations.push(Explanation::adding_up_to(clean[case] - mean, attribution));
    }
    Ok(explanations)
}

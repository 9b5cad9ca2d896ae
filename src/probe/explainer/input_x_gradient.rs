//! The gradient times the way from a baseline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// The gradient at the case times the way from a baseline: what a linear model would owe each value.
///
/// Integrated gradients of one step. The attributions of a linear model add up to the score less the baseline's; the
/// residual is how far those of this one do not.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct InputXGradient {
    #[serde(flatten)]
    view: View,
    /// What stands for a value that is not there, in units of the input as read: `zero`, `mean` (of each channel of a
    /// picture), `blurred` (a picture), `background` (the mean of its rows) or a number.
    baseline: Baseline,
}

impl Probe for InputXGradient {
    const NAME: &'static str = "input_x_gradient";
    const PAPER: &'static str = "Shrikumar et al., Not Just a Black Box: Learning Important Features Through Propagating Activation Differences, 2016 (arXiv:1605.01713)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "2";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for InputXGradient {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: 1, gradient: 1 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let (baselines, without) = self.baseline.asked(study)?;
        let mut explanations = Vec::new();
        study.gradients(&study.rows(|case| case.x.clone()), |row, value, gradient| {
            let way = row.x.iter().zip(&baselines[row.case].x).map(|(x, b)| x - b);
            let attribution = gradient.iter().zip(way).map(|(g, way)| g * way).collect();
            explanations.push(Explanation::adding_up_to(value - without[row.case], attribution));
        })?;
        Ok(explanations)
    }
}

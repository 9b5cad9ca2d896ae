//! The gradient itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// How steeply the score rises with each value: the gradient, or its size.
///
/// Cheap, and true only near the case: where the model is flat because it is sure, it says nothing. The residual is how
/// far the score is from what the gradient foretells of a step of size `radius` along its signs.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Saliency {
    #[serde(flatten)]
    view: View,
    /// Whether signs are left out.
    absolute: bool,
    /// The step that the residual is measured with, in units of the input as read.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    radius: f64,
}

impl Default for Saliency {
    fn default() -> Self {
        Self { view: View::default(), absolute: true, radius: 0.01 }
    }
}

impl Probe for Saliency {
    const NAME: &'static str = "saliency";
    const PAPER: &'static str = "Simonyan et al., Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps, 2013 (arXiv:1312.6034)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "2";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for Saliency {
    fn view(&self) -> View {
        self.view
    }

    fn slopes(&self) -> bool {
        true
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: 1, gradient: 1 }
    }

    #[allow(clippy::cast_possible_truncation)]
    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let mut found = Vec::new();
        study.gradients(&study.rows(|case| case.x.clone()), |_, value, gradient| found.push((value, gradient)))?;
        let radius = self.radius as f32;
        let mut gradients = found.iter();
        let step = |g: &f32| if *g == 0.0 { 0.0 } else { radius * g.signum() };
        let moved = study.rows(|case| {
            let steps = gradients.next().into_iter().flat_map(|(_, gradient)| gradient.iter().map(step));
            case.x.iter().zip(steps).map(|(x, step)| x + step).collect()
        });
        let after = study.values(&moved)?;
        let explanations = found.into_iter().zip(after).map(|((before, gradient), after)| {
            let foretold: f64 = gradient.iter().map(|g| f64::from(g.abs()) * self.radius).sum();
            let attribution = gradient.into_iter().map(|g| if self.absolute { g.abs() } else { g }).collect();
            Explanation::new(attribution, after - before - foretold, foretold)
        });
        Ok(explanations.collect())
    }
}

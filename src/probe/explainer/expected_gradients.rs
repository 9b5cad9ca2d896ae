//! Integrated gradients from every reference row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::gradient_shap::{Way, between};
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};
use crate::tensor::Rng;

/// The mean of integrated gradients over the background's rows as baselines, from samples spread evenly.
///
/// No baseline has to be chosen: a value that is not there is drawn from the background. Samples take the rows in turn,
/// in a random order, and one place in each of as many equal parts of the way, so that few say much. The residual is how
/// far the attributions are from adding up to the score less its mean over the background.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct ExpectedGradients {
    #[serde(flatten)]
    view: View,
    /// Places where the gradient is taken, over all rows of the background together.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["nsamples"]))]
    n_samples: u32,
}

impl Default for ExpectedGradients {
    fn default() -> Self {
        Self { view: View::default(), n_samples: 200 }
    }
}

impl Probe for ExpectedGradients {
    const NAME: &'static str = "expected_gradients";
    const PAPER: &'static str = "Erion et al., Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients, 2019 (arXiv:1906.10670)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "n_samples + background + 1";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for ExpectedGradients {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn cost(&self, _: &Input, background: u64) -> Spent {
        Spent { forward: background.saturating_add(1), gradient: u64::from(self.n_samples) }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let (rows, samples) = (study.background.len(), self.n_samples as usize);
        // Which part of the way a sample looks at has nothing to do with its row.
        let orders = |rng: &mut Rng| (rng.order(rows), rng.order(samples));
        between(study, samples, orders, |(order, parts), i, _, rng| {
            #[allow(clippy::cast_precision_loss)]
            let place = (parts[i] as f64 + rng.uniform()) / f64::from(self.n_samples);
            Way { reference: order[i % rows], noise: None, place }
        })
    }
}

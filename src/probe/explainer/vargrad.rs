//! The variance of explanations over noisy copies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::noise_tunnel::{Moments, Tunnel};
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// The variance of an explainer's attributions over noisy copies of the case: where the explanation is not steady.
///
/// Large where the model bends near the case. It has no sign and adds up to nothing; the residual is the standard error of
/// a variance of so many copies.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Vargrad {
    #[serde(flatten)]
    tunnel: Tunnel,
}

impl Probe for Vargrad {
    const NAME: &'static str = "vargrad";
    const PAPER: &'static str = "Adebayo et al., Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values, 2018 (arXiv:1810.03307)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "n_samples x that of its explainer";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for Vargrad {
    fn view(&self) -> View {
        self.tunnel.view
    }

    fn cost(&self, input: &Input, background: u64) -> Spent {
        self.tunnel.cost(input, background)
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        Ok(self.tunnel.moments(study)?.iter().map(Moments::variance_explanation).collect())
    }
}

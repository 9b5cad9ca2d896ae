//! The mean of explanations over noisy copies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::noise_tunnel::{Moments, Tunnel};
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// The mean of an explainer's attributions over noisy copies of the case: what is left when the noise of gradients is.
///
/// Sharper than the gradient alone, whose fine structure says little of the answer. The residual is the mean standard error
/// of the attributions, relative to their mean size: more copies make it smaller.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct SmoothGrad {
    #[serde(flatten)]
    tunnel: Tunnel,
}

impl Probe for SmoothGrad {
    const NAME: &'static str = "smooth_grad";
    const PAPER: &'static str = "Smilkov et al., SmoothGrad: removing noise by adding noise, 2017 (arXiv:1706.03825)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "n_samples x that of its explainer";
    const KINDS: &'static [Kind] = &[Kind::Floats];
}

impl Explainer for SmoothGrad {
    fn view(&self) -> View {
        self.tunnel.view
    }

    fn slopes(&self) -> bool {
        self.tunnel.slopes()
    }

    fn cost(&self, input: &Input, background: u64) -> Spent {
        self.tunnel.cost(input, background)
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        Ok(self.tunnel.moments(study)?.iter().map(Moments::mean_explanation).collect())
    }
}

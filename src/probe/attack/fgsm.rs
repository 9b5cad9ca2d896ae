//! One step along the gradient.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Objective};
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};

/// One step of size eps along the loss's gradient: the fast gradient sign method.
///
/// The cheapest attack with gradients, and a weak one: a model that holds against it has not shown much, and one that
/// holds better against stronger attacks hides its gradients. Cases that are wrong when clean are stepped on too.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Fgsm {
    #[serde(flatten)]
    ball: Ball,
    /// What is increased: `ce` (cross-entropy), `margin` or `dlr`.
    loss: Objective,
}

impl Probe for Fgsm {
    const NAME: &'static str = "fgsm";
    const PAPER: &'static str =
        "Goodfellow et al., Explaining and Harnessing Adversarial Examples, 2015 (arXiv:1412.6572)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "2";
}

impl Attack for Fgsm {
    const ONE_STEP: bool = true;

    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        Spent { forward: 1, gradient: 1 }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let (loss, size) = (self.loss.into(), search.eps());
        let ascent = Ascent { loss, steps: 1, size, random_start: false, momentum: 0.0 };
        ascent.walk(search, search.all(), 0)
    }
}

//! Steps with momentum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::Steps;
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};

/// BIM with momentum: the steps follow the sum of the gradients so far, each at length 1 in the L1 norm.
///
/// Its witnesses carry over to other models better than those of BIM and PGD.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct MiFgsm {
    #[serde(flatten)]
    ball: Ball,
    #[serde(flatten)]
    steps: Steps,
    /// Share of the earlier gradients' sum that goes on with each step.
    #[schemars(range(min = 0.0), extend("aliases" = ["decay"]))]
    momentum: f64,
}

impl Default for MiFgsm {
    fn default() -> Self {
        Self { ball: Ball::default(), steps: Steps::default(), momentum: 1.0 }
    }
}

impl Probe for MiFgsm {
    const NAME: &'static str = "mi_fgsm";
    const PAPER: &'static str = "Dong et al., Boosting Adversarial Attacks with Momentum, 2018 (arXiv:1710.06081)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = Steps::COST;
}

impl Attack for MiFgsm {
    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        self.steps.cost()
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        self.steps.walk(search, self.momentum)
    }
}

//! Steps with momentum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Objective};
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
    /// Number of steps.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    steps: u32,
    /// Size of a step, in units of the input; eps / 4 if left out.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["alpha", "eps_step"]))]
    step_size: Option<f64>,
    /// Share of the earlier gradients' sum that goes on with each step.
    #[schemars(range(min = 0.0), extend("aliases" = ["decay"]))]
    momentum: f64,
    /// What is increased: `ce` (cross-entropy), `margin` or `dlr`.
    loss: Objective,
}

impl Default for MiFgsm {
    fn default() -> Self {
        Self { ball: Ball::default(), steps: 10, step_size: None, momentum: 1.0, loss: Objective::Ce }
    }
}

impl Probe for MiFgsm {
    const NAME: &'static str = "mi_fgsm";
    const PAPER: &'static str = "Dong et al., Boosting Adversarial Attacks with Momentum, 2018 (arXiv:1710.06081)";
}

impl Attack for MiFgsm {
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "steps + 1";

    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        Spent { forward: 1, gradient: self.steps.into() }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let size = self.step_size.unwrap_or(search.eps() / 4.0);
        let (loss, steps, momentum) = (self.loss.into(), self.steps, self.momentum);
        let ascent = Ascent { loss, steps, size, random_start: false, momentum };
        ascent.walk(search, search.open(), 0)
    }
}

//! Steps along the gradient from random points.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Objective};
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};

/// Projected gradient descent: steps along the loss's gradient, each brought back into the ball.
///
/// The usual first attack with gradients. It can miss much where the loss is hard to climb; `auto_attack` is the one to
/// trust. A case counts as broken at the first point that the model gets wrong, and later restarts leave it alone.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Pgd {
    #[serde(flatten)]
    ball: Ball,
    /// Number of steps of a restart.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    steps: u32,
    /// Size of a step, in units of the input; 2.5 eps / steps if left out.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["alpha", "eps_step"]))]
    step_size: Option<f64>,
    /// How often it begins anew, on cases that still hold.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["n_restarts", "num_random_init"]))]
    restarts: u32,
    /// Whether the first restart begins at a random point of the ball; the others always do.
    random_start: bool,
    /// What is increased: `ce` (cross-entropy), `margin` or `dlr`.
    loss: Objective,
}

impl Default for Pgd {
    fn default() -> Self {
        Self { ball: Ball::default(), steps: 40, step_size: None, restarts: 1, random_start: true, loss: Objective::Ce }
    }
}

impl Probe for Pgd {
    const NAME: &'static str = "pgd";
    const PAPER: &'static str =
        "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018 (arXiv:1706.06083)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "restarts * (steps + 1)";
}

impl Attack for Pgd {
    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        let restarts = u64::from(self.restarts);
        Spent { forward: restarts, gradient: restarts * u64::from(self.steps) }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let size = self.step_size.unwrap_or(2.5 * search.eps() / f64::from(self.steps));
        for restart in 0..self.restarts {
            let random_start = self.random_start || restart > 0;
            let ascent = Ascent { loss: self.loss.into(), steps: self.steps, size, random_start, momentum: 0.0 };
            ascent.walk(search, search.open(), u64::from(restart))?;
        }
        Ok(())
    }
}

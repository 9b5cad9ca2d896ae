//! Several steps from the clean point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::{Ascent, Objective};
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};

/// FGSM in small steps from the clean point: the basic iterative method.
///
/// It is deterministic without a seed. PGD, which starts at random points, is the stronger of the two.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Bim {
    #[serde(flatten)]
    ball: Ball,
    /// Number of steps.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    steps: u32,
    /// Size of a step, in units of the input; eps / 4 if left out.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["alpha", "eps_step"]))]
    step_size: Option<f64>,
    /// What is increased: `ce` (cross-entropy), `margin` or `dlr`.
    loss: Objective,
}

impl Default for Bim {
    fn default() -> Self {
        Self { ball: Ball::default(), steps: 10, step_size: None, loss: Objective::Ce }
    }
}

impl Probe for Bim {
    const NAME: &'static str = "bim";
    const PAPER: &'static str = "Kurakin et al., Adversarial Examples in the Physical World, 2017 (arXiv:1607.02533)";
}

impl Attack for Bim {
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
        let ascent = Ascent { loss: self.loss.into(), steps: self.steps, size, random_start: false, momentum: 0.0 };
        ascent.walk(search, search.open(), 0)
    }
}

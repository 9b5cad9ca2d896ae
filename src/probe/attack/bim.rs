//! Several steps from the clean point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ascent::Steps;
use super::search::Search;
use super::{Attack, Ball, Threat};
use crate::engine::Spent;
use crate::error::Result;
use crate::probe::{Access, Probe};

/// FGSM in small steps from the clean point: the basic iterative method.
///
/// It is deterministic without a seed. PGD, which starts at random points, is the stronger of the two.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Bim {
    #[serde(flatten)]
    ball: Ball,
    #[serde(flatten)]
    steps: Steps,
}

impl Probe for Bim {
    const NAME: &'static str = "bim";
    const PAPER: &'static str = "Kurakin et al., Adversarial Examples in the Physical World, 2017 (arXiv:1607.02533)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = Steps::COST;
}

impl Attack for Bim {
    fn threat(&self) -> Threat {
        self.ball.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        self.steps.cost()
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        self.steps.walk(search, 0.0)
    }
}

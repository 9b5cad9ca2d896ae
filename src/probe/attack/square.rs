//! Random squares, kept where they help.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patch::{Grid, Painter};
use super::search::Search;
use super::{Attack, Ball, Goal, Threat};
use crate::engine::{Loss, Row, Spent};
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::{Norm, Rng};

/// Square attack: random squares of change, each kept if the margin shrinks.
///
/// It asks for scores alone, so it needs no gradients and is not led astray by masked ones: where it breaks more than an
/// attack with gradients, these are not to be trusted. Inputs that are no pictures are taken for one row of pixels.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Square {
    /// The norm of the perturbation.
    pub(super) norm: Norm,
    /// Its largest size, in units of the input as read (pictures: of [0, 1]). If left out, what the field takes for
    /// pictures: 8/255 for linf, 0.5 for l2, 12 for l1.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["epsilon", "radius"]))]
    pub(super) eps: Option<f64>,
    /// The class to be predicted: an index, `least_likely`, or `random`; `none` for any wrong one.
    pub(super) target: Goal,
    /// Queries about a case in each restart.
    #[schemars(range(min = 1, max = 1_000_000), extend("aliases" = ["n_queries", "steps", "max_iter"]))]
    pub(super) query_budget: u32,
    /// Share of the pixels that the first squares cover.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0, "aliases" = ["p"]))]
    pub(super) p_init: f64,
    /// How often it begins anew, on cases that still hold.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["n_restarts"]))]
    pub(super) restarts: u32,
    /// Whether squares shrink by the share of the steps that are done, not by their number.
    pub(super) rescale_schedule: bool,
}

impl Default for Square {
    fn default() -> Self {
        Self {
            norm: Norm::Linf,
            eps: None,
            target: Goal::Untargeted,
            query_budget: 5000,
            p_init: 0.8,
            restarts: 1,
            rescale_schedule: false,
        }
    }
}

impl Probe for Square {
    const NAME: &'static str = "square";
    const PAPER: &'static str = "Andriushchenko et al., Square Attack: a Query-efficient Black-box Adversarial Attack via \
                                 Random Search, 2020 (arXiv:1912.00049)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "restarts * query_budget";
}

impl Attack for Square {
    fn threat(&self) -> Threat {
        let budget = u64::from(self.restarts) * u64::from(self.query_budget);
        let (norm, eps, target) = (self.norm, self.eps, self.target);
        Ball { norm, eps, target, query_budget: Some(budget) }.threat()
    }

    fn cost(&self, _: u64) -> Spent {
        Spent { forward: u64::from(self.restarts) * u64::from(self.query_budget), gradient: 0 }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        (0..self.restarts).try_for_each(|restart| self.run(search, u64::from(restart)))
    }
}

/// A case on its way.
struct Spot {
    best: Row,
    margin: f64,
    rng: Rng,
}

/// Numbers of steps, of ten thousand, after which the share of pixels halves.
const HALVINGS: [u64; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

impl Square {
    /// Share of the pixels that a square of this step covers.
    fn share(&self, step: u32) -> f64 {
        let step = u64::from(step);
        let step = if self.rescale_schedule { step * 10_000 / u64::from(self.query_budget) } else { step };
        let halvings = HALVINGS.iter().filter(|after| step > **after).count();
        self.p_init / f64::from(1u32 << halvings.min(9))
    }

    fn run(&self, search: &mut Search<'_>, stream: u64) -> Result<()> {
        let painter = Painter { norm: search.threat.norm, eps: search.eps() };
        let mut spots = Vec::new();
        for case in search.open() {
            let mut rng = search.rng(case, stream);
            let one = search.case(case);
            let grid = Grid::of(search.target(), one.x.len());
            let x = painter.start(&grid, &one.x, one.bounds, &mut rng);
            spots.push(Spot { best: Row { case, x }, margin: f64::INFINITY, rng });
        }
        let rows: Vec<&Row> = spots.iter().map(|spot| &spot.best).collect();
        let margins = self.margins(search, &rows)?;
        spots.iter_mut().zip(margins).for_each(|(spot, margin)| spot.margin = margin);
        for step in 0..self.query_budget {
            spots.retain(|spot| search.is_open(spot.best.case));
            if spots.is_empty() {
                break;
            }
            let share = self.share(step);
            let mut rows = Vec::new();
            for spot in &mut spots {
                let one = search.case(spot.best.case);
                let grid = Grid::of(search.target(), one.x.len());
                let x = painter.change(&grid, &spot.best.x, &one.x, one.bounds, share, &mut spot.rng);
                rows.push(Row { case: spot.best.case, x });
            }
            let margins = self.margins(search, &rows.iter().collect::<Vec<_>>())?;
            for ((spot, row), margin) in spots.iter_mut().zip(rows).zip(margins) {
                if margin < spot.margin {
                    (spot.best, spot.margin) = (row, margin);
                }
            }
        }
        Ok(())
    }

    /// How far rows are from what the attack wants: the margin in logits.
    fn margins(&self, search: &mut Search<'_>, rows: &[&Row]) -> Result<Vec<f64>> {
        let kind = search.target().kind();
        let scores = search.scores(rows)?;
        let margin =
            |(row, scores): (&&Row, Vec<f64>)| -Loss::Margin.pull(&scores, kind, &search.case(row.case).aim()).value;
        Ok(rows.iter().zip(scores).map(margin).collect())
    }
}

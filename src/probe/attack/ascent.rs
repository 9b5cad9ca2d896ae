//! Steps of fixed size along the gradient of a loss: what FGSM, BIM, PGD and MI-FGSM have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::Search;
use crate::engine::{Loss, Row, Spent};
use crate::error::Result;

/// What is increased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Objective {
    /// Cross-entropy.
    #[default]
    Ce,
    /// The best wrong logit less the right one.
    Margin,
    /// The difference of logits ratio.
    Dlr,
}

impl From<Objective> for Loss {
    fn from(objective: Objective) -> Self {
        match objective {
            Objective::Ce => Self::CrossEntropy,
            Objective::Margin => Self::Margin,
            Objective::Dlr => Self::Dlr,
        }
    }
}

/// Parameters of attacks that step from the clean point.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Steps {
    /// Number of steps.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    steps: u32,
    /// Size of a step, in units of the input; eps / 4 if left out.
    #[schemars(extend("exclusiveMinimum" = 0.0, "aliases" = ["alpha", "eps_step"]))]
    step_size: Option<f64>,
    /// What is increased: `ce` (cross-entropy), `margin` or `dlr`.
    loss: Objective,
}

impl Default for Steps {
    fn default() -> Self {
        Self { steps: 10, step_size: None, loss: Objective::Ce }
    }
}

impl Steps {
    /// Queries of one case, at most.
    pub(super) const COST: &'static str = "steps + 1";

    pub(super) fn cost(&self) -> Spent {
        Spent { forward: 1, gradient: self.steps.into() }
    }

    /// Takes the steps from every case that is still open.
    pub(super) fn walk(&self, search: &mut Search<'_>, momentum: f64) -> Result<()> {
        let size = self.step_size.unwrap_or(search.eps() / 4.0);
        let ascent = Ascent { loss: self.loss.into(), steps: self.steps, size, random_start: false, momentum };
        ascent.walk(search, search.open(), 0)
    }
}

/// How the steps are taken.
pub(super) struct Ascent {
    pub(super) loss: Loss,
    pub(super) steps: u32,
    /// In units of the input.
    pub(super) size: f64,
    pub(super) random_start: bool,
    /// Share of the earlier steps' sum that goes on; 0 for none.
    pub(super) momentum: f64,
}

/// A row with the sum of its gradients.
struct Walker {
    row: Row,
    sum: Vec<f32>,
}

impl Ascent {
    /// Walks once from each of the cases' clean points, or near them. `stream` tells restarts apart.
    pub(super) fn walk(&self, search: &mut Search<'_>, cases: Vec<usize>, stream: u64) -> Result<()> {
        let mut walkers: Vec<Walker> = cases.into_iter().map(|case| self.start(search, case, stream)).collect();
        for _ in 0..self.steps {
            let rows: Vec<&Row> = walkers.iter().map(|w| &w.row).collect();
            let slopes = search.slopes(&rows, self.loss)?;
            for (walker, slope) in walkers.iter_mut().zip(&slopes) {
                walker.step(search, &slope.gradient, self);
            }
            walkers.retain(|walker| search.is_open(walker.row.case));
        }
        search.scores(&walkers.iter().map(|w| &w.row).collect::<Vec<_>>()).map(drop)
    }

    fn start(&self, search: &Search<'_>, case: usize, stream: u64) -> Walker {
        let mut row = Row { case, x: search.case(case).x.clone() };
        if self.random_start {
            let draw = search.threat.norm.draw(row.x.len(), &mut search.rng(case, stream));
            row.x.iter_mut().zip(&draw).for_each(|(x, d)| add(x, *d, search.eps()));
            search.project(&mut row);
        }
        Walker { sum: vec![0.0; row.x.len()], row }
    }
}

impl Walker {
    fn step(&mut self, search: &Search<'_>, gradient: &[f32], ascent: &Ascent) {
        let norm = search.threat.norm;
        let step = if ascent.momentum > 0.0 {
            let size = gradient.iter().map(|g| f64::from(g.abs())).sum::<f64>().max(f64::MIN_POSITIVE);
            #[allow(clippy::cast_possible_truncation)]
            for (sum, g) in self.sum.iter_mut().zip(gradient) {
                *sum = (f64::from(*sum) * ascent.momentum + f64::from(*g) / size) as f32;
            }
            norm.ascent(&self.sum)
        } else {
            norm.ascent(gradient)
        };
        self.row.x.iter_mut().zip(&step).for_each(|(x, s)| add(x, *s, ascent.size));
        search.project(&mut self.row);
    }
}

/// Adds `size` times `step`; a step that is no number is none.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn add(x: &mut f32, step: f32, size: f64) {
    if step.is_finite() {
        *x = (f64::from(*x) + size * f64::from(step)) as f32;
    }
}

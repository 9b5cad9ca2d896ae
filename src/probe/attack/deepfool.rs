//! Steps over the nearest linear boundary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hyperplane::Plane;
use super::search::{Search, Slope};
use super::{Attack, Nearest, Threat};
use crate::engine::{Pull, Row, Spent, difference};
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::{Norm, sign};

/// DeepFool: steps over the nearest linear boundary until the class changes.
///
/// A quick minimum-norm attack that overestimates the distance; `fab` and `cw` come nearer for more queries.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Deepfool {
    #[serde(flatten)]
    nearest: Nearest,
    /// The norm of the perturbation, `linf` or `l2`.
    norm: Smooth,
    /// Number of steps.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter"]))]
    steps: u32,
    /// Classes that are looked at: the likeliest ones when clean.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["nb_grads"]))]
    candidates: u32,
    /// How far the sum of the steps overshoots, as a share of it.
    #[schemars(range(min = 0.0))]
    overshoot: f64,
}

/// The norms that DeepFool knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Smooth {
    /// The largest change of any value.
    Linf,
    /// The root of the sum of squared changes.
    #[default]
    L2,
}

impl Default for Deepfool {
    fn default() -> Self {
        Self { nearest: Nearest::default(), norm: Smooth::L2, steps: 50, candidates: 10, overshoot: 0.02 }
    }
}

impl Probe for Deepfool {
    const NAME: &'static str = "deepfool";
    const PAPER: &'static str = "Moosavi-Dezfooli et al., DeepFool: a Simple and Accurate Method to Fool Deep Neural Networks, 2016 \
         (arXiv:1511.04599)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "steps * candidates";
}

impl Attack for Deepfool {
    fn threat(&self) -> Threat {
        self.nearest.threat(self.norm())
    }

    fn cost(&self, classes: u64) -> Spent {
        let ranks = classes.saturating_sub(1).min(self.candidates.into());
        Spent { forward: 1, gradient: u64::from(self.steps) * ranks }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let start = |case: usize| {
            let row = Row { case, x: search.case(case).x.clone() };
            Walk { sum: vec![0.0; row.x.len()], row }
        };
        let mut walks: Vec<Walk> = search.open().into_iter().map(start).collect();
        for _ in 0..self.steps {
            let slopes = self.boundaries(search, &walks)?;
            for (walk, slopes) in walks.iter_mut().zip(&slopes) {
                self.step(search, walk, slopes);
            }
            walks.retain(|walk| !search.is_broken(walk.row.case) && search.is_open(walk.row.case));
        }
        search.scores(&walks.iter().map(|walk| &walk.row).collect::<Vec<_>>()).map(drop)
    }
}

/// A case on its way.
struct Walk {
    row: Row,
    /// The steps so far, without overshoot and bounds.
    sum: Vec<f64>,
}

impl Deepfool {
    fn norm(&self) -> Norm {
        match self.norm {
            Smooth::Linf => Norm::Linf,
            Smooth::L2 => Norm::L2,
        }
    }

    /// How the candidates stand against the best right class.
    fn boundaries(&self, search: &mut Search<'_>, walks: &[Walk]) -> Result<Vec<Vec<Slope>>> {
        let rows: Vec<&Row> = walks.iter().map(|walk| &walk.row).collect();
        let kind = search.target().kind();
        // As many for every row; a rank that a row lacks stands for no boundary.
        let ranks = (self.candidates as usize).min(search.target().classes().saturating_sub(1)).max(1);
        search.pull(&rows, |_, case, scores| {
            let right = case.best_right(scores);
            let against = |class: Option<usize>| match class {
                Some(class) => difference(scores, kind, class, right),
                None => Pull { value: f64::INFINITY, ..difference(scores, kind, right, right) },
            };
            match case.target {
                Some(target) => (0..ranks).map(|rank| against((rank == 0).then_some(target))).collect(),
                None => (0..ranks).map(|rank| against(case.rival(rank))).collect(),
            }
        })
    }

    #[allow(clippy::cast_possible_truncation)]
    fn step(&self, search: &Search<'_>, walk: &mut Walk, slopes: &[Slope]) {
        let norm = self.norm();
        let case = search.case(walk.row.case);
        let planes = slopes.iter().map(|slope| Plane { value: slope.value, w: &slope.gradient, scale: slope.scale });
        let far = |plane: &Plane<'_>| plane.distance(norm);
        let nearest = planes.filter(|p| p.value.is_finite()).min_by(|a, b| far(a).total_cmp(&far(b)));
        let Some(plane) = nearest else { return };
        // A little more than the distance, as the authors have it, lest a step be 0 on the boundary.
        let length = far(&plane) + 1e-4;
        let size = norm.dual().of(plane.w.iter().map(|w| f64::from(*w))).max(f64::MIN_POSITIVE);
        let [low, high] = case.bounds;
        for (i, x) in walk.row.x.iter_mut().enumerate() {
            let w = plane.w[i];
            walk.sum[i] += match norm {
                Norm::L2 => length * f64::from(w) / size,
                _ => length * f64::from(sign(w)),
            };
            *x = ((f64::from(case.x[i]) + (1.0 + self.overshoot) * walk.sum[i]) as f32).clamp(low, high);
        }
    }
}

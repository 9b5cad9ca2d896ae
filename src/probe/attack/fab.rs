//! Steps onto the nearest linear boundary, drawn back to the clean point.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hyperplane::Plane;
use super::search::{Search, Slope};
use super::{Attack, Nearest, Threat};
use crate::engine::{Pull, Row, Spent, difference};
use crate::error::Result;
use crate::probe::{Access, Probe};
use crate::tensor::{Norm, argmax};

/// FAB: looks for the nearest boundary by projections onto linear models of it.
///
/// A minimum-norm attack: without eps it gives each case's distance, with eps it stops at the first witness inside the
/// ball. It does not care how the scores are scaled. With `targets` it goes for the likeliest wrong classes one after
/// the other, which costs one gradient a step instead of one for every class.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Fab {
    #[serde(flatten)]
    pub(super) nearest: Nearest,
    /// The norm of the perturbation.
    pub(super) norm: Norm,
    /// Number of steps of a restart.
    #[schemars(range(min = 1, max = 10_000), extend("aliases" = ["max_iter", "n_iter"]))]
    pub(super) steps: u32,
    /// How often it begins anew; all but the first at random points.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["n_restarts"]))]
    pub(super) restarts: u32,
    /// Wrong classes to go for one by one, the likeliest first; 0 looks at all classes at once.
    #[schemars(range(min = 0, max = 1000), extend("aliases" = ["n_target_classes"]))]
    pub(super) targets: u32,
    /// Largest share of the step from the clean point that is mixed in.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) alpha_max: f64,
    /// How far a step overshoots the boundary, as a factor.
    #[schemars(range(min = 1.0))]
    pub(super) eta: f64,
    /// Share of the perturbation that stays when a witness is drawn back.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) beta: f64,
}

impl Default for Fab {
    fn default() -> Self {
        Self {
            nearest: Nearest::default(),
            norm: Norm::Linf,
            steps: 100,
            restarts: 1,
            targets: 0,
            alpha_max: 0.1,
            eta: 1.05,
            beta: 0.9,
        }
    }
}

impl Probe for Fab {
    const NAME: &'static str = "fab";
    const PAPER: &'static str = "Croce and Hein, Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack, 2020 \
         (arXiv:1907.02044)";
    const ACCESSES: &'static [Access] = &[Access::Gradient];
    const COST: &'static str = "restarts * steps * (classes + 1); with targets, restarts * targets * steps * 2";
}

impl Attack for Fab {
    fn threat(&self) -> Threat {
        self.nearest.threat(self.norm)
    }

    fn cost(&self, classes: u64) -> Spent {
        let targets = classes.saturating_sub(1).min(self.targets.into());
        let steps = u64::from(self.restarts) * u64::from(self.steps) * targets.max(1);
        Spent { forward: steps, gradient: if targets == 0 { steps * classes } else { steps } }
    }

    fn perturb(&self, search: &mut Search<'_>) -> Result<()> {
        let goal = search.threat.goal != super::Goal::Untargeted;
        let classes = u32::try_from(search.target().classes()).unwrap_or(u32::MAX);
        let rounds = if goal { 1 } else { self.targets.min(classes.saturating_sub(1)).max(1) };
        for round in 0..rounds {
            for restart in 0..self.restarts {
                let stream = u64::from(round) * u64::from(self.restarts) + u64::from(restart);
                let mut points = Vec::new();
                for case in search.open() {
                    let one = search.case(case);
                    let towards = if self.targets > 0 { one.rival(round as usize) } else { None };
                    let toward = one.target.or(towards);
                    points.push(Point { row: self.start(search, case, restart > 0, stream), toward });
                }
                self.run(search, points)?;
            }
        }
        Ok(())
    }
}

/// A case on its way.
struct Point {
    row: Row,
    /// The class that it goes for, or all.
    toward: Option<usize>,
}

/// Radii of random starts where there is no eps, from the authors' code.
fn usual(norm: Norm) -> f64 {
    match norm {
        Norm::Linf => 0.3,
        Norm::L2 => 1.0,
        Norm::L1 => 5.0,
    }
}

impl Fab {
    /// The clean point, or one at half the radius from it.
    #[allow(clippy::cast_possible_truncation)]
    fn start(&self, search: &Search<'_>, case: usize, random: bool, stream: u64) -> Row {
        let one = search.case(case);
        let mut row = Row { case, x: one.x.clone() };
        if random {
            let mut rng = search.rng(case, stream);
            let uniform = self.norm == Norm::Linf;
            let draw: Vec<f64> =
                row.x.iter().map(|_| if uniform { rng.range(-1.0, 1.0) } else { rng.normal() }).collect();
            let radius = search.threat.eps.unwrap_or(usual(self.norm)).min(search.distance(case));
            let size = radius / 2.0 / self.norm.of(draw.iter().copied()).max(f64::MIN_POSITIVE);
            let [low, high] = one.bounds;
            let moved = |x: &f32, d: &f64| ((f64::from(*x) + size * d) as f32).clamp(low, high);
            row.x = one.x.iter().zip(&draw).map(|(x, d)| moved(x, d)).collect();
        }
        row
    }

    fn run(&self, search: &mut Search<'_>, mut points: Vec<Point>) -> Result<()> {
        for _ in 0..self.steps {
            points.retain(|point| search.is_open(point.row.case));
            let slopes = boundaries(search, &points)?;
            for (point, slopes) in points.iter_mut().zip(&slopes) {
                self.step(search, point, slopes);
            }
            points.retain(|point| search.target().affords(point.row.case));
            let rows: Vec<&Row> = points.iter().map(|point| &point.row).collect();
            let scores = search.scores(&rows)?;
            for (point, scores) in points.iter_mut().zip(scores) {
                let case = search.case(point.row.case);
                if case.aim().reached(argmax(&scores)) {
                    point.row.x.iter_mut().zip(&case.x).for_each(|(x, clean)| *x = between(*clean, *x, self.beta));
                }
            }
        }
        Ok(())
    }

    /// Onto the nearest boundary's linear model, from the point and from the clean one, and mixes the two.
    #[allow(clippy::cast_possible_truncation)]
    fn step(&self, search: &Search<'_>, point: &mut Point, slopes: &[Slope]) {
        let case = search.case(point.row.case);
        let planes = slopes.iter().map(|slope| Plane { value: slope.value, w: &slope.gradient, scale: slope.scale });
        let far = |plane: &Plane<'_>| plane.distance(self.norm);
        let Some(plane) = planes.filter(|p| p.value.is_finite()).min_by(|a, b| far(a).total_cmp(&far(b))) else {
            return;
        };
        let here = plane.step(self.norm, &point.row.x, case.bounds);
        let moved = case.x.iter().zip(&point.row.x).zip(plane.w);
        let value = plane.value
            + moved.map(|((c, x), w)| (f64::from(*c) - f64::from(*x)) * f64::from(*w) * plane.scale).sum::<f64>();
        let from_clean = Plane { value, ..plane }.step(self.norm, &case.x, case.bounds);
        let size = |step: &[f64]| self.norm.of(step.iter().copied()).max(1e-8);
        let (a, b) = (size(&here), size(&from_clean));
        let alpha = (a / (a + b)).clamp(0.0, self.alpha_max);
        let [low, high] = case.bounds;
        for (i, x) in point.row.x.iter_mut().enumerate() {
            let onwards = f64::from(*x) + self.eta * here[i];
            let anew = f64::from(case.x[i]) + self.eta * from_clean[i];
            *x = ((onwards * (1.0 - alpha) + anew * alpha) as f32).clamp(low, high);
        }
    }
}

/// For each point, how the wrong classes' scores stand against the best right one: of one class, or of all (the right
/// ones at an infinite value).
fn boundaries(search: &mut Search<'_>, points: &[Point]) -> Result<Vec<Vec<Slope>>> {
    let rows: Vec<&Row> = points.iter().map(|point| &point.row).collect();
    let kind = search.target().kind();
    search.pull(&rows, |i, case, scores| {
        let right = case.best_right(scores);
        let against = |class: usize| difference(scores, kind, class, right);
        let one = |class: usize| {
            let pull = against(class);
            if case.right.contains(&class) { Pull { value: f64::INFINITY, ..pull } } else { pull }
        };
        match points[i].toward {
            Some(class) => vec![against(class)],
            None => (0..scores.len()).map(one).collect(),
        }
    })
}

/// A share of the way from `from` to `to`.
#[allow(clippy::cast_possible_truncation)]
fn between(from: f32, to: f32, share: f64) -> f32 {
    (f64::from(from) + (f64::from(to) - f64::from(from)) * share) as f32
}

//! One run of Auto-PGD, with the constants of its authors' code.

use super::ascent::add;
use super::search::Search;
use crate::engine::{Loss, Row};
use crate::error::Result;
use crate::tensor::{Norm, sign};

/// A run in one ball.
pub(super) struct Climb {
    pub(super) norm: Norm,
    pub(super) loss: Loss,
    pub(super) eps: f64,
    pub(super) steps: u32,
    /// Steps of all runs that this one is a part of: the windows are shares of it.
    pub(super) total: u32,
    pub(super) rho: f64,
    pub(super) samples: u32,
}

/// A case on its way.
pub(super) struct Climber {
    row: Row,
    /// The class that the loss goes for.
    toward: Option<usize>,
    before: Vec<f32>,
    gradient: Vec<f32>,
    best: Best,
    size: f64,
    /// The loss after each step.
    trace: Vec<f64>,
    halved: bool,
    best_at_check: f64,
    /// For l1: the share of values that a step changes, and the changed values at the last check.
    share: f64,
    changed: f64,
}

/// The point with the highest loss.
struct Best {
    x: Vec<f32>,
    gradient: Vec<f32>,
    loss: f64,
}

/// How much of a step is kept where momentum takes the rest.
const FRESH: f64 = 0.75;

/// For l1: the factor by which steps shrink, at most to a tenth, and the share of changed values that must stay.
const SHRINK: f64 = 1.5;
const SMALLEST: f64 = 10.0;
const SPARSER: f64 = 0.95;

impl Climb {
    /// The windows between checks: the first one, and by how much they shrink to which least.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn windows(&self) -> (usize, usize, usize) {
        let share = |share: f64, of: u32| ((share * f64::from(of)) as usize).max(1);
        let first = if self.norm == Norm::L1 { share(0.04, self.steps) } else { share(0.22, self.total) };
        (first, share(0.03, self.total), share(0.06, self.total))
    }

    /// The first step's size.
    fn first_size(&self) -> f64 {
        if self.norm == Norm::L1 { self.eps } else { 2.0 * self.eps }
    }

    /// A climber at a random point on the ball's surface.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn start(&self, search: &Search<'_>, case: usize, toward: Option<usize>, stream: u64) -> Climber {
        let mut rng = search.rng(case, stream);
        let clean = &search.case(case).x;
        let uniform = self.norm == Norm::Linf;
        let draw: Vec<f64> = clean.iter().map(|_| if uniform { rng.range(-1.0, 1.0) } else { rng.normal() }).collect();
        let size = if self.norm == Norm::L1 { 1.0 } else { self.eps / self.norm.of(draw.iter().copied()).max(1e-12) };
        let mut row = Row { case, x: clean.clone() };
        row.x.iter_mut().zip(&draw).for_each(|(x, d)| add(x, *d as f32, size));
        self.project(search, &mut row);
        let length = row.x.len() as f64;
        self.climber(row, toward, 0.2, length)
    }

    /// The climber of an earlier stage, at its best point.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn resume(&self, search: &Search<'_>, earlier: Climber) -> Climber {
        let mut row = Row { case: earlier.row.case, x: earlier.best.x };
        self.project(search, &mut row);
        let changed = changed(&row.x, &search.case(row.case).x);
        let share = changed / row.x.len() as f64 / SHRINK;
        self.climber(row, earlier.toward, share, changed)
    }

    fn climber(&self, row: Row, toward: Option<usize>, share: f64, changed: f64) -> Climber {
        let best = Best { x: row.x.clone(), gradient: Vec::new(), loss: f64::NEG_INFINITY };
        let (before, gradient, size) = (row.x.clone(), Vec::new(), self.first_size());
        let (trace, halved, best_at_check) = (Vec::new(), true, f64::NEG_INFINITY);
        Climber { row, toward, before, gradient, best, size, trace, halved, best_at_check, share, changed }
    }

    fn project(&self, search: &Search<'_>, row: &mut Row) {
        let case = search.case(row.case);
        self.norm.project(&mut row.x, &case.x, self.eps, case.bounds);
    }

    /// Runs all steps; gives the climbers that were not stopped by a witness.
    pub(super) fn run(&self, search: &mut Search<'_>, mut climbers: Vec<Climber>) -> Result<Vec<Climber>> {
        let (mut window, less, least) = self.windows();
        let mut since = 0;
        self.look(search, &mut climbers, false)?;
        climbers.iter_mut().for_each(|climber| climber.best_at_check = climber.best.loss);
        for step in 0..self.steps {
            climbers.retain(|climber| search.is_open(climber.row.case));
            climbers.iter_mut().for_each(|climber| self.step(search, climber, step == 0));
            self.look(search, &mut climbers, true)?;
            since += 1;
            if since == window {
                climbers.iter_mut().for_each(|climber| self.check(search, climber, window));
                since = 0;
                window = if self.norm == Norm::L1 { window } else { window.saturating_sub(less).max(least) };
            }
        }
        climbers.retain(|climber| search.is_open(climber.row.case));
        Ok(climbers)
    }

    /// Takes the gradient where the climbers stand, and keeps the points with the highest loss.
    #[allow(clippy::cast_possible_truncation)]
    fn look(&self, search: &mut Search<'_>, climbers: &mut [Climber], traced: bool) -> Result<()> {
        let toward: Vec<Option<usize>> = climbers.iter().map(|climber| climber.toward).collect();
        let rows: Vec<&Row> = climbers.iter().map(|climber| &climber.row).collect();
        let mut slopes = search.slopes_toward(&rows, self.loss, &toward)?;
        for _ in 1..self.samples {
            if rows.iter().any(|row| !search.target().affords(row.case)) {
                break;
            }
            let more = search.slopes_toward(&rows, self.loss, &toward)?;
            for (slope, more) in slopes.iter_mut().zip(more) {
                slope.value = more.value;
                let (a, b) = (slope.scale, more.scale);
                slope.gradient.iter_mut().zip(more.gradient).for_each(|(g, m)| {
                    *g = (f64::from(*g) + if a > 0.0 { f64::from(m) * (b / a) } else { f64::from(m) }) as f32;
                });
            }
        }
        for (climber, slope) in climbers.iter_mut().zip(slopes) {
            if slope.value > climber.best.loss {
                climber.best.x.clone_from(&climber.row.x);
                climber.best.gradient.clone_from(&slope.gradient);
                climber.best.loss = slope.value;
            }
            climber.gradient = slope.gradient;
            climber.trace.extend(traced.then_some(slope.value));
        }
        Ok(())
    }

    /// A step along the gradient, three quarters of it, and a quarter of the one before.
    #[allow(clippy::cast_possible_truncation)]
    fn step(&self, search: &Search<'_>, climber: &mut Climber, first: bool) {
        let mut next = climber.row.clone();
        let direction = match self.norm {
            Norm::L1 => climber.sparse(),
            norm => norm.ascent(&climber.gradient),
        };
        next.x.iter_mut().zip(&direction).for_each(|(x, d)| add(x, *d, climber.size));
        self.project(search, &mut next);
        if self.norm != Norm::L1 && !first {
            for ((next, here), before) in next.x.iter_mut().zip(&climber.row.x).zip(&climber.before) {
                let (z, x) = (f64::from(*next), f64::from(*here));
                *next = (x + FRESH * (z - x) + (1.0 - FRESH) * (x - f64::from(*before))) as f32;
            }
            self.project(search, &mut next);
        }
        climber.before = std::mem::replace(&mut climber.row.x, next.x);
    }

    /// At the end of a window: a smaller step from the best point where the loss has not grown as it should.
    #[allow(clippy::cast_precision_loss)]
    fn check(&self, search: &Search<'_>, climber: &mut Climber, window: usize) {
        if self.norm == Norm::L1 {
            return self.check_sparse(search, climber);
        }
        let end = climber.trace.len();
        // The step before the first one counts as a loss of 0, as in the authors' code.
        let earlier = |i: usize| if i == 0 { 0.0 } else { climber.trace[i - 1] };
        let grown = (end - window..end).filter(|i| climber.trace[*i] > earlier(*i)).count();
        let slow = grown as f64 <= self.rho * window as f64;
        let halve = slow || (!climber.halved && climber.best_at_check >= climber.best.loss);
        climber.halved = halve;
        climber.best_at_check = climber.best.loss;
        if halve {
            climber.size /= 2.0;
            climber.return_to_best();
        }
    }

    /// For l1: fewer values at full step size while the best point grows sparser, else smaller steps.
    #[allow(clippy::cast_precision_loss)]
    fn check_sparse(&self, search: &Search<'_>, climber: &mut Climber) {
        let now = changed(&climber.best.x, &search.case(climber.row.case).x);
        let sparser = now / climber.changed < SPARSER;
        climber.share = now / climber.row.x.len() as f64 / SHRINK;
        let size = if sparser { self.eps } else { climber.size / SHRINK };
        climber.size = size.clamp(self.eps / SMALLEST, self.eps);
        climber.changed = now;
        if sparser {
            climber.return_to_best();
        }
    }
}

impl Climber {
    fn return_to_best(&mut self) {
        self.row.x.clone_from(&self.best.x);
        self.gradient.clone_from(&self.best.gradient);
    }

    /// The signs of the gradient's largest values, of L1 norm 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    fn sparse(&self) -> Vec<f32> {
        let mut sizes: Vec<f32> = self.gradient.iter().map(|g| g.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        let last = sizes.len().saturating_sub(1);
        let at = (((1.0 - self.share) * sizes.len() as f64).max(0.0) as usize).min(last);
        let least = sizes.get(at).copied().unwrap_or(0.0);
        let kept = |g: f32| if g.abs() >= least { sign(g) } else { 0.0 };
        let count = self.gradient.iter().filter(|g| kept(**g) != 0.0).count().max(1) as f64;
        self.gradient.iter().map(|g| (f64::from(kept(*g)) / count) as f32).collect()
    }
}

/// Number of values that differ.
#[allow(clippy::cast_precision_loss)]
fn changed(x: &[f32], clean: &[f32]) -> f64 {
    x.iter().zip(clean).filter(|(x, c)| x != c).count() as f64
}

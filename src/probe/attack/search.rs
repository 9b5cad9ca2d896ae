//! The state of a search for witnesses: every question that an attack asks is looked at as a possible one.

use ndarray::Array2;

use super::threat::Threat;
use crate::engine::{Aim, Loss, Pull, Row, Spent, Target};
use crate::error::Result;
use crate::tensor::{Rng, argmax};

/// A case under attack.
#[derive(Clone, Debug)]
pub struct Case {
    pub id: String,
    /// The probed input, in probe space and row-major order.
    pub x: Vec<f32>,
    pub bounds: [f32; 2],
    /// Classes that are right.
    pub right: Vec<usize>,
    /// The class to be predicted, if it is a certain one.
    pub target: Option<usize>,
    /// The clean scores.
    pub scores: Vec<f32>,
    /// The clean values as they came, where they came as uint8.
    pub grid: Option<Vec<u8>>,
}

/// Levels that rounding may have taken from a change: more than float32 loses at 255, less than a level.
const LEVEL_SLACK: f64 = 1e-4;

impl Case {
    /// What the attack wants of it.
    pub fn aim(&self) -> Aim<'_> {
        Aim { right: &self.right, target: self.target }
    }

    /// A point on the uint8 grid, rounded towards the clean value so that it stays in the ball; `None` where the case did
    /// not come as uint8.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn on_grid(&self, x: &[f32]) -> Option<Vec<f32>> {
        let level = |((x, clean), byte): ((&f32, &f32), &u8)| {
            let change = (f64::from(*x) - f64::from(*clean)) * 255.0;
            let levels = (change.abs() + LEVEL_SLACK).floor().copysign(change);
            f32::from((f64::from(*byte) + levels).clamp(0.0, 255.0) as u8) / 255.0
        };
        Some(x.iter().zip(&self.x).zip(self.grid.as_ref()?).map(level).collect())
    }

    /// The wrong class that is likeliest but for `rank` others, when clean.
    pub(super) fn rival(&self, rank: usize) -> Option<usize> {
        let mut wrong: Vec<usize> = (0..self.scores.len()).filter(|class| !self.right.contains(class)).collect();
        wrong.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]).then(a.cmp(b)));
        wrong.get(rank).copied()
    }

    /// The right class with the highest of these scores.
    pub(super) fn best_right(&self, scores: &[f64]) -> usize {
        let of = |class: &&usize| scores.get(**class).copied().unwrap_or(f64::NEG_INFINITY);
        self.right.iter().max_by(|a, b| of(a).total_cmp(&of(b)).then(b.cmp(a))).copied().unwrap_or(0)
    }

    /// Whether its clean prediction is right.
    pub fn is_right(&self) -> bool {
        self.right.contains(&argmax(&self.scores))
    }
}

/// What an attack found for a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The witness, or the last point that was tried.
    pub x: Vec<f32>,
    pub spent: Spent,
    pub signs: Signs,
}

/// What was seen on the way that makes a search that failed worth less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signs {
    /// The first gradient was zero everywhere.
    pub zero_gradient: bool,
    /// A gradient or a score was no number.
    pub not_finite: bool,
    /// The loss at the first point, and the largest one, of the loss that was followed first.
    pub loss: Option<(f64, f64)>,
    /// Gradients that were followed.
    pub steps: u64,
    /// There were too few classes for a loss, and a simpler one stood in.
    pub simpler_loss: bool,
    /// Of a composite with gradients: the first witness came from a part without.
    pub black_box: bool,
}

impl Signs {
    /// Whether many steps have not brought the loss above where it began.
    pub fn stuck(&self) -> bool {
        self.steps > 1 && self.loss.is_some_and(|(first, best)| best <= first)
    }
}

/// A loss and its gradient at a row.
#[derive(Clone, Debug)]
pub(super) struct Slope {
    pub(super) value: f64,
    /// Of the loss over [`Self::scale`].
    pub(super) gradient: Vec<f32>,
    pub(super) scale: f64,
}

/// How far a case is.
#[derive(Clone)]
struct State {
    /// With its distance.
    witness: Option<(Vec<f32>, f64)>,
    /// Whether the witness still is one on the case's grid.
    on_grid: bool,
    last: Vec<f32>,
    signs: Signs,
    /// The loss that was followed first.
    followed: Option<Loss>,
}

/// A search over cases.
pub(super) struct Search<'a> {
    target: &'a Target<'a>,
    pub(super) threat: Threat,
    cases: Vec<Case>,
    states: Vec<State>,
    /// The job's seed and the check, which key the random numbers, with the part of a composite.
    seed: u64,
    check: &'a str,
    part: u64,
    /// Whether that part asks for scores alone.
    black_box: bool,
}

impl<'a> Search<'a> {
    /// A search on the cases of a target, in its order.
    pub(super) fn new(target: &'a Target<'a>, threat: Threat, cases: Vec<Case>, seed: u64, check: &'a str) -> Self {
        let blank = |case: &Case| State {
            witness: None,
            on_grid: case.grid.is_none(),
            last: case.x.clone(),
            signs: Signs::default(),
            followed: None,
        };
        let states = cases.iter().map(blank).collect();
        Self { target, threat, cases, states, seed, check, part: 0, black_box: false }
    }

    pub(super) fn target(&self) -> &'a Target<'a> {
        self.target
    }

    pub(super) fn case(&self, case: usize) -> &Case {
        &self.cases[case]
    }

    /// The radius; infinite where there is none.
    pub(super) fn eps(&self) -> f64 {
        self.threat.eps.unwrap_or(f64::INFINITY)
    }

    /// All cases, those too that are wrong when clean.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.cases.len()).filter(|case| self.target.affords(*case)).collect()
    }

    /// The cases to work on.
    pub(super) fn open(&self) -> Vec<usize> {
        (0..self.cases.len()).filter(|case| self.cases[*case].is_right() && self.is_open(*case)).collect()
    }

    /// Whether there is more to find for a case: in a ball, a first witness, and one that stays one on the case's grid;
    /// without a ball, always a nearer one.
    pub(super) fn is_open(&self, case: usize) -> bool {
        (self.threat.eps.is_none() || !self.is_done(case)) && self.target.affords(case)
    }

    fn is_done(&self, case: usize) -> bool {
        self.is_broken(case) && self.states[case].on_grid
    }

    /// Whether there is a witness.
    pub(super) fn is_broken(&self, case: usize) -> bool {
        self.states[case].witness.is_some()
    }

    /// How far the nearest witness is; infinite without one.
    pub(super) fn distance(&self, case: usize) -> f64 {
        self.states[case].witness.as_ref().map_or(f64::INFINITY, |(_, distance)| *distance)
    }

    /// Random numbers for a case; `stream`, below 2^32, tells uses apart.
    pub(super) fn rng(&self, case: usize, stream: u64) -> Rng {
        Rng::new(self.seed, self.check, &self.cases[case].id, self.part << 32 | stream)
    }

    /// Begins another part of a composite, which draws other numbers.
    pub(super) fn enter(&mut self, part: u64, black_box: bool) {
        (self.part, self.black_box) = (part, black_box);
    }

    /// Brings a row into the ball and the bounds.
    pub(super) fn project(&self, row: &mut Row) {
        let case = &self.cases[row.case];
        match self.threat.eps {
            Some(eps) => self.threat.norm.project(&mut row.x, &case.x, eps, case.bounds),
            None => row.x.iter_mut().for_each(|x| *x = x.clamp(case.bounds[0], case.bounds[1])),
        }
    }

    /// Scores of rows, in their order.
    pub(super) fn scores(&mut self, rows: &[&Row]) -> Result<Vec<Vec<f64>>> {
        let scores = self.target.scores(rows)?;
        let scores: Vec<Vec<f64>> = scores.rows().into_iter().map(|row| row.to_vec()).collect();
        let mut found = Vec::new();
        for (row, scores) in rows.iter().zip(&scores) {
            if self.look(row, scores) {
                found.push(*row);
            }
        }
        if self.threat.eps.is_some() {
            self.look_on_grid(&found)?;
        }
        Ok(scores)
    }

    /// A loss and its gradient at rows, in their order.
    pub(super) fn slopes(&mut self, rows: &[&Row], loss: Loss) -> Result<Vec<Slope>> {
        self.slopes_toward(rows, loss, &vec![None; rows.len()])
    }

    /// The same for a loss that goes for certain classes, by row; what counts as a witness stays as it is.
    pub(super) fn slopes_toward(&mut self, rows: &[&Row], loss: Loss, toward: &[Option<usize>]) -> Result<Vec<Slope>> {
        let kind = self.target.kind();
        let pulled = self.pull(rows, |i, case, scores| {
            let aim = case.aim();
            vec![loss.pull(scores, kind, &Aim { target: toward[i].or(aim.target), ..aim })]
        })?;
        let slopes: Vec<Slope> = pulled.into_iter().filter_map(|mut one| one.pop()).collect();
        for ((row, slope), toward) in rows.iter().zip(&slopes).zip(toward) {
            let State { signs, followed, .. } = &mut self.states[row.case];
            signs.simpler_loss |=
                loss.is_simplified(self.target.classes(), toward.or(self.cases[row.case].target).is_some());
            if toward.is_some() || *followed.get_or_insert(loss) != loss {
                continue;
            }
            signs.zero_gradient |= signs.steps == 0 && slope.gradient.iter().all(|g| *g == 0.0);
            signs.steps += 1;
            let (first, best) = signs.loss.unwrap_or((slope.value, slope.value));
            signs.loss = Some((first, best.max(slope.value)));
        }
        Ok(slopes)
    }

    /// Gradients of several functions of the scores at rows, which are asked for by position in `rows`; of each row as
    /// many as of every other.
    pub(super) fn pull(
        &mut self,
        rows: &[&Row],
        functions: impl Fn(usize, &Case, &[f64]) -> Vec<Pull>,
    ) -> Result<Vec<Vec<Slope>>> {
        let mut slopes = Vec::new();
        let batch = self.target.gradient_batch().max(1);
        for (number, rows) in rows.chunks(batch).enumerate() {
            let local = self.target.linearize(rows)?;
            let scores: Vec<Vec<f64>> = local.scores().rows().into_iter().map(|row| row.to_vec()).collect();
            let of = |(i, row): (usize, &&Row)| functions(number * batch + i, &self.cases[row.case], &scores[i]);
            let pulls: Vec<Vec<Pull>> = rows.iter().enumerate().map(of).collect();
            let mut found: Vec<Vec<Slope>> = vec![Vec::new(); rows.len()];
            for k in 0..pulls.first().map_or(0, Vec::len) {
                let width = scores.first().map_or(0, Vec::len);
                let cotangents = Array2::from_shape_fn((rows.len(), width), |(i, j)| pulls[i][k].cotangent[j]);
                for ((gradient, found), pull) in local.pull(cotangents)?.into_iter().zip(&mut found).zip(&pulls) {
                    found.push(Slope { value: pull[k].value, gradient, scale: pull[k].scale });
                }
            }
            self.confirm(rows, &scores)?;
            for (row, found) in rows.iter().zip(&found) {
                let finite = found.iter().all(|slope| slope.gradient.iter().all(|g| g.is_finite()));
                self.states[row.case].signs.not_finite |= !finite;
            }
            slopes.extend(found);
        }
        Ok(slopes)
    }

    /// Asks the plan that judges about rows that the differentiated one has broken: their last bits may differ.
    fn confirm(&mut self, rows: &[&Row], scores: &[Vec<f64>]) -> Result<()> {
        let mut broken = Vec::new();
        for (row, scores) in rows.iter().zip(scores) {
            let promising = self.cases[row.case].aim().reached(argmax(scores)) && self.improves(row);
            if promising && self.target.affords(row.case) {
                broken.push(*row);
            } else {
                self.pass(row);
            }
        }
        if broken.is_empty() { Ok(()) } else { self.scores(&broken).map(drop) }
    }

    /// Whether a row, were it a witness, would be the best one; a case that is wrong when clean needs none.
    fn improves(&self, row: &Row) -> bool {
        let case = &self.cases[row.case];
        if !case.is_right() {
            return false;
        }
        let nearer = || self.threat.norm.distance(&row.x, &case.x) < self.distance(row.case);
        let better = if self.threat.eps.is_some() { !self.is_done(row.case) } else { nearer() };
        better && self.threat.allows(&row.x, &case.x, case.bounds)
    }

    /// Asks whether new witnesses are some on their cases' grids too. The first witness of a case stands until then.
    fn look_on_grid(&mut self, found: &[&Row]) -> Result<()> {
        let mut rounded = Vec::new();
        for row in found.iter().filter(|row| !self.states[row.case].on_grid && self.target.affords(row.case)) {
            rounded.extend(self.cases[row.case].on_grid(&row.x).map(|x| (*row, Row { case: row.case, x })));
        }
        let scores = self.target.scores(&rounded.iter().map(|(_, row)| row).collect::<Vec<_>>())?;
        for ((row, rounded), scores) in rounded.iter().zip(scores.rows()) {
            let case = &self.cases[row.case];
            let allowed = self.threat.allows(&rounded.x, &case.x, case.bounds);
            if allowed && !self.states[row.case].on_grid && case.aim().reached(argmax(scores)) {
                let distance = self.threat.norm.distance(&row.x, &case.x);
                let state = &mut self.states[row.case];
                (state.witness, state.on_grid) = (Some((row.x.clone(), distance)), true);
            }
        }
        Ok(())
    }

    /// Looks at an answer: a witness is kept if it is the best so far. Whether it is one.
    fn look(&mut self, row: &Row, scores: &[f64]) -> bool {
        if scores.iter().any(|s| !s.is_finite()) {
            self.states[row.case].signs.not_finite = true;
            return false;
        }
        let case = &self.cases[row.case];
        let found = case.aim().reached(argmax(scores)) && self.improves(row);
        if !found {
            self.pass(row);
        } else if self.threat.eps.is_none() || !self.is_broken(row.case) {
            let distance = self.threat.norm.distance(&row.x, &case.x);
            let state = &mut self.states[row.case];
            state.signs.black_box |= self.black_box && state.witness.is_none();
            state.witness = Some((row.x.clone(), distance));
        }
        found
    }

    /// Keeps a point that broke nothing as the last one tried.
    fn pass(&mut self, row: &Row) {
        let case = &self.cases[row.case];
        if self.threat.allows(&row.x, &case.x, case.bounds) {
            self.states[row.case].last.clone_from(&row.x);
        }
    }

    /// What was found, by case.
    pub(super) fn finish(self) -> Vec<Candidate> {
        let (target, states) = (self.target, self.states);
        let candidate = |(case, state): (usize, State)| Candidate {
            x: state.witness.map_or(state.last, |(x, _)| x),
            spent: target.spent(case),
            signs: state.signs,
        };
        states.into_iter().enumerate().map(candidate).collect()
    }
}

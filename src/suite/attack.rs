//! Attacks on the cases of a chunk, and what is judged of them.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::check::Point;
use super::run::{Chunk, Probed, Subject, predict};
use crate::engine::{Answer, Input, Limits, OutputKind, Prepared, Target};
use crate::error::{Error, Result};
use crate::probe::attack::{Attacker, Candidate, Case};
use crate::tensor::{Norm, Rng, Tensor, Tensors};

/// What the judge is told of an attack on a case.
#[derive(Default)]
pub(super) struct Attacked {
    /// The class that was to be predicted, if it was a certain one.
    pub(super) target: Option<usize>,
    /// Whether the witness lies in its ball and its bounds.
    pub(super) allowed: bool,
    /// Scores of the witness on the grid of the input's own values, where it has one.
    pub(super) quantized: Option<Vec<f32>>,
    /// Whether the ball holds every input that there is.
    pub(super) unbounded: bool,
    /// Whether the nearest witness was looked for, whatever its distance; if so, in this norm.
    pub(super) nearest: Option<Norm>,
    pub(super) measures: BTreeMap<String, f64>,
}

/// Attacks all cases of a chunk at one point; a case that cannot be attacked has its own error.
pub(super) fn attack(
    subject: &Subject<'_>,
    chunk: &Chunk,
    point: &Point,
    attacker: &Attacker,
    seed: u64,
) -> Result<Vec<Result<Probed>>> {
    let input = subject.model.signature().probed();
    let mut own = Vec::new();
    for (i, (prepared, clean)) in chunk.sound() {
        own.push((i, case(prepared, clean, input, point, attacker, seed)));
    }
    let inputs: Vec<&Tensors> = chunk.sound().map(|(_, (prepared, _))| &prepared.inputs).collect();
    let limits = attacker.limits(Limits::default());
    let target = Target::new(subject.model, subject.gradient, inputs.clone(), limits);
    let cases: Vec<Case> = own.iter().map(|(_, case)| case.clone()).collect();
    let candidates = attacker.attack(&target, cases, seed, &point.canonical)?;
    let unstable = unstable(subject, chunk)?;
    let mut rows = Vec::new();
    for ((candidate, whole), (_, case)) in candidates.iter().zip(&inputs).zip(&own) {
        let x = candidate.x.clone();
        rows.push(with(whole, input, x)?);
        rows.extend(case.on_grid(&candidate.x).map(|grid| with(whole, input, grid)).transpose()?);
    }
    let mut scores = predict(subject.model, &rows.iter().collect::<Vec<_>>())?.into_iter();
    let mut probed: BTreeMap<usize, Probed> = BTreeMap::new();
    for (n, (candidate, (i, case))) in candidates.iter().zip(&own).enumerate() {
        let judged = scores.next().unwrap_or_default();
        let quantized = case.grid.as_ref().and_then(|_| scores.next());
        let mut attacked = describe(candidate, case, attacker, &target);
        attacked.measures.extend((unstable && n == 0).then(|| ("unstable".to_owned(), 1.0)));
        let queries = candidate.spent.all() + 1 + u64::from(quantized.is_some());
        let attacked = Some(Attacked { quantized, ..attacked });
        let array = row(input, candidate.x.clone())?;
        probed.insert(
            *i,
            Probed { scores: judged, array, queries, attacked, explained: BTreeMap::new(), words: String::new() },
        );
    }
    let missing = |i: usize| Err(chunk.error(i));
    Ok((0..chunk.len()).map(|i| probed.remove(&i).map_or_else(|| missing(i), Ok)).collect())
}

/// The probed input as a probe sees it: pixels in [0, 1].
pub(super) fn values(tensor: &Tensor) -> Vec<f32> {
    match tensor {
        Tensor::U8(a) => a.iter().map(|v| f32::from(*v) / 255.0).collect(),
        other => other.to_f32(),
    }
}

/// A case as an attack sees it.
#[allow(clippy::cast_possible_truncation)]
fn case(prepared: &Prepared, clean: &[f32], input: &Input, point: &Point, attacker: &Attacker, seed: u64) -> Case {
    let tensor = &prepared.inputs[&input.name];
    // uint8 stands for value / 255, and so has bounds of its own.
    let grid = if let Tensor::U8(a) = tensor { Some(a.iter().copied().collect::<Vec<u8>>()) } else { None };
    let x = values(tensor);
    let bounds = input.range.map(|range| range.map(|v| v as f32));
    let open = if grid.is_some() { [0.0, 1.0] } else { [f32::NEG_INFINITY, f32::INFINITY] };
    let right = if let Answer::Classes(right) = &prepared.answer { right.clone() } else { Vec::new() };
    let mut rng = Rng::new(seed, &point.canonical, &prepared.id, u64::MAX);
    let target = attacker.threat.goal.of(&right, clean, &mut rng);
    let (id, bounds, scores) = (prepared.id.clone(), bounds.unwrap_or(open), clean.to_vec());
    Case { id, x, bounds, right, target, scores, grid }
}

/// Whether the model answers otherwise when it is asked again, of the chunk's first case.
fn unstable(subject: &Subject<'_>, chunk: &Chunk) -> Result<bool> {
    let Some((_, (prepared, clean))) = chunk.sound().next() else { return Ok(false) };
    let again = predict(subject.model, &[&prepared.inputs])?;
    Ok(again.first().is_none_or(|again| again.as_slice() != clean))
}

/// A row of the probed input.
pub(super) fn row(input: &Input, x: Vec<f32>) -> Result<Tensor> {
    let shape: Vec<usize> = std::iter::once(1).chain(input.shape.iter().copied()).collect();
    let array = ArrayD::from_shape_vec(shape, x).map_err(|e| Error::internal("a witness", e))?;
    Ok(Tensor::F32(array))
}

/// The case with another probed input.
fn with(whole: &Tensors, input: &Input, x: Vec<f32>) -> Result<Tensors> {
    let mut inputs = whole.clone();
    inputs.insert(input.name.clone(), row(input, x)?);
    Ok(inputs)
}

fn describe(candidate: &Candidate, case: &Case, attacker: &Attacker, target: &Target<'_>) -> Attacked {
    let (threat, signs) = (&attacker.threat, candidate.signs);
    let mut measures = BTreeMap::new();
    let mut measure = |name: &str, value: f64| measures.insert(name.to_owned(), value);
    let right = case.is_right();
    measure("right_clean", f64::from(u8::from(right)));
    // A case that is wrong when clean costs an attacker nothing, whatever a single step has asked about it.
    #[allow(clippy::cast_precision_loss)]
    for (name, count) in [("queries", candidate.spent.all()), ("gradient_queries", candidate.spent.gradient)] {
        measure(name, if right { count as f64 } else { 0.0 });
    }
    for (name, norm) in [("linf", Norm::Linf), ("l2", Norm::L2), ("l1", Norm::L1)] {
        measure(name, norm.distance(&candidate.x, &case.x));
    }
    if let Some(eps) = threat.eps {
        measure("eps", eps);
    }
    let straight_through = candidate.spent.gradient > 0 && target.straight_through();
    for (name, seen) in [
        ("zero_gradient", signs.zero_gradient),
        ("not_finite", signs.not_finite),
        ("loss_stuck", signs.stuck()),
        ("straight_through", straight_through),
        ("simpler_loss", signs.simpler_loss),
        ("black_box", signs.black_box),
        ("probabilities", target.kind() == OutputKind::Probabilities),
    ] {
        if seen && right {
            measure(name, 1.0);
        }
    }
    let [low, high] = case.bounds;
    let room = case.x.iter().map(|x| f64::from((high - x).max(x - low)));
    Attacked {
        target: case.target,
        allowed: threat.allows(&candidate.x, &case.x, case.bounds),
        quantized: None,
        unbounded: threat.eps.is_none_or(|eps| threat.norm.of(room) <= eps),
        nearest: threat.eps.is_none().then_some(threat.norm),
        measures,
    }
}

//! A shard: probe, predict, judge.

use std::collections::BTreeMap;

use ndarray::Array2;

use super::attack::{Attacked, attack};
use super::audit::{Survey, audit};
use super::check::{Action, Check, Point};
use super::corrupt::corrupt;
use super::explain::explain;
use super::judge::{judge, judge_attack};
use super::verdict::{Audited, Evidence, Tags, Verdict};
use crate::data::Case;
use crate::engine::{Differentiated, Model, Prepared, prepare};
use crate::error::{Error, Result};
use crate::tensor::{Rng, Tensor, Tensors};

/// What a shard is run against.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub model: &'a Model,
    /// Its gradient, for checks that want one ([`Check::wants_gradient`]).
    pub gradient: Option<&'a Differentiated>,
    /// Rows of the probed input that stand for values that are not there, see [`background`].
    pub background: &'a [Vec<f32>],
    /// All cases of the job, for checks that look at them together ([`Check::wants_survey`]).
    pub survey: Option<&'a Survey>,
    /// The model with shuffled weights and its gradient, for checks that want it ([`Check::wants_randomised`]).
    pub randomised: Option<(&'a Model, Option<&'a Differentiated>)>,
}

impl<'a> Subject<'a> {
    /// A model, and nothing of what some checks want beside it.
    pub fn new(model: &'a Model) -> Self {
        Self { model, gradient: None, background: &[], survey: None, randomised: None }
    }
}

/// Cases in probe space with the model's clean scores, shared by all checks on them.
pub struct Chunk {
    /// Position of the first case in the suite.
    first: u64,
    ids: Vec<String>,
    /// By position in the suite, of cases that have any.
    tags: BTreeMap<u64, Tags>,
    prepared: Vec<Result<Prepared>>,
    /// Clean scores of the cases that could be prepared.
    clean: Vec<Option<Vec<f32>>>,
}

impl Chunk {
    /// Prepares `cases` and predicts them as they are. A case that cannot be prepared fails alone.
    pub fn new(model: &Model, cases: &[Case], first: u64) -> Result<Self> {
        let ids = cases.iter().map(|c| c.id.clone()).collect();
        let tagged = (first..).zip(cases).filter(|(_, case)| !case.tags.is_empty());
        let tags = tagged.map(|(index, case)| (index, case.tags.clone())).collect();
        let prepared: Vec<_> = cases.iter().map(|case| prepare(case, model.signature())).collect();
        let sound: Vec<&Tensors> = prepared.iter().flatten().map(|case| &case.inputs).collect();
        let mut scores = predict(model, &sound)?.into_iter();
        let clean = prepared.iter().map(|case| case.as_ref().ok().and_then(|_| scores.next())).collect();
        Ok(Self { first, ids, tags, prepared, clean })
    }

    /// The position of a case in the suite.
    pub(super) fn position(&self, case: usize) -> u64 {
        self.first + case as u64
    }

    /// Number of cases.
    pub(super) fn len(&self) -> usize {
        self.prepared.len()
    }

    /// The cases that could be prepared, by position in the chunk, with their clean scores.
    pub(super) fn sound(&self) -> impl Iterator<Item = (usize, (&Prepared, &[f32]))> {
        let both = self.prepared.iter().zip(&self.clean).enumerate();
        both.filter_map(|(i, (prepared, clean))| Some((i, (prepared.as_ref().ok()?, clean.as_deref()?))))
    }

    /// Why a case could not be prepared.
    pub(super) fn error(&self, case: usize) -> Error {
        self.prepared[case].as_ref().err().cloned().unwrap_or_else(|| Error::internal("chunk", "a case is missing"))
    }
}

/// Scores of single rows, through the model together.
pub(super) fn predict(model: &Model, rows: &[&Tensors]) -> Result<Vec<Vec<f32>>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let column = |name: &String| Tensor::concat(&rows.iter().filter_map(|r| r.get(name).cloned()).collect::<Vec<_>>());
    let inputs = first.keys().map(|name| Ok((name.clone(), column(name)?))).collect::<Result<Tensors>>()?;
    Ok(model.scores(&inputs)?.rows().into_iter().map(|row| row.to_vec()).collect())
}

/// Judges a chunk under one check: verdicts by case, then by point. `keep` keeps the probed inputs.
///
/// Fails only where the model itself fails; what is wrong with one case is that case's verdict.
pub fn run(
    subject: &Subject<'_>,
    chunk: &Chunk,
    check: &Check,
    position: u32,
    seed: u64,
    keep: bool,
) -> Result<Evidence> {
    let model = subject.model;
    let mut evidence = Evidence { tags: chunk.tags.clone(), ..Evidence::default() };
    let mut points = Vec::new();
    for (number, point) in (0..).zip(&check.points) {
        points.push(match &point.action {
            Action::Audit(auditor) => {
                let (rows, audited) = audit(subject, chunk, point, auditor.as_ref(), seed)?;
                evidence.audits.push(Audited { check: position, point: number, ..audited });
                rows
            }
            _ => probe(subject, chunk, point, seed)?,
        });
    }
    let mut kept: BTreeMap<&str, Vec<Option<Tensor>>> = BTreeMap::new();
    for (i, id) in chunk.ids.iter().enumerate() {
        for (number, rows) in points.iter_mut().enumerate() {
            let point = u32::try_from(number).unwrap_or(u32::MAX);
            let mut verdict = Verdict::blank(id, chunk.first + i as u64, position, point);
            let mut array = None;
            match (&chunk.prepared[i], &chunk.clean[i], &mut rows[i]) {
                (Ok(case), Some(clean), Ok(probed)) => {
                    let kind = model.signature().output.kind;
                    judge(&case.answer, clean, &probed.scores, kind, &mut verdict);
                    if let Some(attacked) = probed.attacked.take() {
                        judge_attack(&case.answer, attacked, &mut verdict);
                    }
                    verdict.measures.append(&mut probed.explained);
                    let said = [&verdict.reason, &probed.words].map(String::as_str);
                    verdict.reason = said.into_iter().filter(|said| !said.is_empty()).collect::<Vec<_>>().join("; ");
                    evidence.queries += probed.queries;
                    array = Some(std::mem::replace(&mut probed.array, Tensor::nothing()));
                }
                (Err(e), ..) => verdict.reason = e.to_string(),
                (.., Err(e)) => verdict.reason = e.to_string(),
                (Ok(_), None, _) => return Err(Error::internal("chunk", "clean scores are missing")),
            }
            evidence.verdicts.push(verdict);
            kept.entry(check.points[number].action.array()).or_default().push(array.filter(|_| keep));
        }
        let input = &model.signature().probed().name;
        let x = chunk.prepared[i].as_ref().ok().map(|case| case.inputs[input].clone());
        kept.entry("x").or_default().push(x.filter(|_| keep));
    }
    for (name, rows) in kept {
        evidence.arrays.extend(Tensor::concat_or_blank(rows)?.map(|rows| (name.to_owned(), rows)));
    }
    Ok(evidence)
}

/// A case after the probe: the model's scores, and the array that stands behind them.
pub(super) struct Probed {
    pub(super) scores: Vec<f32>,
    pub(super) array: Tensor,
    /// Rows that went through the model for it.
    pub(super) queries: u64,
    /// What an attack adds.
    pub(super) attacked: Option<Attacked>,
    /// Measures that an explainer adds.
    pub(super) explained: BTreeMap<String, f64>,
    /// What an explainer says in words; empty if nothing.
    pub(super) words: String,
}

/// All cases of a chunk at one point; a case that cannot be probed has its own error.
fn probe(subject: &Subject<'_>, chunk: &Chunk, point: &Point, seed: u64) -> Result<Vec<Result<Probed>>> {
    let model = subject.model;
    let input = model.signature().probed();
    let corrupter = match &point.action {
        Action::Nothing | Action::Audit(_) => return as_they_are(chunk),
        Action::Attack(attacker) => return attack(subject, chunk, point, attacker, seed),
        Action::Explain(attributor) => return explain(subject, chunk, point, attributor, seed),
        Action::Corrupt(corrupter) => corrupter,
    };
    let mut changed = Vec::new();
    for case in &chunk.prepared {
        changed.push(case.as_ref().map_err(Clone::clone).and_then(|case| {
            let mut rng = Rng::new(seed, &point.canonical, &case.id, 0);
            let mut inputs = case.inputs.clone();
            let x = corrupt(&inputs[&input.name], input, corrupter, &mut rng)?;
            inputs.insert(input.name.clone(), x);
            Ok(inputs)
        }));
    }
    let sound: Vec<&Tensors> = changed.iter().flatten().collect();
    let mut scores = predict(model, &sound)?.into_iter();
    let mut probed = |mut inputs: Tensors| Probed {
        scores: scores.next().unwrap_or_default(),
        array: inputs.remove(&input.name).unwrap_or_else(Tensor::nothing),
        queries: 1,
        attacked: None,
        explained: BTreeMap::new(),
        words: String::new(),
    };
    Ok(changed.into_iter().map(|inputs| inputs.map(&mut probed)).collect())
}

fn as_they_are(chunk: &Chunk) -> Result<Vec<Result<Probed>>> {
    let case = |(case, clean): (&Result<Prepared>, &Option<Vec<f32>>)| match case {
        Err(e) => Ok(Err(e.clone())),
        Ok(_) => {
            let scores = clean.clone().unwrap_or_default();
            let row =
                Array2::from_shape_vec((1, scores.len()), scores.clone()).map_err(|e| Error::internal("scores", e))?;
            let array = Tensor::F32(row.into_dyn());
            Ok(Ok(Probed {
                scores,
                array,
                queries: 1,
                attacked: None,
                explained: BTreeMap::new(),
                words: String::new(),
            }))
        }
    };
    chunk.prepared.iter().zip(&chunk.clean).map(case).collect()
}

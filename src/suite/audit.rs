//! Audits: what is read of all cases before any is asked, what is asked of a chunk, and what of a job is reported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayD;

use super::attack::values;
use super::check::Point;
use super::report::Metric;
use super::run::{Chunk, Probed, Subject};
use super::verdict::Audited;
use crate::data;
use crate::engine::{Answer, Limits, Model, Prepared, Target, prepare};
use crate::error::{Error, Result};
use crate::probe::audit::{Asked, Audit, Curve, Draw, Frame, Reduced, Table};
use crate::probe::explainer::Case;
use crate::tensor::{Tensor, Tensors};

/// All cases of a job as audits see them, and what audits settled about them.
#[derive(Default)]
pub struct Survey {
    table: Table,
    /// By seed and canonical SPEC.
    frames: Mutex<BTreeMap<(u64, String), Arc<Frame>>>,
}

impl Survey {
    /// Takes in further cases, in the order of the suite from position `first` on. Those that cannot be read are left out:
    /// their verdicts say why.
    pub fn add(&mut self, model: &Model, cases: &[data::Case], first: u64) {
        let name = &model.signature().probed().name;
        self.table.width = model.signature().probed().len();
        for (position, case) in (first..).zip(cases) {
            if let Ok(prepared) = prepare(case, model.signature()) {
                self.table.values.extend(values(&prepared.inputs[name]));
                self.table.positions.push(position);
            }
        }
    }

    fn frame(&self, model: &Model, auditor: &dyn Audit, draw: &Draw<'_>) -> Result<Arc<Frame>> {
        let key = (draw.seed, draw.check.to_owned());
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = frames.get(&key) {
            return Ok(known.clone());
        }
        let frame = Arc::new(auditor.fit(&self.table, model.signature(), draw)?);
        if frames.len() >= FRAMES_MAX {
            frames.clear();
        }
        frames.insert(key, frame.clone());
        Ok(frame)
    }
}

/// Frames that are remembered.
const FRAMES_MAX: usize = 16;

/// Asks all cases of a chunk; one that cannot be asked has its own error.
pub(super) fn audit(
    subject: &Subject<'_>,
    chunk: &Chunk,
    point: &Point,
    auditor: &dyn Audit,
    seed: u64,
) -> Result<(Vec<Result<Probed>>, Audited)> {
    let survey = subject.survey.ok_or_else(|| Error::internal("audit", "the cases were not read"))?;
    let (model, draw) = (subject.model, Draw { seed, check: &point.canonical });
    let frame = survey.frame(model, auditor, &draw)?;
    let class = auditor.class(&model.signature().output)?;
    let name = &model.signature().probed().name;
    let sound: Vec<(usize, (&Prepared, &[f32]))> =
        chunk.sound().filter(|(i, _)| survey.table.place(chunk.position(*i)).is_some()).collect();
    let case =
        |prepared: &Prepared| Case { id: prepared.id.clone(), x: values(&prepared.inputs[name]), class, mask: None };
    let cases: Vec<Case> = sound.iter().map(|(_, (prepared, _))| case(prepared)).collect();
    let answers: Vec<&Answer> = sound.iter().map(|(_, (prepared, _))| &prepared.answer).collect();
    let inputs: Vec<&Tensors> = sound.iter().map(|(_, (prepared, _))| &prepared.inputs).collect();
    let places: Vec<usize> = sound.iter().filter_map(|(i, _)| survey.table.place(chunk.position(*i))).collect();
    let target = Target::new(model, None, inputs, Limits::default());
    let asked = Asked {
        target: &target,
        cases: &cases,
        answers: &answers,
        places: &places,
        table: &survey.table,
        frame: &frame,
        background: subject.background,
        draw,
    };
    let rows = auditor.ask(&asked)?;
    let mut all: Vec<Result<Probed>> = (0..chunk.len()).map(|i| Err(chunk.error(i))).collect();
    let mut figures = BTreeMap::new();
    for (n, ((i, (_, clean)), row)) in sound.iter().zip(rows).enumerate() {
        let queries = target.spent(n).all();
        let array =
            ArrayD::from_shape_vec(vec![1, row.len()], row.clone()).map_err(|e| Error::internal("figures", e))?;
        let (scores, array) = (clean.to_vec(), Tensor::F64(array));
        let (explained, words) = (BTreeMap::new(), String::new());
        all[*i] = Ok(Probed { scores, array, queries, attacked: None, explained, words });
        figures.insert(chunk.position(*i), row);
    }
    Ok((all, Audited { check: 0, point: 0, frame: frame.told(), figures }))
}

/// What the shards of an audit found, so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    frame: Option<Frame>,
    figures: BTreeMap<u64, Vec<f64>>,
}

impl Collected {
    pub(super) fn add(&mut self, audited: &Audited) {
        self.frame.get_or_insert_with(|| audited.frame.clone());
        self.figures.extend(audited.figures.iter().map(|(position, row)| (*position, row.clone())));
    }

    /// Metrics, and curves; nothing without a case whose figures are all finite.
    pub(super) fn report(&self, auditor: &dyn Audit) -> (Vec<Metric>, Vec<Curve>) {
        let Some((frame, width)) = self.frame.as_ref().and_then(|frame| Some((frame, auditor.width(frame)?))) else {
            return Default::default();
        };
        let sound = |row: &&[f64]| row.len() == width && row.iter().all(|figure| figure.is_finite());
        let rows: Vec<&[f64]> = self.figures.values().map(Vec::as_slice).filter(sound).collect();
        if rows.is_empty() {
            return Default::default();
        }
        let Reduced { metrics, curves } = auditor.reduce(frame, &rows);
        let metric = |(name, part, figure)| Metric::new(name, figure, &format!("feature={part}"));
        (metrics.into_iter().map(metric).collect(), curves)
    }
}

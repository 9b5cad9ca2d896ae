//! Explanations of the cases of a chunk, and what a verdict keeps of them.

use std::collections::BTreeMap;

use super::attack::{row, values};
use super::check::Point;
use super::run::{Chunk, Probed, Subject};
use super::verdict::Verdict;
use crate::data;
use crate::engine::{Answer, Limits, Model, OutputKind, Prepared, Target, prepare};
use crate::error::{Error, Result};
use crate::metric::{Figure, Moments, rate};
use crate::probe::explainer::{self, Attributor, Case, Explanation, Of};
use crate::tensor::{Tensors, argmax};

/// Explains all cases of a chunk; one that cannot be explained has its own error.
pub(super) fn explain(
    subject: &Subject<'_>,
    chunk: &Chunk,
    point: &Point,
    attributor: &Attributor,
    seed: u64,
) -> Result<Vec<Result<Probed>>> {
    let signature = subject.model.signature();
    let input = signature.probed();
    let mut all: Vec<Result<Probed>> = (0..chunk.len()).map(|i| Err(chunk.error(i))).collect();
    let (mut places, mut cases, mut inputs) = (Vec::new(), Vec::new(), Vec::<&Tensors>::new());
    for (i, (prepared, clean)) in chunk.sound() {
        match class(attributor.of(), prepared, clean, signature.output.kind) {
            Ok(class) => {
                let (id, x) = (prepared.id.clone(), values(&prepared.inputs[&input.name]));
                cases.push(Case { id, x, class, mask: prepared.mask.clone() });
                inputs.push(&prepared.inputs);
                places.push((i, clean));
            }
            Err(e) => all[i] = Err(e),
        }
    }
    let target = Target::new(subject.model, subject.gradient, inputs.clone(), Limits::default());
    let randomised = subject.randomised.filter(|_| attributor.randomises());
    let randomised = randomised.map(|(model, gradient)| Target::new(model, gradient, inputs, Limits::default()));
    let (background, key) = (subject.background, &point.explained);
    let explanations = attributor.explain(&target, randomised.as_ref(), &cases, background, seed, key)?;
    for (n, (explanation, (i, clean))) in explanations.into_iter().zip(places).enumerate() {
        let queries = target.spent(n).all() + randomised.as_ref().map_or(0, |target| target.spent(n).all());
        let Explanation { attribution, residual, .. } = &explanation;
        if !residual.is_finite() || attribution.iter().any(|a| !a.is_finite()) {
            all[i] = Err(Error::invalid("", "the explanation is not finite"));
            continue;
        }
        let explained = measures(&explanation, queries);
        let array = row(input, explanation.attribution)?;
        let words = explanation.words;
        all[i] = Ok(Probed { scores: clean.to_vec(), array, queries, attacked: None, explained, words });
    }
    Ok(all)
}

/// Reference rows that are taken, at most.
pub const BACKGROUND_MAX: u64 = 1000;

/// The probed inputs of reference rows; whatever answers they expect.
pub fn background(model: &Model, cases: &[data::Case]) -> Result<Vec<Vec<f32>>> {
    let name = &model.signature().probed().name;
    let row = |case: &data::Case| {
        let unasked = data::Case { expected: data::Expected::Nothing, ..case.clone() };
        let prepared = prepare(&unasked, model.signature()).map_err(|e| e.under(&format!("background.{}", case.id)))?;
        Ok(values(&prepared.inputs[name]))
    };
    cases.iter().map(row).collect()
}

/// The class whose score is explained.
fn class(of: Of, prepared: &Prepared, clean: &[f32], kind: OutputKind) -> Result<usize> {
    if clean.iter().any(|score| !score.is_finite()) {
        return Err(Error::invalid("", "the model's answer is not finite"));
    }
    match (of, &prepared.answer) {
        _ if kind == OutputKind::Value => Ok(0),
        (Of::Class(class), _) => Ok(class),
        (Of::Answer(explainer::Answer::Predicted), _) => Ok(argmax(clean)),
        (Of::Answer(explainer::Answer::Label), Answer::Classes(right)) if !right.is_empty() => Ok(right[0]),
        _ => Err(Error::invalid("", "the label is to be explained, and the case has none")),
    }
}

#[allow(clippy::cast_precision_loss)]
fn measures(explanation: &Explanation, queries: u64) -> BTreeMap<String, f64> {
    let Explanation { residual, relative, measures, .. } = explanation;
    let own = [("residual", residual.abs()), ("residual_relative", *relative), (QUERIES, queries as f64)];
    let all = own.into_iter().chain(measures.iter().map(|(name, value)| (*name, *value)));
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The measure that says that a case was explained.
const QUERIES: &str = "explanation_queries";

/// Explained cases at a point.
#[derive(Clone, Debug, Default)]
pub(super) struct Explained {
    /// Measures by name.
    moments: BTreeMap<&'static str, Moments>,
}

/// Metrics of what only some explainers give, and their measures.
const OWN: [(&str, &str); 6] = [
    (FOUND, "found"),
    ("changed_mean", "changed"),
    ("distance_mean", "counterfactual_distance"),
    ("anchor_precision", "anchor_precision"),
    ("anchor_coverage", "anchor_coverage"),
    ("anchor_size", "anchor_size"),
];

/// The metric that is a share of cases.
const FOUND: &str = "counterfactual_rate";

/// A mean over cases; of yes and no, a share of them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn figure(name: &str, moments: &Moments) -> Figure {
    if name != FOUND {
        return moments.figure();
    }
    rate((moments.mean() * moments.n() as f64).round() as u64, moments.n())
}

/// Metrics of an explainer, with the measures that they are means of.
fn metrics() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = ["residual", "residual_relative"].into_iter().chain(explainer::MEASURES);
    own.map(|name| (name, name)).chain(OWN).chain([("queries_mean", QUERIES)])
}

/// Whether explainers have a metric of this name.
pub(super) fn has(name: &str) -> bool {
    metrics().any(|(metric, _)| metric == name)
}

impl Explained {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        if !verdict.measures.contains_key(QUERIES) {
            return;
        }
        for (_, measure) in metrics() {
            let value = verdict.measures.get(measure);
            value.into_iter().for_each(|value| self.moments.entry(measure).or_default().add(*value));
        }
    }

    /// Figures by name.
    pub(super) fn figures(&self) -> impl Iterator<Item = (&'static str, Option<Figure>)> {
        metrics().map(|(name, measure)| (name, self.moments.get(measure).map(|moments| figure(name, moments))))
    }
}

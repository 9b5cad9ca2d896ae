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
                cases.push(Case { id, x, class });
                inputs.push(&prepared.inputs);
                places.push((i, clean));
            }
            Err(e) => all[i] = Err(e),
        }
    }
    let target = Target::new(subject.model, subject.gradient, inputs, Limits::default());
    let explanations = attributor.explain(&target, &cases, subject.background, seed, &point.canonical)?;
    for (n, (explanation, (i, clean))) in explanations.into_iter().zip(places).enumerate() {
        let queries = target.spent(n).all();
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
    let Explanation { residual, relative, extra, .. } = explanation;
    let all = [("residual", residual.abs()), ("residual_relative", *relative), (QUERIES, queries as f64)];
    all.into_iter().chain(extra.iter().copied()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The measure that says that a case was explained.
const QUERIES: &str = "explanation_queries";

/// Metrics that are means over cases, and the measures that they are the means of.
const MEANS: [(&str, &str); 8] = [
    ("residual", "residual"),
    ("residual_relative", "residual_relative"),
    ("changed_mean", "changed"),
    ("distance_mean", "counterfactual_distance"),
    ("anchor_precision", "anchor_precision"),
    ("anchor_coverage", "anchor_coverage"),
    ("anchor_size", "anchor_size"),
    ("queries_mean", QUERIES),
];

/// Explained cases at a point.
#[derive(Clone, Debug, Default)]
pub(super) struct Explained {
    means: [Moments; MEANS.len()],
    /// Cases with a counterfactual, of those for which one was looked for.
    found: u64,
    sought: u64,
}

impl Explained {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        let measure = |name: &str| verdict.measures.get(name).copied();
        for (moments, (_, name)) in self.means.iter_mut().zip(MEANS) {
            measure(name).into_iter().for_each(|value| moments.add(value));
        }
        if let Some(found) = measure("found") {
            self.found += u64::from(found > 0.5);
            self.sought += 1;
        }
    }

    /// Figures by name.
    pub(super) fn figures(&self) -> Vec<(&'static str, Option<Figure>)> {
        let means = MEANS.iter().zip(&self.means);
        let means = means.map(|((name, _), moments)| (*name, (moments.n() > 0).then(|| moments.figure())));
        let found = (self.sought > 0).then(|| rate(self.found, self.sought));
        std::iter::once(("counterfactual_rate", found)).chain(means).collect()
    }
}

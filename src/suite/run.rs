//! Cases under one check: probe, predict, judge.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis};
use serde::Serialize;

use super::check::{Check, Kind, Params};
use crate::data::{Case, Class, Expected, Value};
use crate::engine::Model;
use crate::error::{Error, Result};
use crate::metric::{Rate, rate};
use crate::probe::corruption::{Entry, Severity};
use crate::tensor::{Pixels, Rng, Tensor};

/// How one case came out under one point of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub case: String,
    pub check: String,
    pub name: &'static str,
    pub params: Params,
    pub outcome: Outcome,
    pub label: u64,
    pub predicted_clean: u64,
    pub predicted: u64,
    pub measures: BTreeMap<String, f64>,
    pub seed: u64,
}

/// Held: the answer is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Held,
    Broken,
}

/// Judges one case under one check, all its points in order. Pictures are uint8, [channels, height, width].
pub fn run(model: &Model, case: &Case, check: &Check, seed: u64) -> Result<Vec<Verdict>> {
    let field = |message: String| Error::invalid(format!("cases[{}]", case.id), message);
    let (label, acceptable) = match &case.expected {
        Expected::Class { label: Class::Index(label), acceptable } => (*label, acceptable),
        other => return Err(field(format!("{other:?} was found, the index of a class was expected"))),
    };
    let mut inputs = case.inputs.values();
    let (Some(Value::Tensor(x)), None) = (inputs.next(), inputs.next()) else {
        return Err(field("one array was expected".to_owned()));
    };
    let (predicted_clean, classes) = predict(model, x).map_err(|e| e.under(&format!("cases[{}]", case.id)))?;
    if label >= classes {
        return Err(field(format!("label {label} was found, the model has {classes} classes")));
    }
    let verdict = |predicted, params| Verdict {
        case: case.id.clone(),
        check: check.spec.clone(),
        name: check.name(),
        params,
        outcome: if predicted == label || acceptable.contains(&Class::Index(predicted)) {
            Outcome::Held
        } else {
            Outcome::Broken
        },
        label,
        predicted_clean,
        predicted,
        measures: BTreeMap::new(),
        seed,
    };
    match &check.kind {
        Kind::Clean => Ok(vec![verdict(predicted_clean, Params::default())]),
        Kind::Corruption(entry, severities) => severities
            .iter()
            .map(|&severity| {
                let corrupted = corrupt(x, entry, severity, &case.id, seed).map_err(|e| field(e.to_string()))?;
                let (predicted, _) = predict(model, &corrupted)?;
                Ok(verdict(predicted, Params { severity: Some(severity.level()) }))
            })
            .collect(),
    }
}

/// Accuracy of each point of a check, in the order in which the points first stand in `verdicts`.
pub fn accuracies(verdicts: &[Verdict]) -> Vec<(String, Params, Rate)> {
    let mut points: Vec<(String, Params, u64, u64)> = Vec::new();
    for v in verdicts {
        let held = u64::from(v.outcome == Outcome::Held);
        match points.iter_mut().find(|(check, params, ..)| *check == v.check && *params == v.params) {
            Some(point) => {
                point.2 += held;
                point.3 += 1;
            }
            None => points.push((v.check.clone(), v.params.clone(), held, 1)),
        }
    }
    points.into_iter().map(|(check, params, held, n)| (check, params, rate(held, n))).collect()
}

/// Predicted class and number of classes; uint8 stands for value / 255.
fn predict(model: &Model, x: &Tensor) -> Result<(u64, u64)> {
    let row: ArrayD<f32> = match x {
        Tensor::U8(a) => a.mapv(|v| f32::from(v) / 255.0),
        Tensor::F32(a) => a.clone(),
        other => {
            let found = other.dtype().name();
            return Err(Error::invalid("input", format!("{found} was found, uint8 or float32 was expected")));
        }
    };
    if let Some(odd) = row.iter().find(|v| !v.is_finite()) {
        return Err(Error::invalid("input", format!("{odd} was found, finite numbers were expected")));
    }
    let scores = model.predict(&row.insert_axis(Axis(0)))?;
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    let (best, _) = best.ok_or_else(|| Error::invalid("model", "the output is empty"))?;
    Ok((best as u64, scores.len() as u64))
}

/// The picture `x` corrupted; the noise depends on seed, corruption, severity and case alone.
fn corrupt(x: &Tensor, entry: &Entry, severity: Severity, case: &str, seed: u64) -> Result<Tensor> {
    let refuse = || {
        let found = format!("{} of shape {:?} was found", x.dtype().name(), x.shape());
        Error::invalid("input", format!("{found}, {} wants uint8 [1 or 3, height, width]", entry.name))
    };
    let (Tensor::U8(a), &[channels, height, width]) = (x, x.shape()) else { return Err(refuse()) };
    let rows_last = a.view().permuted_axes(vec![1, 2, 0]);
    let mut image = Pixels::new(height, width, channels, rows_last.iter().copied().collect()).ok_or_else(refuse)?;
    let check = format!("{}:severity={}", entry.name, severity.level());
    (entry.corrupt)(&mut image, severity, &mut Rng::new(seed, &check, case, 0))?;
    let data = ArrayD::from_shape_vec(vec![height, width, channels], image.data)
        .map_err(|e| Error::internal("a corruption changed the size", e))?;
    Ok(Tensor::U8(data.permuted_axes(vec![2, 0, 1]).as_standard_layout().to_owned()))
}

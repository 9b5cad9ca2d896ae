//! `--predictions`: outputs made elsewhere are judged as those of a network that answers what it is given.

use std::collections::{BTreeMap, HashMap};

use crate::data::{self, Case, Cases, Value};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// That network: its output `scores` `[batch, classes]` is its input `predictions`.
pub(super) const IDENTITY: &[u8] = include_bytes!("identity.onnx");

fn refuse(message: String) -> Error {
    Error::invalid("predictions", message)
}

/// The cases with their predictions as inputs, and the number of scores of one case. Predictions belong to cases by id, or
/// by order where they have only row numbers.
pub(super) fn join(cases: Cases, spec: &str) -> Result<(Cases, usize)> {
    let predicted = data::read(spec).and_then(Iterator::collect::<Result<Vec<Case>>>);
    let predicted = predicted.map_err(|e| refuse(e.to_string()))?;
    let numbered = predicted.iter().enumerate().all(|(i, p)| p.id == i.to_string());
    let mut by_id = HashMap::new();
    let mut size = 0;
    for (i, prediction) in predicted.into_iter().enumerate() {
        let scores = scores(&prediction)?;
        size = if i == 0 { scores.len() } else { size };
        by_id.insert(prediction.id, scores);
    }
    let count = cases.len();
    let joined = cases.enumerate().map(move |(i, case)| {
        let case = case?;
        let scores = if numbered { by_id.remove(&i.to_string()) } else { by_id.remove(&case.id) };
        let scores = scores.ok_or_else(|| refuse(format!("there is none for case `{}`", case.id)))?;
        Ok(Case { inputs: BTreeMap::from([("predictions".to_owned(), Value::Tensor(scores))]), ..case })
    });
    Ok((Cases::new(count, joined), size))
}

/// One row of float32 scores; a value alone is a row of one.
fn scores(prediction: &Case) -> Result<Tensor> {
    let expected = "the scores of all classes (or one value) were expected";
    let (Some(Value::Tensor(found)), 1) = (prediction.inputs.values().next(), prediction.inputs.len()) else {
        let names: Vec<&str> = prediction.inputs.keys().map(String::as_str).collect();
        return Err(refuse(format!("{} were found; {expected}, such as file.npz#scores", names.join(", "))));
    };
    if !matches!(found, Tensor::F32(_) | Tensor::F64(_)) || found.shape().len() > 1 {
        let kind = found.dtype().name();
        return Err(refuse(format!("case {} has {kind} {:?}; {expected}", prediction.id, found.shape())));
    }
    #[allow(clippy::cast_possible_truncation)]
    let bytes: Vec<u8> = found.to_f64().into_iter().flat_map(|v| (v as f32).to_le_bytes()).collect();
    Tensor::from_bytes(crate::tensor::DType::F32, &[found.len()], &bytes)
}

/// The signature of the network for rows of this size, with what the caller's says of the output.
pub(super) fn signature(given: &str, size: usize) -> Result<String> {
    let refuse = |e: serde_norway::Error| Error::invalid("signature", e.to_string());
    let mut yaml: serde_json::Map<String, serde_json::Value> = match given.trim() {
        "" => serde_json::Map::new(),
        text => serde_norway::from_str(text).map_err(refuse)?,
    };
    yaml.insert("input".to_owned(), serde_json::json!({"shape": [size], "layout": "NF"}));
    serde_norway::to_string(&yaml).map_err(refuse)
}

/// There is nothing to probe: only `clean` can be asked of outputs.
pub(super) fn only_clean(checks: &[String]) -> Result<()> {
    match checks.iter().position(|check| check != "clean") {
        None => Ok(()),
        Some(i) => Err(Error::invalid(
            format!("checks[{i}]"),
            format!("`{}` was found; of predictions made elsewhere only `clean` can be asked", checks[i]),
        )),
    }
}

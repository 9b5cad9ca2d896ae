//! A `SUITE.yaml`: a job as a team keeps it beside its code.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::args::{Output, Run};
use super::client::file;
use super::schema;
use crate::error::{Error, Result, nearest};
use crate::lab::remote::RemoteModel;
use crate::suite::write_spec;

/// A job for `assay run --suite`: a model, cases, and what is asked of them. Paths are relative to this file; options
/// of the command line come before what it says.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "assay suite")]
pub(super) struct SuiteFile {
    /// The ONNX file, or the address of a model elsewhere: `grpc://HOST:PORT/NAME`.
    pub(super) model: Option<PathBuf>,
    /// Scores made elsewhere in place of a model, such as `out.npz#scores`, by id or in order.
    pub(super) predictions: Option<String>,
    /// A YAML file that completes what the ONNX file says of its inputs and output.
    pub(super) signature: Option<PathBuf>,
    /// Test cases: an .npz (`file.npz#x,y` names the arrays), a .csv or .parquet (`file.csv#label`), a .jsonl, or a
    /// folder of pictures.
    pub(super) cases: Option<String>,
    /// What is done with the cases; `clean` only predicts them.
    #[serde(default)]
    #[schemars(schema_with = "schema::checks")]
    checks: Vec<Either<NamedCheck>>,
    /// Conditions for a release, such as `clean.accuracy >= 0.9`.
    #[serde(default)]
    #[schemars(schema_with = "schema::gates")]
    gates: Vec<Either<GateWithPolicy>>,
    /// Every random number follows from it; 0 if it is not given.
    pub(super) seed: Option<u64>,
    /// Only the first cases.
    pub(super) limit: Option<u64>,
    /// What gates such as `clean.accuracy >= baseline - 0.01` compare with: the output of an earlier
    /// `run --output jsonl`, or the name of a finished job of the service.
    pub(super) baseline: Option<String>,
    /// Reference rows for explainers that need them: a file or folder as `cases`, or a suite of the service.
    pub(super) background: Option<String>,
    /// Tags of the cases by which the report is sliced; all of them if it is not given.
    pub(super) slices: Option<Vec<String>>,
    /// What stdout gets; a table if it is not given.
    pub(super) output: Option<Output>,
    /// A self-contained page with pictures and curves is written here.
    pub(super) report: Option<PathBuf>,
    /// An .npz per check, and pictures, are written into this folder.
    pub(super) artifacts: Option<PathBuf>,
}

/// A probe with parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedCheck {
    name: String,
    #[serde(default)]
    params: Map<String, Value>,
}

/// A gate and what an inconclusive outcome counts as.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GateWithPolicy {
    /// Such as `clean.accuracy >= 0.9`.
    gate: String,
    /// What counts where the interval holds the threshold.
    #[serde(default)]
    inconclusive: Policy,
}

#[derive(Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Policy {
    #[default]
    Fail,
    Pass,
}

/// An entry in its short form, a text, or its long one. An untagged enum would lose the place of a mistake.
enum Either<T> {
    Text(String),
    Long(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Forms<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Forms<T> {
            type Value = Either<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a map")
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Either<T>, E> {
                Ok(Either::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Either<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Either::Long)
            }
        }
        deserializer.deserialize_any(Forms(std::marker::PhantomData))
    }
}

/// Whether a model is elsewhere, and its address no path.
fn is_remote(model: &Path) -> bool {
    model.to_str().is_some_and(RemoteModel::looks_like)
}

impl SuiteFile {
    /// Reads the file; its paths then stand as seen from here. A mistake is named with its line, and an unknown field
    /// with the nearest known one.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let suite: Self = serde_norway::from_slice(&file(path, "suite")?).map_err(|e| mistake(path, &e))?;
        let beside = |given: String| folder.join(given).to_string_lossy().into_owned();
        let near = |given: PathBuf| folder.join(given);
        let named = |name: String| if name.starts_with("tenants/") { name } else { beside(name) };
        Ok(Self {
            model: suite.model.map(|model| if is_remote(&model) { model } else { near(model) }),
            predictions: suite.predictions.map(beside),
            signature: suite.signature.map(near),
            cases: suite.cases.map(beside),
            baseline: suite.baseline.map(named),
            background: suite.background.map(named),
            report: suite.report.map(near),
            artifacts: suite.artifacts.map(near),
            ..suite
        })
    }

    /// The checks as SPECs.
    pub(super) fn checks(&self) -> Result<Vec<String>> {
        let spec = |(i, check): (usize, &Either<NamedCheck>)| match check {
            Either::Text(spec) => Ok(spec.clone()),
            Either::Long(check) => check.spec().map_err(|e| e.under(&format!("suite.checks[{i}].params"))),
        };
        self.checks.iter().enumerate().map(spec).collect()
    }

    /// The gates as expressions.
    pub(super) fn gates(&self) -> Vec<String> {
        let text = |gate: &Either<GateWithPolicy>| match gate {
            Either::Text(text) => text.clone(),
            Either::Long(long) if long.inconclusive == Policy::Pass => format!("{} or inconclusive", long.gate),
            Either::Long(long) => long.gate.clone(),
        };
        self.gates.iter().map(text).collect()
    }

    /// Gives a run what its options left open.
    pub(super) fn complete(self, run: &mut Run) -> Result<()> {
        if run.ask.checks.is_empty() {
            run.ask.checks = self.checks()?;
        }
        if run.ask.gates.is_empty() {
            run.ask.gates = self.gates();
        }
        if run.model.is_none() && run.predictions.is_none() {
            if self.model.is_some() && self.predictions.is_some() {
                return Err(Error::invalid("suite", "it has both `model` and `predictions`; one of them was expected"));
            }
            (run.model, run.predictions) = (self.model, self.predictions);
        }
        let Run { ask, show, .. } = run;
        run.cases = run.cases.take().or(self.cases);
        run.signature = run.signature.take().or(self.signature);
        run.slices = run.slices.take().or(self.slices);
        ask.seed = ask.seed.or(self.seed);
        ask.limit = ask.limit.or(self.limit);
        ask.baseline = ask.baseline.take().or(self.baseline);
        ask.background = ask.background.take().or(self.background);
        show.output = show.output.or(self.output);
        show.report = show.report.take().or(self.report);
        show.artifacts = show.artifacts.take().or(self.artifacts);
        Ok(())
    }
}

impl NamedCheck {
    /// The SPEC that says the same, so that all output and all gates name one text.
    fn spec(&self) -> Result<String> {
        for (name, value) in &self.params {
            let fits = match value {
                Value::Array(items) => items.iter().all(plain),
                one => plain(one),
            };
            if !fits {
                let message =
                    format!("{value} was found; a number, a word, true, false, or a list of such was expected");
                return Err(Error::invalid(name, message));
            }
        }
        Ok(write_spec(&self.name, &self.params))
    }
}

/// Whether a SPEC can hold the value: neither nothing nor a map, nor text with a SPEC's own signs.
fn plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty() && !text.contains([',', '[', ']']),
        other => other.is_number() || other.is_boolean(),
    }
}

/// The parser's error with the file, its line, and what may have been meant.
fn mistake(path: &Path, e: &serde_norway::Error) -> Error {
    let text = e.to_string();
    // serde's wording of an unknown field: the first quoted word is what was found, the others are what is known.
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let near = match words.split_first() {
        Some((found, known)) if text.contains("unknown") => nearest(found, known.iter().copied()),
        _ => None,
    };
    let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    Error::invalid("suite", format!("{}: {text}{hint}", path.display()))
}

//! What a suite holds, gathered while it is uploaded, so that a job is refused before any case is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::slices::{Census, Slicer};
use crate::data::{Case, Class, Expected, Value, picture};
use crate::error::{Error, Result};
use crate::tensor::DType;

/// Most kinds of arrays (type and shape) that are kept for one input; more are not a suite but a mistake.
const KINDS_MAX: usize = 64;

/// Most class names that are kept.
const NAMES_MAX: usize = 100_000;

/// Over all cases of a suite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub cases: u64,
    /// By input name.
    pub inputs: BTreeMap<String, Arrays>,
    pub answers: Answers,
    /// How its cases fall into slices; set by [`Summary::finish`].
    pub slices: Slicer,
    #[serde(skip)]
    census: Census,
}

/// The arrays given for one input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrays {
    /// Cases that have this input.
    pub count: u64,
    /// First case that gives a picture file.
    pub picture: Option<String>,
    /// Type and shape of arrays, with the first case that has them.
    pub kinds: Vec<(DType, Vec<usize>, String)>,
    /// Smallest and largest finite value by type, with their cases.
    pub low: BTreeMap<String, (f64, String)>,
    pub high: BTreeMap<String, (f64, String)>,
    /// First case with a value that is not finite.
    pub odd: Option<String>,
}

/// The answers expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    pub classes: u64,
    pub values: u64,
    pub nothing: u64,
    /// Largest class index with its first case.
    pub largest: Option<(u64, String)>,
    /// Class names, each with its first case.
    pub names: BTreeMap<String, String>,
}

impl Summary {
    /// Takes in a case; refuses what no model could take, under the case's field.
    pub fn add(&mut self, case: &Case) -> Result<()> {
        if case.id.is_empty() || case.id.len() > 1024 {
            return Err(Error::invalid("id", format!("{} bytes were found, 1 to 1024 were expected", case.id.len())));
        }
        if case.inputs.is_empty() {
            return Err(Error::invalid("inputs", "there is none"));
        }
        for (name, value) in &case.inputs {
            let arrays = self.inputs.entry(name.clone()).or_default();
            arrays.add(value, &case.id).map_err(|e| e.under(&format!("inputs.{name}")))?;
        }
        self.answers.add(&case.expected, &case.id).map_err(|e| e.under("expected"))?;
        self.census.add(&case.tags);
        self.cases += 1;
        Ok(())
    }

    /// Cuts the slices, after the last case.
    pub fn finish(&mut self) {
        self.slices = std::mem::take(&mut self.census).slicer();
    }
}

impl Arrays {
    fn add(&mut self, value: &Value, id: &str) -> Result<()> {
        self.count += 1;
        let tensor = match value {
            Value::Image(file) => {
                // The header alone: decoding is a slot's work.
                picture::dimensions(file)?;
                self.picture.get_or_insert_with(|| id.to_owned());
                return Ok(());
            }
            Value::Tensor(tensor) => tensor,
        };
        let kind = (tensor.dtype(), tensor.shape());
        if !self.kinds.iter().any(|(d, s, _)| (*d, s.as_slice()) == kind) {
            if self.kinds.len() == KINDS_MAX {
                let message = format!("more than {KINDS_MAX} different types and shapes were found");
                return Err(Error::invalid("", message));
            }
            self.kinds.push((kind.0, kind.1.to_vec(), id.to_owned()));
        }
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in tensor.to_f64() {
            if value.is_finite() {
                (low, high) = (low.min(value), high.max(value));
            } else {
                self.odd.get_or_insert_with(|| id.to_owned());
            }
        }
        let key = tensor.dtype().name();
        if low <= high && self.low.get(key).is_none_or(|(lowest, _)| low < *lowest) {
            self.low.insert(key.to_owned(), (low, id.to_owned()));
        }
        if low <= high && self.high.get(key).is_none_or(|(highest, _)| high > *highest) {
            self.high.insert(key.to_owned(), (high, id.to_owned()));
        }
        Ok(())
    }
}

impl Answers {
    fn add(&mut self, expected: &Expected, id: &str) -> Result<()> {
        match expected {
            Expected::Nothing => self.nothing += 1,
            Expected::Value(v) if !v.is_finite() => {
                return Err(Error::invalid("value", format!("{v} was found, a finite number was expected")));
            }
            Expected::Value(_) => self.values += 1,
            Expected::Class { label, acceptable } => {
                self.classes += 1;
                for class in std::iter::once(label).chain(acceptable) {
                    self.class(class, id)?;
                }
            }
        }
        Ok(())
    }

    fn class(&mut self, class: &Class, id: &str) -> Result<()> {
        match class {
            Class::Index(index) if self.largest.as_ref().is_none_or(|(largest, _)| index > largest) => {
                self.largest = Some((*index, id.to_owned()));
            }
            Class::Index(_) => {}
            Class::Name(name) => {
                if self.names.len() >= NAMES_MAX && !self.names.contains_key(name) {
                    return Err(Error::invalid("class", format!("more than {NAMES_MAX} class names were found")));
                }
                self.names.entry(name.clone()).or_insert_with(|| id.to_owned());
            }
        }
        Ok(())
    }
}

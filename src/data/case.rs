//! A case: named inputs, the expected answer, tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::tensor::Tensor;

/// One sample with what is expected of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Unique within the suite.
    pub id: String,
    /// Inputs by name, without the sample axis. A lone input binds to a model's lone input whatever its name.
    pub inputs: BTreeMap<String, Value>,
    pub expected: Expected,
    pub tags: BTreeMap<String, Tag>,
}

/// An input as it travels: numbers, or an image file that is decoded only in a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Tensor(Tensor),
    /// A PNG, JPEG or WebP file.
    Image(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// What the model should answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expected {
    Nothing,
    /// The right class and further classes that are right too.
    Class {
        label: Class,
        acceptable: Vec<Class>,
    },
    Value(f64),
}

/// A class by index or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    Index(u64),
    Name(String),
}

/// A property of a case by which results are sliced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tag {
    Number(f64),
    Text(String),
}

impl Expected {
    /// The answer of classes that are all right: the first is the label, each counts once. Without any, nothing is
    /// expected.
    pub(super) fn of(classes: impl IntoIterator<Item = Class>) -> Self {
        let mut classes = classes.into_iter();
        let Some(label) = classes.next() else { return Self::Nothing };
        let mut acceptable = Vec::new();
        for class in classes {
            if class != label && !acceptable.contains(&class) {
                acceptable.push(class);
            }
        }
        Self::Class { label, acceptable }
    }
}

impl Case {
    /// SHA-256 over id, inputs, answer and tags: equal digests mean equal cases.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(self.id.as_bytes());
        for (name, value) in &self.inputs {
            part(name.as_bytes());
            match value {
                Value::Image(bytes) => part(bytes),
                Value::Tensor(Tensor::Text(text)) => text.iter().for_each(|t| part(t.as_bytes())),
                Value::Tensor(tensor) => {
                    part(format!("{}{:?}", tensor.dtype().name(), tensor.shape()).as_bytes());
                    part(&tensor.to_bytes());
                }
            }
        }
        part(format!("{:?}{:?}", self.expected, self.tags).as_bytes());
        hash.finalize().into()
    }
}

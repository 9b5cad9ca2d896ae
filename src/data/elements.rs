//! Nested lists of JSON as tensors.

use ndarray::{ArrayD, IxDyn};
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What an input is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Truth,
    Whole,
    Float,
    Text,
    Picture,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Truth => "a truth value",
            Self::Whole | Self::Float => "a number",
            Self::Text => "a text",
            Self::Picture => "a picture",
        }
    }

    /// What both are: whole numbers may stand among others.
    pub(super) fn merge(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Whole, Self::Float) | (Self::Float, Self::Whole) => Some(Self::Float),
            _ => (self == other).then_some(self),
        }
    }
}

/// A list, or what may stand in one.
pub(super) trait Node: Sized {
    /// The items, of a list.
    fn items(&self) -> Option<&[Self]>;
}

impl Node for Json {
    fn items(&self) -> Option<&[Self]> {
        self.as_array().map(Vec::as_slice)
    }
}

/// The elements of a nested list in row-major order, or a single one.
pub(super) struct Elements<'a, T> {
    pub(super) shape: Vec<usize>,
    pub(super) list: Vec<&'a T>,
}

impl<'a, T: Node> Elements<'a, T> {
    /// Refuses lists of uneven lengths, and empty ones.
    pub(super) fn new(node: &'a T) -> Result<Self> {
        let mut elements = Self { shape: Vec::new(), list: Vec::new() };
        let mut first = node;
        while let Some(items) = first.items() {
            elements.shape.push(items.len());
            first = items.first().ok_or_else(|| Error::invalid("", "a list without an element was found"))?;
        }
        elements.add(node, 0)?;
        Ok(elements)
    }

    fn add(&mut self, node: &'a T, depth: usize) -> Result<()> {
        match (node.items(), self.shape.get(depth)) {
            (Some(items), Some(&length)) if items.len() == length => {
                items.iter().try_for_each(|item| self.add(item, depth + 1))
            }
            (None, None) => {
                self.list.push(node);
                Ok(())
            }
            _ => {
                let message = format!("lists of uneven lengths were found where the first have {:?}", self.shape);
                Err(Error::invalid("", message))
            }
        }
    }

    /// An array of what `read` makes of each element; `expected` is told where it makes nothing.
    pub(super) fn array<V>(&self, expected: &str, read: impl Fn(&T) -> Option<V>) -> Result<ArrayD<V>>
    where
        T: std::fmt::Display,
    {
        let wrong = |node: &T| Error::invalid("", format!("{node} was found, {expected} was expected"));
        let list = self.list.iter().map(|node| read(node).ok_or_else(|| wrong(node)));
        ArrayD::from_shape_vec(IxDyn(&self.shape), list.collect::<Result<Vec<V>>>()?)
            .map_err(|e| Error::invalid("", e.to_string()))
    }
}

impl Elements<'_, Json> {
    pub(super) fn kind(&self) -> Result<Kind> {
        let one = |json: &Json| match json {
            Json::Bool(_) => Ok(Kind::Truth),
            Json::Number(n) if n.is_i64() => Ok(Kind::Whole),
            Json::Number(_) | Json::Null => Ok(Kind::Float),
            Json::String(_) => Ok(Kind::Text),
            _ => Err(Error::invalid("", "an object was found in a list")),
        };
        let mut kinds = self.list.iter().map(|json| one(json));
        let first = kinds.next().unwrap_or(Ok(Kind::Float));
        kinds.fold(first, |all, kind| {
            let (all, kind) = (all?, kind?);
            let mixed = || Error::invalid("", format!("{} was found in a list beside {}", kind.name(), all.name()));
            all.merge(kind).ok_or_else(mixed)
        })
    }

    /// A tensor of float32 for [`Kind::Float`] (null is NaN), int64 for [`Kind::Whole`], or truth values or text.
    pub(super) fn tensor(&self, kind: Kind) -> Result<Tensor> {
        #[allow(clippy::cast_possible_truncation)]
        let float = |json: &Json| if json.is_null() { Some(f32::NAN) } else { json.as_f64().map(|v| v as f32) };
        let expected = kind.name();
        Ok(match kind {
            Kind::Truth => Tensor::Bool(self.array(expected, Json::as_bool)?),
            Kind::Whole => Tensor::I64(self.array(expected, Json::as_i64)?),
            Kind::Float => Tensor::F32(self.array(expected, float)?),
            Kind::Text | Kind::Picture => Tensor::Text(self.array(expected, |json| json.as_str().map(str::to_owned))?),
        })
    }
}

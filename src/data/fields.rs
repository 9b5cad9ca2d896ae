//! Values of a `.parquet` as parts of a case.

use std::path::Path;

use ndarray::Array1;
use parquet::record::{Field, Row};

use super::elements::{Elements, Node};
use super::{Class, Expected, Tag, Value, beside};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

impl Node for Field {
    fn items(&self) -> Option<&[Self]> {
        if let Self::ListInternal(list) = self { Some(list.elements()) } else { None }
    }
}

fn refuse(found: &Field, expected: &str) -> Error {
    Error::invalid("", format!("{found} was found, {expected} was expected"))
}

/// An id: a text or a whole number.
pub(super) fn text(field: &Field) -> Result<String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        _ => whole(field).map(|n| n.to_string()).ok_or_else(|| refuse(field, "a text or a whole number")),
    }
}

/// A float32 feature; a missing one is NaN.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub(super) fn number(field: &Field) -> Result<f32> {
    match field {
        Field::Float(v) => Ok(*v),
        _ => float(field).map(|v| v as f32).ok_or_else(|| refuse(field, "a number")),
    }
}

/// The features of a row, `[features]`.
pub(super) fn vector(features: Vec<f32>) -> Value {
    Value::Tensor(Tensor::F32(Array1::from(features).into_dyn()))
}

fn whole(field: &Field) -> Option<i64> {
    match field {
        Field::Bool(v) => Some(i64::from(*v)),
        Field::Byte(v) => Some(i64::from(*v)),
        Field::Short(v) => Some(i64::from(*v)),
        Field::Int(v) => Some(i64::from(*v)),
        Field::Long(v) => Some(*v),
        Field::UByte(v) => Some(i64::from(*v)),
        Field::UShort(v) => Some(i64::from(*v)),
        Field::UInt(v) => Some(i64::from(*v)),
        Field::ULong(v) => i64::try_from(*v).ok(),
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)]
fn float(field: &Field) -> Option<f64> {
    match field {
        Field::Float16(v) => Some(f64::from(*v)),
        Field::Float(v) => Some(f64::from(*v)),
        Field::Double(v) => Some(*v),
        Field::Null => Some(f64::NAN),
        _ => whole(field).map(|v| v as f64),
    }
}

/// A tag; nothing where the field is empty.
pub(super) fn tag(field: &Field) -> Option<Tag> {
    match field {
        Field::Null => None,
        Field::Str(text) => Some(Tag::Text(text.clone())),
        Field::Bool(_) => Some(Tag::Text(field.to_string())),
        _ => Some(float(field).map_or_else(|| Tag::Text(field.to_string()), Tag::Number)),
    }
}

/// An input of its own: a text, a picture, or a (nested) list.
pub(super) fn input(field: Field, folder: &Path) -> Result<Value> {
    match field {
        Field::Str(text) => Tensor::from_text(&[], vec![text]).map(Value::Tensor),
        Field::Bytes(file) => Ok(Value::Image(file.data().to_vec())),
        Field::Group(row) => picture(&row, folder),
        Field::ListInternal(_) => list(&Elements::new(&field)?).map(Value::Tensor),
        other => Err(refuse(&other, "a number, a list, a text or a picture")),
    }
}

/// The struct `{bytes, path}`: the path is that of a file beside the `.parquet`, where no bytes are.
fn picture(row: &Row, folder: &Path) -> Result<Value> {
    let field = |name: &str| row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field);
    match (field("bytes"), field("path")) {
        (Some(Field::Bytes(file)), _) => Ok(Value::Image(file.data().to_vec())),
        (_, Some(Field::Str(path))) => beside::picture(folder, Path::new(path)),
        _ => {
            let found: Vec<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            let found = found.join(", ");
            Err(Error::invalid("", format!("a struct of {found} was found; one of `bytes` and `path` was expected")))
        }
    }
}

/// A tensor of the list's own type, or the next wider one that the contract has. A missing float is NaN.
fn list(elements: &Elements<'_, Field>) -> Result<Tensor> {
    let first = elements.list.iter().find(|field| !matches!(field, Field::Null));
    #[allow(clippy::cast_possible_truncation)]
    Ok(match first {
        Some(Field::Bool(_)) => {
            Tensor::Bool(elements.array("a truth value", |f| if let Field::Bool(v) = f { Some(*v) } else { None })?)
        }
        Some(Field::UByte(_)) => {
            Tensor::U8(elements.array("a number", |f| if let Field::UByte(v) = f { Some(*v) } else { None })?)
        }
        Some(Field::Byte(_) | Field::Short(_) | Field::Int(_) | Field::UShort(_)) => {
            Tensor::I32(elements.array("a number", |f| whole(f).and_then(|v| i32::try_from(v).ok()))?)
        }
        Some(Field::Long(_) | Field::UInt(_) | Field::ULong(_)) => Tensor::I64(elements.array("a number", whole)?),
        Some(Field::Double(_)) => Tensor::F64(elements.array("a number", float)?),
        Some(Field::Str(_)) => {
            Tensor::Text(elements.array("a text", |f| if let Field::Str(v) = f { Some(v.clone()) } else { None })?)
        }
        _ => Tensor::F32(elements.array("a number", |f| float(f).map(|v| v as f32))?),
    })
}

/// The answer of a label, and of a text (with spaces) or list of further right classes.
pub(super) fn expected(label: &Field, acceptable: &Field) -> Result<Expected> {
    let mut classes = Vec::new();
    let mut add = |field: &Field| {
        let class = match (field, whole(field).map(u64::try_from)) {
            (Field::Str(name), _) => Class::Name(name.clone()),
            (_, Some(Ok(index))) => Class::Index(index),
            _ => return Err(refuse(field, "the index of a class (from 0) or its name")),
        };
        classes.push(class);
        Ok(())
    };
    match (label, acceptable) {
        (Field::Null, Field::Null) => return Ok(Expected::Nothing),
        (Field::Float16(_) | Field::Float(_) | Field::Double(_), Field::Null) => {
            return Ok(float(label).filter(|v| !v.is_nan()).map_or(Expected::Nothing, Expected::Value));
        }
        _ => label.items().unwrap_or(std::slice::from_ref(label)).iter().try_for_each(&mut add)?,
    }
    match acceptable {
        Field::Null => {}
        Field::Str(list) => {
            let named = matches!(label, Field::Str(_));
            for word in list.split_whitespace() {
                let index = word.parse().ok().filter(|_| !named).map(Field::ULong);
                add(&index.unwrap_or_else(|| Field::Str(word.to_owned())))?;
            }
        }
        other => other.items().unwrap_or(std::slice::from_ref(other)).iter().try_for_each(&mut add)?,
    }
    Ok(Expected::of(classes))
}

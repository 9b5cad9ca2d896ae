//! Floor 0: tensors, images, random numbers. Nothing here knows a model.

mod image;
mod norm;
mod resample;
mod rng;

pub use image::Pixels;
pub use norm::{Norm, sign, sparse};
pub use resample::{Kernel, resample};
pub use rng::Rng;

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis, IxDyn};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Index of the largest score; the first of equals, 0 if there is none.
pub fn argmax<'a, T: Copy + Into<f64> + 'a>(scores: impl IntoIterator<Item = &'a T>) -> usize {
    let by_score = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0));
    scores.into_iter().map(|score| (*score).into()).enumerate().max_by(by_score).map_or(0, |(i, _)| i)
}

/// Named tensors; axis 0 is the sample axis where several samples are held.
pub type Tensors = BTreeMap<String, Tensor>;

/// Element types that a case or a model can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DType {
    #[serde(rename = "float32")]
    F32,
    #[serde(rename = "float64")]
    F64,
    #[serde(rename = "int32")]
    I32,
    #[serde(rename = "int64")]
    I64,
    #[serde(rename = "uint8")]
    U8,
    #[serde(rename = "bool")]
    Bool,
    #[serde(rename = "string")]
    Text,
}

impl DType {
    /// The name used in signatures and messages, as numpy spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Text => "string",
        }
    }

    /// Whether it has a gradient.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Bytes of one element; 0 for text.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::U8 | Self::Bool => 1,
            Self::Text => 0,
        }
    }
}

/// A dense array of one of the element types, in row-major order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub enum Tensor {
    F32(ArrayD<f32>),
    F64(ArrayD<f64>),
    I32(ArrayD<i32>),
    I64(ArrayD<i64>),
    U8(ArrayD<u8>),
    Bool(ArrayD<bool>),
    Text(ArrayD<String>),
}

macro_rules! each {
    ($tensor:expr, $a:ident => $body:expr) => {
        match $tensor {
            Tensor::F32($a) => $body,
            Tensor::F64($a) => $body,
            Tensor::I32($a) => $body,
            Tensor::I64($a) => $body,
            Tensor::U8($a) => $body,
            Tensor::Bool($a) => $body,
            Tensor::Text($a) => $body,
        }
    };
}

impl Tensor {
    /// No element at all.
    pub fn nothing() -> Self {
        Self::U8(ArrayD::zeros(IxDyn(&[0])))
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        each!(self, a => a.shape())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(self, a => a.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::I32(_) => DType::I32,
            Self::I64(_) => DType::I64,
            Self::U8(_) => DType::U8,
            Self::Bool(_) => DType::Bool,
            Self::Text(_) => DType::Text,
        }
    }

    /// The numeric values as float64, in row-major order; text has none.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(a) => a.iter().map(|&v| f64::from(v)).collect(),
            Self::F64(a) => a.iter().copied().collect(),
            Self::I32(a) => a.iter().map(|&v| f64::from(v)).collect(),
            #[allow(clippy::cast_precision_loss)]
            Self::I64(a) => a.iter().map(|&v| v as f64).collect(),
            Self::U8(a) => a.iter().map(|&v| f64::from(v)).collect(),
            Self::Bool(a) => a.iter().map(|&v| f64::from(u8::from(v))).collect(),
            Self::Text(_) => Vec::new(),
        }
    }

    /// The same, rounded to float32.
    #[allow(clippy::cast_possible_truncation)]
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(a) => a.iter().copied().collect(),
            other => other.to_f64().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// Row `i` along axis 0, without that axis. Panics if `i` is out of range, as slices do.
    #[must_use]
    pub fn row(&self, i: usize) -> Self {
        fn of<T: Clone>(a: &ArrayD<T>, i: usize) -> ArrayD<T> {
            a.index_axis(Axis(0), i).to_owned()
        }
        match self {
            Self::F32(a) => Self::F32(of(a, i)),
            Self::F64(a) => Self::F64(of(a, i)),
            Self::I32(a) => Self::I32(of(a, i)),
            Self::I64(a) => Self::I64(of(a, i)),
            Self::U8(a) => Self::U8(of(a, i)),
            Self::Bool(a) => Self::Bool(of(a, i)),
            Self::Text(a) => Self::Text(of(a, i)),
        }
    }

    /// Rows `rows` along axis 0, in that order, repeats allowed. Panics if one is out of range, as slices do.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::F32(a) => Self::F32(a.select(Axis(0), rows)),
            Self::F64(a) => Self::F64(a.select(Axis(0), rows)),
            Self::I32(a) => Self::I32(a.select(Axis(0), rows)),
            Self::I64(a) => Self::I64(a.select(Axis(0), rows)),
            Self::U8(a) => Self::U8(a.select(Axis(0), rows)),
            Self::Bool(a) => Self::Bool(a.select(Axis(0), rows)),
            Self::Text(a) => Self::Text(a.select(Axis(0), rows)),
        }
    }

    /// One tensor with an axis more, from tensors of one shape and type. Fails if they differ or there is none.
    pub fn stack(parts: &[&Self]) -> Result<Self> {
        macro_rules! of {
            ($variant:ident) => {{
                let views: Vec<_> = parts
                    .iter()
                    .filter_map(|t| if let Self::$variant(a) = t { Some(a.view()) } else { None })
                    .collect();
                let stacked = (views.len() == parts.len()).then(|| ndarray::stack(Axis(0), &views));
                stacked.and_then(std::result::Result::ok).map(Self::$variant)
            }};
        }
        let stacked = match parts.first().map(|t| t.dtype()) {
            Some(DType::F32) => of!(F32),
            Some(DType::F64) => of!(F64),
            Some(DType::I32) => of!(I32),
            Some(DType::I64) => of!(I64),
            Some(DType::U8) => of!(U8),
            Some(DType::Bool) => of!(Bool),
            Some(DType::Text) => of!(Text),
            None => None,
        };
        stacked.ok_or_else(|| {
            let found: Vec<_> = parts.iter().map(|t| (t.dtype().name(), t.shape())).collect();
            Error::invalid("", format!("tensors of one shape and type were expected, {found:?} were found"))
        })
    }

    /// The tensors one after another along axis 0.
    pub fn concat(parts: &[Self]) -> Result<Self> {
        let rows: Vec<Self> = parts.iter().flat_map(|t| (0..t.shape()[0]).map(|i| t.row(i))).collect();
        Self::stack(&rows.iter().collect::<Vec<_>>())
    }

    /// The tensors one after another along axis 0, with zeros (NaN for floats) where one is missing; a missing one has
    /// the shape of the first that is there. `None` if none is there.
    pub fn concat_or_blank(parts: Vec<Option<Self>>) -> Result<Option<Self>> {
        let Some(blank) = parts.iter().flatten().next().map(Self::blank) else { return Ok(None) };
        let whole: Vec<Self> = parts.into_iter().map(|part| part.unwrap_or_else(|| blank.clone())).collect();
        Self::concat(&whole).map(Some)
    }

    /// Nothing, in the shape of this tensor.
    fn blank(&self) -> Self {
        let shape = self.shape();
        match self {
            Self::F32(_) => Self::F32(ArrayD::from_elem(shape, f32::NAN)),
            Self::F64(_) => Self::F64(ArrayD::from_elem(shape, f64::NAN)),
            Self::I32(_) => Self::I32(ArrayD::zeros(shape)),
            Self::I64(_) => Self::I64(ArrayD::zeros(shape)),
            Self::U8(_) => Self::U8(ArrayD::zeros(shape)),
            Self::Bool(_) => Self::Bool(ArrayD::from_elem(shape, false)),
            Self::Text(_) => Self::Text(ArrayD::from_elem(shape, String::new())),
        }
    }

    /// Tensor of `dtype` and `shape` from little-endian bytes; fails if the sizes do not agree.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let expected = count.and_then(|n| n.checked_mul(dtype.size()));
        if dtype == DType::Text || expected != Some(bytes.len()) {
            return Err(Error::invalid(
                "data",
                format!("{} bytes were found for shape {shape:?} of {}", bytes.len(), dtype.name()),
            ));
        }
        fn array<T, const N: usize>(shape: &[usize], bytes: &[u8], read: fn([u8; N]) -> T) -> Result<ArrayD<T>> {
            let (chunks, _) = bytes.as_chunks::<N>();
            ArrayD::from_shape_vec(IxDyn(shape), chunks.iter().map(|c| read(*c)).collect())
                .map_err(|e| Error::invalid("shape", e.to_string()))
        }
        Ok(match dtype {
            DType::F32 => Self::F32(array(shape, bytes, f32::from_le_bytes)?),
            DType::F64 => Self::F64(array(shape, bytes, f64::from_le_bytes)?),
            DType::I32 => Self::I32(array(shape, bytes, i32::from_le_bytes)?),
            DType::I64 => Self::I64(array(shape, bytes, i64::from_le_bytes)?),
            DType::U8 => Self::U8(array(shape, bytes, |[b]: [u8; 1]| b)?),
            DType::Bool => Self::Bool(array(shape, bytes, |[b]: [u8; 1]| b != 0)?),
            // Refused above: text has no fixed width.
            DType::Text => return Err(Error::invalid("dtype", "text does not travel as raw bytes")),
        })
    }

    /// The elements as little-endian bytes in row-major order; empty for text.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I32(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::I64(a) => a.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::U8(a) => a.iter().copied().collect(),
            Self::Bool(a) => a.iter().map(|&v| u8::from(v)).collect(),
            Self::Text(_) => Vec::new(),
        }
    }

    /// Text of `shape`; fails if the count does not agree.
    pub fn from_text(shape: &[usize], text: Vec<String>) -> Result<Self> {
        let array = ArrayD::from_shape_vec(IxDyn(shape), text).map_err(|e| Error::invalid("shape", e.to_string()))?;
        Ok(Self::Text(array))
    }
}

/// How a tensor is stored: type, shape and bytes, so that large ones cost one copy and not one call an element.
#[derive(Serialize, Deserialize)]
struct Raw {
    dtype: DType,
    shape: Vec<usize>,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    text: Vec<String>,
}

impl From<Tensor> for Raw {
    fn from(tensor: Tensor) -> Self {
        let (dtype, shape, data) = (tensor.dtype(), tensor.shape().to_vec(), tensor.to_bytes());
        let text = if let Tensor::Text(a) = tensor { a.into_iter().collect() } else { Vec::new() };
        Self { dtype, shape, data, text }
    }
}

impl TryFrom<Raw> for Tensor {
    type Error = Error;
    fn try_from(raw: Raw) -> Result<Self> {
        match raw.dtype {
            DType::Text => Self::from_text(&raw.shape, raw.text),
            dtype => Self::from_bytes(dtype, &raw.shape, &raw.data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_and_lies_about_size_are_refused() {
        let t = Tensor::F32(ArrayD::from_shape_fn(IxDyn(&[2, 3]), |i| (i[0] * 3 + i[1]) as f32 * 0.5));
        let back = Tensor::from_bytes(DType::F32, t.shape(), &t.to_bytes()).unwrap();
        assert_eq!(t, back);
        assert!(Tensor::from_bytes(DType::F32, &[usize::MAX, 2], &[0; 8]).is_err());
        assert!(Tensor::from_bytes(DType::F32, &[3], &[0; 8]).is_err());
    }
}

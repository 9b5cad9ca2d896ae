//! Tensors as the Open Inference Protocol has them. What comes from outside is counted before it is believed.

use ndarray::{ArrayD, IxDyn};

use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::inference::{InferTensorContents, ModelInferResponse};
use crate::engine::Question;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// The datatypes that assay carries, by the protocol's names.
const DATATYPES: [(&str, DType); 6] = [
    ("FP32", DType::F32),
    ("FP64", DType::F64),
    ("INT64", DType::I64),
    ("INT32", DType::I32),
    ("UINT8", DType::U8),
    ("BOOL", DType::Bool),
];

/// Axes of a tensor, at most.
const AXES_MAX: usize = 16;

/// The protocol's name of a type; `None` for text.
pub fn datatype(dtype: DType) -> Option<&'static str> {
    DATATYPES.iter().find(|(_, known)| *known == dtype).map(|(name, _)| *name)
}

/// The type of a name, if assay carries it.
pub fn dtype(datatype: &str) -> Option<DType> {
    DATATYPES.iter().find(|(name, _)| *name == datatype).map(|(_, dtype)| *dtype)
}

/// Where the values of a tensor stand.
pub enum Values<'a> {
    /// Row-major, little-endian.
    Raw(&'a [u8]),
    /// In the field that the datatype wants.
    Typed(&'a InferTensorContents),
}

/// A tensor from what came; refuses types that assay does not carry and counts that do not agree, by field.
pub fn read(name: &str, shape: &[i64], values: &Values<'_>) -> Result<Tensor> {
    let known = || DATATYPES.map(|(name, _)| name).join(", ");
    let found = || name.chars().take(32).collect::<String>();
    let dtype = dtype(name)
        .ok_or_else(|| Error::invalid("datatype", format!("`{}` was found; {} are taken", found(), known())))?;
    let wrong = |_| Error::invalid("shape", format!("{shape:?} was found, lengths were expected"));
    if shape.len() > AXES_MAX {
        return Err(Error::invalid("shape", format!("{} axes were found, at most {AXES_MAX} are taken", shape.len())));
    }
    let shape: Vec<usize> = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<_, _>>().map_err(wrong)?;
    match values {
        Values::Raw(bytes) => Tensor::from_bytes(dtype, &shape, bytes),
        Values::Typed(contents) => typed(dtype, &shape, contents),
    }
}

fn typed(dtype: DType, shape: &[usize], contents: &InferTensorContents) -> Result<Tensor> {
    fn array<T>(shape: &[usize], values: Vec<T>) -> Result<ArrayD<T>> {
        let message = format!("{} values of the datatype were found for shape {shape:?}", values.len());
        ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|_| Error::invalid("contents", message))
    }
    let bytes = || {
        let byte = |v: &u32| u8::try_from(*v).map_err(|_| Error::invalid("contents", format!("{v} is no UINT8")));
        contents.uint_contents.iter().map(byte).collect::<Result<_>>()
    };
    Ok(match dtype {
        DType::F32 => Tensor::F32(array(shape, contents.fp32_contents.clone())?),
        DType::F64 => Tensor::F64(array(shape, contents.fp64_contents.clone())?),
        DType::I64 => Tensor::I64(array(shape, contents.int64_contents.clone())?),
        DType::I32 => Tensor::I32(array(shape, contents.int_contents.clone())?),
        DType::U8 => Tensor::U8(array(shape, bytes()?)?),
        DType::Bool => Tensor::Bool(array(shape, contents.bool_contents.clone())?),
        DType::Text => return Err(Error::internal("contents", "text is not carried")),
    })
}

/// The values in the field that the datatype wants.
pub fn contents(tensor: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match tensor {
        Tensor::F32(a) => contents.fp32_contents = a.iter().copied().collect(),
        Tensor::F64(a) => contents.fp64_contents = a.iter().copied().collect(),
        Tensor::I64(a) => contents.int64_contents = a.iter().copied().collect(),
        Tensor::I32(a) => contents.int_contents = a.iter().copied().collect(),
        Tensor::U8(a) => contents.uint_contents = a.iter().map(|v| u32::from(*v)).collect(),
        Tensor::Bool(a) => contents.bool_contents = a.iter().copied().collect(),
        Tensor::Text(a) => contents.bytes_contents = a.iter().map(|text| text.clone().into_bytes()).collect(),
    }
    contents
}

/// Lengths as the protocol has them.
pub fn shape(tensor: &Tensor) -> Vec<i64> {
    tensor.shape().iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect()
}

/// An input of a request, and its bytes.
pub(super) fn input(name: &str, tensor: &Tensor) -> Result<(InferInputTensor, Vec<u8>)> {
    let datatype = datatype(tensor.dtype()).ok_or_else(|| Error::internal("remote", "text was to be asked"))?;
    let (name, datatype) = (name.to_owned(), datatype.to_owned());
    let input = InferInputTensor { name, datatype, shape: shape(tensor), ..InferInputTensor::default() };
    Ok((input, tensor.to_bytes()))
}

/// An output that is wanted.
pub(super) fn wanted(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor { name: name.to_owned(), ..InferRequestedOutputTensor::default() }
}

/// The output that was asked for: there once, of its type, with its rows, and without NaN.
pub(super) fn answer(response: ModelInferResponse, question: &Question) -> Result<Tensor> {
    let field = format!("outputs.{}", question.output);
    let refuse = |message: String| Error::invalid(&field, message);
    let raw = &response.raw_output_contents;
    let mut named = response.outputs.iter().enumerate().filter(|(_, output)| output.name == question.output);
    let (Some((i, output)), None) = (named.next(), named.next()) else {
        return Err(refuse(format!("one was expected among the {} that were answered", response.outputs.len())));
    };
    let shared = output.parameters.get("shared_memory_region").and_then(|p| p.parameter_choice.as_ref());
    if let Some(ParameterChoice::StringParam(_)) = shared {
        return Err(refuse("lies in shared memory, which is not read".to_owned()));
    }
    let nothing = InferTensorContents::default();
    let values = match raw.get(i) {
        Some(bytes) => Values::Raw(bytes),
        None if raw.is_empty() => Values::Typed(output.contents.as_ref().unwrap_or(&nothing)),
        None => return Err(refuse(format!("has no bytes; {} came for all outputs", raw.len()))),
    };
    let tensor = read(&output.datatype, &output.shape, &values).map_err(|e| e.under(&field))?;
    if tensor.dtype() != question.dtype {
        let expected = datatype(question.dtype).unwrap_or_default();
        return Err(refuse(format!("datatype {} was found, {expected} was announced", output.datatype)));
    }
    if let Some(rows) = question.rows.filter(|rows| tensor.shape().first() != Some(rows)) {
        return Err(refuse(format!("shape {:?} was found, {rows} rows were asked for", tensor.shape())));
    }
    let odd = tensor.dtype().is_float() && tensor.to_f64().iter().any(|v| v.is_nan());
    if odd { Err(refuse("NaN was found, scores were expected".to_owned())) } else { Ok(tensor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_goes_there_and_back_raw_and_typed() {
        let bytes: Vec<u8> = (0..48u8).map(|i| i % 2).collect();
        for (name, dtype) in DATATYPES {
            let tensor = Tensor::from_bytes(dtype, &[2, 3], &bytes[..6 * dtype.size()]).unwrap();
            let (raw, typed) = (tensor.to_bytes(), contents(&tensor));
            for values in [Values::Raw(&raw), Values::Typed(&typed)] {
                assert_eq!(read(name, &[2, 3], &values).unwrap(), tensor, "{name}");
                for shape in [&[2, 4][..], &[-1, 3], &[i64::MAX, i64::MAX], &[1; 17]] {
                    assert!(read(name, shape, &values).is_err(), "{name} {shape:?}");
                }
            }
            assert_eq!(super::dtype(datatype(dtype).unwrap()), Some(dtype));
        }
        for other in ["FP16", "BF16", "BYTES", "INT8", "fp32", ""] {
            assert!(read(other, &[1], &Values::Raw(&[0])).unwrap_err().to_string().contains("FP32, FP64"), "{other}");
        }
        let large = InferTensorContents { uint_contents: vec![256], ..InferTensorContents::default() };
        assert!(read("UINT8", &[1], &Values::Typed(&large)).unwrap_err().to_string().contains("256"));
    }
}

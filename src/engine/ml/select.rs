//! Columns: ArrayFeatureExtractor, FeatureVectorizer, ZipMap.

use anyhow::ensure;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{Kind, Operator, columns, ints, own, table};

pub(super) fn array_feature_extractor(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    Ok(own(ArrayFeatureExtractor, node))
}

/// Columns of the last axis by index; a vector becomes a row.
#[derive(Debug)]
struct ArrayFeatureExtractor;

impl Operator for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        let (dtype, mut shape) = inputs[0].clone();
        ensure!(inputs.len() == 2 && !shape.is_empty(), "ArrayFeatureExtractor: an array and indices were expected");
        let chosen: TDim = inputs[1].1.iter().product();
        if shape.len() == 1 {
            shape.insert(0, 1.to_dim());
        }
        let last = shape.len() - 1;
        shape[last] = chosen;
        Ok(tvec![(dtype, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        fn of<T: Datum>(x: &Tensor, chosen: &[usize], shape: &[usize]) -> TractResult<Tensor> {
            let width = columns(x).max(1);
            let values = x.try_as_plain_ram()?.as_slice::<T>()?;
            let picked: Vec<T> =
                values.chunks_exact(width).flat_map(|row| chosen.iter().map(|&c| row[c].clone())).collect();
            Ok(tract_ndarray::ArrayD::from_shape_vec(shape, picked)?.into_tensor())
        }
        let (x, indices) = (&inputs[0], inputs[1].cast_to::<i64>()?);
        let width = columns(x);
        let index = |&i: &i64| usize::try_from(i).ok().filter(|i| *i < width);
        let chosen: Option<Vec<usize>> = indices.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(index).collect();
        let chosen =
            chosen.with_context(|| format!("ArrayFeatureExtractor: an index is not one of {width} columns"))?;
        let mut shape = if x.rank() == 1 { tvec![1] } else { TVec::from(&x.shape()[..x.rank() - 1]) };
        shape.push(chosen.len());
        Ok(tvec![match x.datum_type() {
            DatumType::F32 => of::<f32>(x, &chosen, &shape)?,
            DatumType::F64 => of::<f64>(x, &chosen, &shape)?,
            DatumType::I32 => of::<i32>(x, &chosen, &shape)?,
            DatumType::I64 => of::<i64>(x, &chosen, &shape)?,
            DatumType::String => of::<String>(x, &chosen, &shape)?,
            other => anyhow::bail!("ArrayFeatureExtractor: {other:?} is not carried"),
        }])
    }
}

pub(super) fn feature_vectorizer(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let widths = ints(node, "inputdimensions")?;
    ensure!(widths.len() == node.input.len(), "FeatureVectorizer: one width an input was expected");
    let widths = widths.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>()?;
    ensure!(widths.iter().all(|w| *w <= 1 << 20), "FeatureVectorizer: at most {} columns were expected", 1 << 20);
    Ok(own(FeatureVectorizer(widths), node))
}

/// Tables side by side as float32, each cut or filled up with zeros to its width.
#[derive(Debug)]
struct FeatureVectorizer(Vec<usize>);

impl Operator for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        let (rows, _) = table(&inputs[0])?;
        for input in inputs {
            ensure!(table(input)?.0 == rows, "FeatureVectorizer: the inputs have different numbers of rows");
        }
        Ok(tvec![(DatumType::F32, tvec![rows, self.0.iter().sum::<usize>().to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let width = self.0.iter().sum::<usize>();
        let rows = if inputs[0].rank() == 1 { 1 } else { inputs[0].shape()[0] };
        let mut y = vec![0f32; rows * width];
        let mut offset = 0;
        for (x, kept) in inputs.iter().zip(&self.0) {
            let x = x.cast_to::<f32>()?;
            let from = columns(&x).max(1);
            let values = x.try_as_plain_ram()?.as_slice::<f32>()?;
            for (to, from) in y.chunks_exact_mut(width.max(1)).zip(values.chunks_exact(from)) {
                let kept = from.len().min(*kept);
                to[offset..offset + kept].copy_from_slice(&from[..kept]);
            }
            offset += kept;
        }
        Ok(tvec![Tensor::from_shape(&[rows, width], &y)?])
    }
}

pub(super) fn zip_map(_: &ParsingContext, _: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    Ok(Box::<tract_onnx::tract_hir::ops::identity::Identity>::default())
}

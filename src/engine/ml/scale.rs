//! Single values: Binarizer, Imputer, Normalizer.

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{Kind, Operator, columns, floats, ints, own, table, text};

pub(super) fn binarizer(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    Ok(own(Binarizer(node.get_attr_opt("threshold")?.unwrap_or(0.0)), node))
}

/// 1 above the threshold, else 0.
#[derive(Debug)]
struct Binarizer(f32);

impl Operator for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        Ok(tvec![(DatumType::F32, inputs[0].1.clone())])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].cast_to::<f32>()?;
        let above = x.to_plain_array_view::<f32>()?.mapv(|v| if v > self.0 { 1f32 } else { 0.0 });
        Ok(tvec![above.into_tensor()])
    }
}

pub(super) fn imputer(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let (floats, integers) = (floats(node, "imputed_value_floats")?, ints(node, "imputed_value_int64s")?);
    ensure!(floats.is_empty() != integers.is_empty(), "Imputer: either floats or integers to impute were expected");
    if floats.is_empty() {
        let replaced = node.get_attr_opt::<i64>("replaced_value_int64")?.unwrap_or(0);
        return Ok(own(Imputer { replaced, imputed: integers }, node));
    }
    let replaced = node.get_attr_opt::<f32>("replaced_value_float")?.unwrap_or(0.0);
    Ok(own(Imputer { replaced, imputed: floats }, node))
}

/// What equals `replaced` (NaN equals NaN) becomes its column's value, or the first where there is not one a column.
#[derive(Debug)]
struct Imputer<T> {
    replaced: T,
    imputed: Vec<T>,
}

impl<T: Datum + Copy + PartialEq> Operator for Imputer<T> {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        table(&inputs[0])?;
        ensure!(inputs[0].0 == T::datum_type(), "Imputer: {:?} was found, {:?} imputed", inputs[0].0, T::datum_type());
        Ok(tvec![inputs[0].clone()])
    }

    // A value that does not equal itself is NaN, whatever the type.
    #[allow(clippy::eq_op)]
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut y = inputs[0].clone().into_tensor();
        let width = columns(&y);
        let each = self.imputed.len() == width;
        for (i, v) in y.to_plain_array_view_mut::<T>()?.iter_mut().enumerate() {
            if *v == self.replaced || (*v != *v && self.replaced != self.replaced) {
                *v = self.imputed[if each { i % width } else { 0 }];
            }
        }
        Ok(tvec![y])
    }
}

pub(super) fn normalizer(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let norm = match text(node, "norm", "MAX")?.as_str() {
        "MAX" => Normalizer::Max,
        "L1" => Normalizer::L1,
        "L2" => Normalizer::L2,
        other => bail!("Normalizer: the norm {other} is not known"),
    };
    Ok(own(norm, node))
}

/// Rows divided by their norm; a row of norm 0 stays.
#[derive(Debug)]
enum Normalizer {
    /// The largest value, not the largest magnitude.
    Max,
    L1,
    L2,
}

impl Normalizer {
    fn norm(&self, row: &[f32]) -> f32 {
        match self {
            Self::Max => row.iter().copied().fold(f32::MIN, f32::max),
            Self::L1 => row.iter().map(|v| v.abs()).sum(),
            Self::L2 => row.iter().map(|v| v * v).sum::<f32>().sqrt(),
        }
    }
}

impl Operator for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        table(&inputs[0])?;
        Ok(tvec![(DatumType::F32, inputs[0].1.clone())])
    }

    fn differentiable(&self) -> Option<usize> {
        Some(0)
    }

    /// (g - <g, y> dnorm/dx) / norm.
    fn pull(&self, row: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let norm = self.norm(row);
        if norm == 0.0 {
            return cotangent.to_vec();
        }
        let along = row.iter().zip(cotangent).map(|(x, g)| x / norm * g).sum::<f32>();
        let first = row.iter().position(|v| *v == norm);
        let slope = |(i, x): (usize, &f32)| match self {
            Self::Max => f32::from(u8::from(Some(i) == first)),
            Self::L1 if *x == 0.0 => 0.0,
            Self::L1 => x.signum(),
            Self::L2 => x / norm,
        };
        row.iter().enumerate().map(slope).zip(cotangent).map(|(slope, g)| (g - along * slope) / norm).collect()
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut y = inputs[0].cast_to::<f32>()?.into_owned();
        let width = columns(&y);
        for row in y.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.chunks_exact_mut(width.max(1)) {
            let norm = self.norm(row);
            if norm != 0.0 {
                row.iter_mut().for_each(|v| *v /= norm);
            }
        }
        Ok(tvec![y])
    }
}

//! Between assay's tensors and tract's: rows in, rows out, each copied once.

use ndarray::ArrayD;
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{DatumType, TValue};
use tract_onnx::tract_core::internal::Tensor as Inner;

use crate::tensor::{DType, Tensor};

pub(super) fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::F32 => DatumType::F32,
        DType::F64 => DatumType::F64,
        DType::I32 => DatumType::I32,
        DType::I64 => DatumType::I64,
        DType::U8 => DatumType::U8,
        DType::Bool => DatumType::Bool,
        DType::Text => DatumType::String,
    }
}

/// Rows `start..start + batch` in `shape`; where there are fewer, the last one stands again, so that every batch has
/// one size.
pub(super) fn feed(tensor: &Tensor, start: usize, batch: usize, shape: &[usize]) -> anyhow::Result<TValue> {
    fn of<T: tract::Datum + Clone>(
        a: &ArrayD<T>,
        start: usize,
        batch: usize,
        shape: &[usize],
    ) -> anyhow::Result<Inner> {
        let standard = a.as_standard_layout();
        let values = standard.as_slice().ok_or_else(|| anyhow::anyhow!("a tensor is not in row-major order"))?;
        let width: usize = a.shape()[1..].iter().product();
        let rows = batch.min(a.shape()[0] - start);
        let mut taken = Vec::with_capacity(batch * width);
        taken.extend_from_slice(&values[start * width..(start + rows) * width]);
        for _ in rows..batch {
            taken.extend_from_within((rows - 1) * width..rows * width);
        }
        Ok(tract::tract_ndarray::ArrayD::from_shape_vec(shape, taken)?.into())
    }
    let tensor = match tensor {
        Tensor::F32(a) => of(a, start, batch, shape),
        Tensor::F64(a) => of(a, start, batch, shape),
        Tensor::I32(a) => of(a, start, batch, shape),
        Tensor::I64(a) => of(a, start, batch, shape),
        Tensor::U8(a) => of(a, start, batch, shape),
        Tensor::Bool(a) => of(a, start, batch, shape),
        Tensor::Text(a) => of(a, start, batch, shape),
    };
    Ok(tensor?.into())
}

/// The first `rows` rows of the batches `parts`, in the shape `shape` after the sample axis. Types that assay does not
/// carry (the smaller integers) become float32.
pub(super) fn gather(parts: &[TValue], rows: usize, shape: &[usize]) -> anyhow::Result<Tensor> {
    fn of<T: tract::Datum + Clone>(parts: &[TValue], rows: usize, shape: &[usize]) -> anyhow::Result<ArrayD<T>> {
        let length = rows * shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(length);
        for part in parts {
            let part = part.cast_to_dt(T::datum_type())?;
            let view = part.to_plain_array_view::<T>()?;
            values.extend(view.iter().take(length - values.len()).cloned());
        }
        let shape: Vec<usize> = std::iter::once(rows).chain(shape.iter().copied()).collect();
        Ok(ArrayD::from_shape_vec(shape, values)?)
    }
    let dtype = parts.first().map_or(DatumType::F32, |part| part.datum_type());
    Ok(match dtype {
        DatumType::F64 => Tensor::F64(of(parts, rows, shape)?),
        DatumType::I32 => Tensor::I32(of(parts, rows, shape)?),
        DatumType::I64 => Tensor::I64(of(parts, rows, shape)?),
        DatumType::U8 => Tensor::U8(of(parts, rows, shape)?),
        DatumType::Bool => Tensor::Bool(of(parts, rows, shape)?),
        DatumType::String => Tensor::Text(of(parts, rows, shape)?),
        _ => Tensor::F32(of(parts, rows, shape)?),
    })
}

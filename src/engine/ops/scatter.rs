//! Cotangents put back where values were taken from.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::downsample::Downsample;

use super::{Kernel, Real, slice};

/// Puts the values along an axis `stride` apart, zeros between them.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Spread {
    axis: usize,
    stride: isize,
    first: usize,
    length: usize,
}

impl Spread {
    /// The adjoint of a Downsample of an axis of this length.
    pub(in crate::engine) fn new(op: &Downsample, length: usize) -> TractResult<Self> {
        ensure!(op.stride != 0, "a stride of 0 was found");
        // A negative stride reads from the end.
        let first = if op.stride > 0 { op.modulo } else { length.saturating_sub(1 + op.modulo) };
        Ok(Self { axis: op.axis, stride: op.stride, first, length })
    }
}

impl Kernel for Spread {
    const NAME: &'static str = "Spread";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut fact = inputs[0].without_value();
        fact.shape.set(self.axis, self.length.to_dim());
        Ok(tvec![fact])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let g = args_1!(inputs);
        let mut shape: TVec<usize> = g.shape().into();
        shape[self.axis] = self.length;
        let mut out = Tensor::zero_dt(T::datum_type(), &shape)?;
        let taken = g.to_plain_array_view::<T>()?;
        let mut into = out.to_plain_array_view_mut::<T>()?;
        let axis = tract_ndarray::Axis(self.axis);
        for (i, values) in taken.axis_iter(axis).enumerate() {
            let at = self.first.checked_add_signed(self.stride * isize::try_from(i)?).context("stride")?;
            into.index_axis_mut(axis, at).assign(&values);
        }
        Ok(tvec![out])
    }
}

/// Inputs: cotangent, and for each of its values the place in row-major order that it belongs to. Adds them up there, in
/// a tensor of this shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ScatterAdd(pub(in crate::engine) TVec<usize>);

impl Kernel for ScatterAdd {
    const NAME: &'static str = "ScatterAdd";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].datum_type.fact(&*self.0)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, places) = args_2!(inputs);
        let mut out = Tensor::zero_dt(T::datum_type(), &self.0)?;
        let mut plain = out.try_as_plain_ram_mut()?;
        let into = plain.as_slice_mut::<T>()?;
        let places = places.try_as_plain_ram()?;
        for (g, place) in slice::<T>(&g)?.iter().zip(places.as_slice::<i64>()?) {
            let to = usize::try_from(*place).ok().and_then(|place| into.get_mut(place));
            let to = to.with_context(|| format!("place {place} of {:?}", self.0))?;
            *to = *to + *g;
        }
        Ok(tvec![out])
    }
}

//! Adjoints of reductions that are no arithmetic.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ndarray::Zip;

use super::{Kernel, Real};

/// Inputs: cotangent, input and output of a reduction to the largest or smallest. Values equal to it share the
/// cotangent evenly, as with torch's `amax`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Extremum;

impl Kernel for Extremum {
    const NAME: &'static str = "ExtremumAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x, y) = args_3!(inputs);
        let (x, y) = (x.to_plain_array_view::<T>()?, y.to_plain_array_view::<T>()?);
        let wide = y.broadcast(x.raw_dim()).context("the output is no reduction of the input")?;
        let mut shares = Zip::from(&x).and(&wide).map_collect(|x, y| if x == y { T::one() } else { T::zero() });
        let mut ties = shares.clone();
        for axis in (0..x.ndim()).filter(|a| y.shape()[*a] != x.shape()[*a]) {
            let axis = tract_ndarray::Axis(axis);
            ties = ties.map_axis(axis, |lane| lane.iter().copied().sum::<T>()).insert_axis(axis);
        }
        let scaled = Zip::from(&g.to_plain_array_view::<T>()?).and(&ties).map_collect(|g, ties| *g / *ties);
        let scaled = scaled.broadcast(x.raw_dim()).context("the cotangent is none of the output")?;
        Zip::from(&mut shares).and(&scaled).for_each(|share, g| *share = if share.is_zero() { *share } else { *g });
        Ok(tvec![shares.into_tensor()])
    }
}

/// For each value the product of the others along the axes: the slope of a product, also where values are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct ProductOfOthers(pub(in crate::engine) TVec<usize>);

impl Kernel for ProductOfOthers {
    const NAME: &'static str = "ProductOfOthers";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let x = args_1!(inputs);
        let x = x.to_plain_array_view::<T>()?;
        // Axis by axis: the others of this axis, times the product over the axes before it.
        let (mut others, mut product) = (x.mapv(|_| T::one()), x.to_owned());
        for &axis in &self.0 {
            let axis = tract_ndarray::Axis(axis);
            let mut along = product.clone();
            for (mut lane, from) in along.lanes_mut(axis).into_iter().zip(product.lanes(axis)) {
                for i in 0..lane.len() {
                    lane[i] = from.iter().enumerate().filter(|(j, _)| *j != i).fold(T::one(), |p, (_, v)| p * *v);
                }
            }
            let wide = along.broadcast(x.raw_dim()).context("axes")?;
            Zip::from(&mut others).and(&wide).for_each(|o, a| *o = *o * *a);
            product = product.map_axis(axis, |l| l.iter().fold(T::one(), |p, v| p * *v)).insert_axis(axis);
        }
        Ok(tvec![others.into_tensor()])
    }
}

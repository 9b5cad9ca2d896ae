//! A number a channel of a picture in blocks, taken of it, added to it or multiplied with it: squeeze and excitation.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::math;

use super::LANES;
use crate::engine::ops::{Kernel, Real, concrete, slice};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Add,
    Mul,
}

/// Inputs: `[N, C / 16, H, W, 16]`, and `[N or 1, C / 16, 1, 1, 16]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PerChannel(Does);

impl PerChannel {
    /// The operator that does the same, where the order of its inputs does not matter.
    pub(super) fn of(op: &TypedBinOp) -> Option<Self> {
        let is = |other: &dyn BinMiniOp| op.0.name() == other.name();
        let does = [(Does::Add, is(&math::Add)), (Does::Mul, is(&math::Mul))];
        does.into_iter().find(|(_, is)| *is).map(|(does, _)| Self(does))
    }
}

impl Kernel for PerChannel {
    const NAME: &'static str = "PerChannel";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (x, channels) = args_2!(inputs);
        let plane = (x.shape()[2] * x.shape()[3]).max(1);
        let mut y = x.into_tensor();
        let mut plain = y.try_as_plain_ram_mut()?;
        let (pixels, _) = plain.as_slice_mut::<f32>()?.as_chunks_mut::<LANES>();
        let (channels, _) = slice::<f32>(&channels)?.as_chunks::<LANES>();
        for (pixels, channel) in pixels.chunks_mut(plane).zip(channels.iter().cycle()) {
            match self.0 {
                Does::Add => pixels.iter_mut().for_each(|p| p.iter_mut().zip(channel).for_each(|(p, c)| *p += c)),
                Does::Mul => pixels.iter_mut().for_each(|p| p.iter_mut().zip(channel).for_each(|(p, c)| *p *= c)),
            }
        }
        Ok(tvec![y])
    }
}

/// The sum of each channel over the plane: `[N, C / 16, 1, 1, 16]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlaneSum;

/// Pixels that are added up beside each other, so that one need not wait for the last.
const SIDE: usize = 4;

impl Kernel for PlaneSum {
    const NAME: &'static str = "PlaneSum";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = concrete(inputs[0])?;
        shape[2..4].fill(1);
        Ok(tvec![f32::fact(&*shape)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let x = args_1!(inputs);
        let mut shape: TVec<usize> = x.shape().into();
        let plane = (shape[2] * shape[3]).max(1);
        shape[2..4].fill(1);
        let mut y = Tensor::zero::<f32>(&shape)?;
        let mut plain = y.try_as_plain_ram_mut()?;
        let (sums, _) = plain.as_slice_mut::<f32>()?.as_chunks_mut::<LANES>();
        let (pixels, _) = slice::<f32>(&x)?.as_chunks::<LANES>();
        for (pixels, sum) in pixels.chunks(plane).zip(sums) {
            let mut side = [[0f32; LANES]; SIDE];
            for pixels in pixels.chunks(SIDE) {
                for (side, pixel) in side.iter_mut().zip(pixels) {
                    side.iter_mut().zip(pixel).for_each(|(side, value)| *side += value);
                }
            }
            for side in side {
                sum.iter_mut().zip(side).for_each(|(sum, value)| *sum += value);
            }
        }
        Ok(tvec![y])
    }
}

//! A number a channel, added to a picture in blocks or multiplied with it: batch norms, biases, squeeze and excitation.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::math;

use super::LANES;
use crate::engine::ops::{Kernel, Real, slice};

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

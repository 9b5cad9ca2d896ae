//! Into blocks and out of them.

use tract_onnx::tract_core::internal::*;

use super::kernels::{from_blocked, to_blocked};
use super::{LANES, blocked};
use crate::engine::ops::{Kernel, Real, concrete, slice};

/// `[N, C, H, W]` into blocks; the lanes past `C` are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToBlocks;

impl ToBlocks {
    pub(super) fn of(x: &Tensor) -> TractResult<Tensor> {
        let shape = x.shape();
        let mut y = Tensor::zero::<f32>(&blocked(shape))?;
        let mut into = y.try_as_plain_ram_mut()?;
        to_blocked(slice::<f32>(x)?, shape[1], shape[2] * shape[3], into.as_slice_mut::<f32>()?);
        Ok(y)
    }
}

impl Kernel for ToBlocks {
    const NAME: &'static str = "ToBlocks";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&*blocked(&concrete(inputs[0])?))])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let x = args_1!(inputs);
        Ok(tvec![Self::of(&x)?])
    }
}

/// Out of blocks, to `[N, channels, H, W]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FromBlocks {
    pub(super) channels: usize,
}

impl Kernel for FromBlocks {
    const NAME: &'static str = "FromBlocks";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = concrete(inputs[0])?;
        ensure!(shape.len() == 5 && shape[1] == self.channels.div_ceil(LANES) && shape[4] == LANES, "{shape:?}");
        Ok(tvec![f32::fact([shape[0], self.channels, shape[2], shape[3]])])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let x = args_1!(inputs);
        let [n, _, height, width, _] = x.shape() else { bail!("{:?} are no blocks", x.shape()) };
        let mut y = Tensor::zero::<f32>(&[*n, self.channels, *height, *width])?;
        let mut into = y.try_as_plain_ram_mut()?;
        from_blocked(slice::<f32>(&x)?, self.channels, height * width, into.as_slice_mut::<f32>()?);
        Ok(tvec![y])
    }
}

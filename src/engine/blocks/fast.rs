//! A convolution or a product by the fast kernels, and what it does before it stores.

use tract_onnx::tract_core::internal::*;

use super::kernels::{Activation, Blocked, Epilogue, Product};
use crate::engine::ops::{Kernel, Real, slice};

/// Inputs: `x`, then a tensor to be added and a mask, where there are such, both in the output's layout.
#[derive(Clone, Debug)]
pub(super) struct Fast {
    pub(super) way: Arc<Way>,
    /// Of the output.
    pub(super) shape: TVec<usize>,
    /// Whether the output is in blocks.
    pub(super) gives_blocks: bool,
    /// Multiplications.
    pub(super) work: usize,
    pub(super) add: bool,
    pub(super) activation: Option<Activation>,
    /// Values pass where the mask lies between.
    pub(super) mask: Option<(f32, f32)>,
}

#[derive(Debug)]
pub(super) enum Way {
    Convolution(Blocked),
    Product(Product),
}

impl PartialEq for Fast {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.way, &other.way) && self.shape == other.shape && self.add == other.add;
        same && self.activation == other.activation && self.mask == other.mask
    }
}

impl Kernel for Fast {
    const NAME: &'static str = "Fast";

    fn outputs(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&*self.shape)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        #[allow(unsafe_code)]
        // SAFETY: floats have no invalid values, and the kernels write every element.
        let mut y = unsafe { Tensor::uninitialized::<f32>(&self.shape)? };
        let mut others = inputs[1..].iter().map(|t| slice::<f32>(t));
        let mut next = |is: bool| if is { others.next().transpose() } else { Ok(None) };
        let (add, mask) = (next(self.add)?, next(self.mask.is_some())?);
        let mask = mask.zip(self.mask).map(|(mask, (low, high))| (mask, low, high));
        let epilogue = Epilogue { add, activation: self.activation, mask };
        let (x, mut plain) = (slice::<f32>(&inputs[0])?, y.try_as_plain_ram_mut()?);
        match &*self.way {
            Way::Convolution(blocked) => blocked.run(x, plain.as_slice_mut::<f32>()?, &epilogue),
            Way::Product(product) => product.run(x, plain.as_slice_mut::<f32>()?, &epilogue),
        }
        Ok(tvec![y])
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TDim> {
        Ok(self.work.to_dim())
    }
}

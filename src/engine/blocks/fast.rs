//! A convolution by the fast kernels, and what it does before it stores.

use tract_onnx::tract_core::internal::*;

use super::LANES;
use super::kernels::{Blocked, Epilogue, FEW, Layout, Problem};
use crate::engine::ops::conv::Conv;
use crate::engine::ops::{Kernel, Real, concrete, slice};

/// Inputs: `x`, then a tensor to be added and a mask, where there are such, both in the output's layout.
#[derive(Clone, Debug)]
pub(super) struct Fast {
    kernel: Arc<Blocked>,
    /// All axes but the samples'.
    output: TVec<usize>,
    /// Multiplications of a sample.
    work: usize,
    pub(super) add: bool,
    /// Lowest and highest value of the activation behind it.
    pub(super) clamp: Option<(f32, f32)>,
    /// Values pass where the mask lies between.
    pub(super) mask: Option<(f32, f32)>,
}

impl PartialEq for Fast {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.kernel, &other.kernel) && self.add == other.add;
        same && self.clamp == other.clamp && self.mask == other.mask
    }
}

impl Fast {
    /// The convolution of an `x` of this shape; `blocks` says whether it comes in blocks. `None` where the kernels do
    /// not serve.
    pub(super) fn new(
        conv: &Conv,
        x: &[usize],
        kernel: &Tensor,
        bias: &Tensor,
        blocks: bool,
    ) -> TractResult<Option<Self>> {
        let ([rows, columns], [_, channels, height, width]) = (&*conv.spans, x) else { return Ok(None) };
        let outputs = kernel.shape()[0];
        let [from, to] = [blocks, outputs > FEW].map(|b| if b { Layout::Blocked } else { Layout::Plain });
        let (weights, bias) = (slice::<f32>(kernel)?, slice::<f32>(bias)?);
        let (spans, input) = ([*rows, *columns], [*channels, *height, *width]);
        let problem = Problem { spans, groups: conv.groups, input, outputs, kernel: weights, bias };
        let Some(kernel) = Blocked::new(&problem, from, to) else { return Ok(None) };
        let size = [rows.output, columns.output];
        let output = match to {
            Layout::Blocked => tvec![outputs.div_ceil(LANES), size[0], size[1], LANES],
            Layout::Plain => tvec![outputs, size[0], size[1]],
        };
        let work = weights.len() * size[0] * size[1] / (rows.spread * columns.spread);
        Ok(Some(Self { kernel: Arc::new(kernel), output, work, add: false, clamp: None, mask: None }))
    }

    /// Whether it is worth to have `x` in blocks.
    pub(super) fn wants_blocks(x: &[usize]) -> bool {
        x[1] > FEW
    }

    fn shape(&self, batch: usize) -> TVec<usize> {
        std::iter::once(batch).chain(self.output.iter().copied()).collect()
    }

    /// Whether its output is in blocks.
    pub(super) fn gives_blocks(&self) -> bool {
        self.output.len() == 4
    }
}

impl Kernel for Fast {
    const NAME: &'static str = "FastConvolution";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&*self.shape(concrete(inputs[0])?[0]))])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let shape = self.shape(inputs[0].shape()[0]);
        #[allow(unsafe_code)]
        // SAFETY: floats have no invalid values, and the kernel writes every element.
        let mut y = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let mut others = inputs[1..].iter().map(|t| slice::<f32>(t));
        let mut next = |is: bool| if is { others.next().transpose() } else { Ok(None) };
        let (add, mask) = (next(self.add)?, next(self.mask.is_some())?);
        let mask = mask.zip(self.mask).map(|(mask, (low, high))| (mask, low, high));
        let epilogue = Epilogue { add, clamp: self.clamp, mask };
        self.kernel.run(slice::<f32>(&inputs[0])?, y.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?, &epilogue);
        Ok(tvec![y])
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TDim> {
        Ok(inputs[0].shape[0].clone() * self.work)
    }
}

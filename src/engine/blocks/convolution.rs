//! Convolutions for the fast kernels.

use tract_onnx::tract_core::internal::*;

use super::blocked;
use super::fast::{Fast, Way};
use super::fuse::Affine;
use super::kernels::{self, Blocked, FEW, Problem};
use super::layout::Layout;
use crate::engine::ops::conv::Conv;
use crate::engine::ops::slice;

/// Whether it is worth to have an `x` of this shape in blocks.
fn wants_blocks(x: &[usize]) -> bool {
    x[1] > FEW
}

impl Fast {
    /// The convolution of an `x` of this shape, and of what comes of it, `after`; `blocks` says whether it comes in
    /// blocks. `None` where the kernels do not serve.
    fn convolution(
        conv: &Conv,
        x: &[usize],
        [kernel, bias]: [&Tensor; 2],
        after: &Affine,
        blocks: bool,
    ) -> TractResult<Option<Self>> {
        let ([rows, columns], [batch, channels, height, width]) = (&*conv.spans, x) else { return Ok(None) };
        let outputs = kernel.shape()[0];
        let [from, to] =
            [blocks, outputs > FEW].map(|b| if b { kernels::Layout::Blocked } else { kernels::Layout::Plain });
        let mut weights = slice::<f32>(kernel)?.to_vec();
        let each = weights.len().checked_div(outputs).unwrap_or(0).max(1);
        weights.chunks_mut(each).enumerate().for_each(|(i, w)| w.iter_mut().for_each(|w| *w *= after.scale(i)));
        let bias: Vec<f32> = slice::<f32>(bias)?.iter().enumerate().map(|(i, b)| after.of(i, *b)).collect();
        let (spans, input) = ([*rows, *columns], [*channels, *height, *width]);
        let problem = Problem { spans, groups: conv.groups, input, outputs, kernel: &weights, bias: &bias };
        let Some(kernel) = Blocked::new(&problem, from, to) else { return Ok(None) };
        let shape = tvec![*batch, outputs, rows.output, columns.output];
        let work = weights.len() * batch * rows.output * columns.output / (rows.spread * columns.spread);
        let gives_blocks = to == kernels::Layout::Blocked;
        let shape = if gives_blocks { blocked(&shape) } else { shape };
        let way = Arc::new(Way::Convolution(kernel));
        Ok(Some(Self { way, shape, gives_blocks, work, add: false, activation: None, mask: None }))
    }
}

impl Layout<'_> {
    /// A convolution under a constant kernel.
    pub(super) fn convolution(&mut self, node: &TypedNode, conv: &Conv) -> TractResult<bool> {
        let [x, kernel, bias] = *node.inputs else { return Ok(false) };
        let constants = [kernel, bias].map(|input| self.old.outlet_fact(input).ok()?.konst.clone());
        let [Some(kernel), Some(bias)] = constants else { return Ok(false) };
        let shape = self.shape(x)?;
        let blocks = self.blocks.contains_key(&x) || wants_blocks(&shape);
        let (after, behind) = self.constants(node, &(1..2))?;
        let Some(fast) = Fast::convolution(conv, &shape, [&kernel, &bias], &after, blocks)? else { return Ok(false) };
        let x = if blocks { self.blocks(x)? } else { self.plain(x)? };
        self.wire_fast(node, fast, x, &behind)
    }
}

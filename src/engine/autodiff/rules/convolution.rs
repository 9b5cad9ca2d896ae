//! Convolution and transposed convolution, which are one operator here.

use tract_onnx::tract_core::internal::*;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::conv::{Conv, adjoint_kernel};

/// In the input: the same operator with the kernel turned. In the kernel, which no input of a model reaches yet, it
/// would be a convolution of the input by the cotangent, with stride and dilation exchanged.
pub(super) fn conv(tape: &mut Tape, op: &Own<Conv>) -> TractResult<Cotangents> {
    let Own(Conv { spans, groups }) = op;
    let (g, shape) = (tape.cotangent()?, tape.shape(0)?);
    ensure!(!tape.wants(1) && !tape.wants(2), "a kernel or bias that depends on the input has none");
    let kernel = tape.constant(1)?.context("a kernel that is no constant has none")?;
    let turned = tape.tensor(adjoint_kernel(&kernel, *groups)?)?;
    let bias = tape.tensor(Tensor::zero_dt(kernel.datum_type(), &[shape[1]])?)?;
    let spans = spans.iter().zip(&shape[2..]).map(|(span, length)| span.adjoint(*length)).collect();
    let pulled = tape.wire(Own(Conv { spans, groups: *groups }), &[g, turned, bias])?;
    Ok(tape.only(0, pulled))
}

//! Softmax and norms. Layer, group, batch and instance norm reach this point as arithmetic around a root-mean-square
//! norm, or as arithmetic alone.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{RmsNorm, Softmax, SoftmaxKind};

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::lanes::{Lanes, RmsNormAdjoint, SoftmaxAdjoint};
use crate::engine::softmax::InOrder;

pub(super) fn softmax(tape: &mut Tape, op: &Softmax) -> TractResult<Cotangents> {
    ensure!(op.quant_output_dt.is_none(), "a quantised softmax has none");
    let (Some(&first), Some(&last)) = (op.axes.first(), op.axes.last()) else { bail!("a softmax over no axis") };
    ensure!(last + 1 - first == op.axes.len(), "a softmax over the axes {:?}, which are no neighbours", op.axes);
    let lanes = Lanes { first, last };
    by_input(tape, SoftmaxAdjoint { lanes, log: matches!(op.kind, SoftmaxKind::LogSoftmax) })
}

pub(super) fn softmax_in_order(tape: &mut Tape, Own(op): &Own<InOrder>) -> TractResult<Cotangents> {
    let lanes = Lanes { first: op.axis, last: op.axis };
    by_input(tape, SoftmaxAdjoint { lanes, log: op.log })
}

pub(super) fn rms_norm(tape: &mut Tape, op: &RmsNorm) -> TractResult<Cotangents> {
    let lanes = Lanes { first: op.axis, last: op.axis };
    by_input(tape, RmsNormAdjoint { lanes, eps: op.eps.cast_to_scalar::<f64>()? })
}

fn by_input(tape: &mut Tape, adjoint: impl crate::engine::ops::Kernel) -> TractResult<Cotangents> {
    let (g, x) = (tape.cotangent()?, tape.input(0)?);
    let pulled = tape.wire(Own(adjoint), &[g, x])?;
    Ok(tape.only(0, pulled))
}

//! Operators that move, copy or leave out values.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{MultiBroadcastTo, Pad, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::cast::{Cast, cast as cast_to};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::downsample::Downsample;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::scatter::Spread;

pub(super) fn axis_op(tape: &mut Tape, op: &AxisOp) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let pulled = tape.wire(op.recip(), &[g])?;
    Ok(tape.only(0, pulled))
}

/// Summing over what was repeated is left to where cotangents are collected.
pub(super) fn broadcast(tape: &mut Tape, _: &MultiBroadcastTo) -> TractResult<Cotangents> {
    Ok(tape.only(0, tape.cotangent()?))
}

pub(super) fn slice(tape: &mut Tape, op: &Slice) -> TractResult<Cotangents> {
    let (g, shape) = (tape.cotangent()?, tape.shape(0)?);
    let mut pads = vec![(0, 0); shape.len()];
    pads[op.axis] = (op.start.to_usize()?, shape[op.axis] - op.end.to_usize()?);
    let pulled = tape.wire(zeros_around(tape, g, pads)?, &[g])?;
    Ok(tape.only(0, pulled))
}

fn zeros_around(tape: &Tape, g: OutletId, pads: Vec<(usize, usize)>) -> TractResult<Pad> {
    let zero = Tensor::zero_scalar_dt(tape.backward.outlet_fact(g)?.datum_type)?;
    Ok(Pad { pads, mode: PadMode::Constant(zero.into_arc_tensor()) })
}

pub(super) fn pad(tape: &mut Tape, op: &Pad) -> TractResult<Cotangents> {
    if !matches!(op.mode, PadMode::Constant(_)) {
        return super::indexing::taken(tape, op);
    }
    let (mut pulled, shape) = (tape.cotangent()?, tape.shape(0)?);
    for (axis, (before, _)) in op.pads.iter().enumerate().filter(|(_, pads)| **pads != (0, 0)) {
        pulled = tape.wire(Slice::new(axis, *before, before + shape[axis]), &[pulled])?;
    }
    Ok(tape.only(0, pulled))
}

pub(super) fn concat(tape: &mut Tape, op: &TypedConcat) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let lengths =
        (0..tape.node().inputs.len()).map(|i| Ok(tape.shape(i)?[op.axis])).collect::<TractResult<Vec<_>>>()?;
    tape.each(|tape, i| {
        let start: usize = lengths[..i].iter().sum();
        tape.wire(Slice::new(op.axis, start, start + lengths[i]), &[g])
    })
}

/// Every `stride`-th value was kept.
pub(super) fn downsample(tape: &mut Tape, op: &Downsample) -> TractResult<Cotangents> {
    let (g, shape) = (tape.cotangent()?, tape.shape(0)?);
    let pulled = tape.wire(Own(Spread::new(op, shape[op.axis])?), &[g])?;
    Ok(tape.only(0, pulled))
}

/// Between floats the cotangent is cast back. To an integer it passes straight through; what comes from a truth value
/// is constant wherever it is defined.
pub(super) fn cast(tape: &mut Tape, op: &Cast) -> TractResult<Cotangents> {
    let (g, from) = (tape.cotangent()?, tape.fact(0)?.datum_type);
    if from == DatumType::Bool || op.to == DatumType::Bool {
        return Ok(tvec![None]);
    }
    if !from.is_float() {
        return Ok(tape.only(0, g));
    }
    if !op.to.is_float() {
        tape.passes_straight_through();
    }
    let own = tape.backward.outlet_fact(g)?.datum_type;
    let pulled = if own == from { g } else { tape.wire(cast_to(from), &[g])? };
    Ok(tape.only(0, pulled))
}

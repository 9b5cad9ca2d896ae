//! Operators that take values by their place, and those that choose between two.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{
    CumSum, GatherElements, GatherNd, ScatterElements, ScatterNd, ScatterReduction, Trilu,
};
use tract_onnx::tract_core::ops::logic::Iff;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::scatter::ScatterAdd;

/// Any operator whose outputs are values of its first input: applied to the places of these, it says where each output
/// came from, and there its cotangent goes.
pub(super) fn taken<O: TypedOp + Clone>(tape: &mut Tape, op: &O) -> TractResult<Cotangents> {
    let (g, shape) = (tape.cotangent()?, tape.shape(0)?);
    let places: Vec<i64> = (0i64..).take(shape.iter().product()).collect();
    let mut inputs = tvec![tape.tensor(Tensor::from_shape(&shape, &places)?)?];
    for i in 1..tape.node().inputs.len() {
        inputs.push(tape.input(i)?);
    }
    let origin = tape.wire(op.clone(), &inputs)?;
    let pulled = tape.wire(Own(ScatterAdd(shape)), &[g, origin])?;
    Ok(tape.only(0, pulled))
}

/// Of the data: nothing where an update was written, unless it was added there. Of the updates: what stands where they
/// were written.
pub(super) fn scatter_elements(tape: &mut Tape, op: &ScatterElements) -> TractResult<Cotangents> {
    let (g, indices) = (tape.cotangent()?, tape.input(1)?);
    let data = if overwrites(&op.reduction)? {
        let zeros = tape.zeros(&tape.shape(2)?, g)?;
        tape.wire(op.clone(), &[g, indices, zeros])?
    } else {
        g
    };
    let updates = tape.wire(GatherElements::new(op.axis), &[g, indices])?;
    Ok(tvec![Some(data), None, Some(updates)])
}

pub(super) fn scatter_nd(tape: &mut Tape, op: &ScatterNd) -> TractResult<Cotangents> {
    let (g, indices) = (tape.cotangent()?, tape.input(1)?);
    let data = if overwrites(&op.reduction)? {
        let zeros = tape.zeros(&tape.shape(2)?, g)?;
        tape.wire(op.clone(), &[g, indices, zeros])?
    } else {
        g
    };
    let updates = tape.wire(GatherNd::new(0), &[g, indices])?;
    Ok(tvec![Some(data), None, Some(updates)])
}

fn overwrites(reduction: &ScatterReduction) -> TractResult<bool> {
    match reduction {
        ScatterReduction::None => Ok(true),
        ScatterReduction::Add => Ok(false),
        other => bail!("a scatter by {other:?} has none"),
    }
}

/// The branch that was taken gets all.
pub(super) fn iff(tape: &mut Tape, _: &Iff) -> TractResult<Cotangents> {
    let (g, condition) = (tape.cotangent()?, tape.input(0)?);
    let zero = tape.number(0.0, g)?;
    tape.each(|tape, i| {
        let branches = if i == 1 { [condition, g, zero] } else { [condition, zero, g] };
        tape.wire(Iff, &branches)
    })
}

pub(super) fn trilu(tape: &mut Tape, op: &Trilu) -> TractResult<Cotangents> {
    let (g, diagonal) = (tape.cotangent()?, tape.input(1)?);
    let pulled = tape.wire(op.clone(), &[g, diagonal])?;
    Ok(tape.only(0, pulled))
}

/// The sum of all that come after.
pub(super) fn cumulative_sum(tape: &mut Tape, op: &CumSum) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let pulled = tape.wire(CumSum { reverse: !op.reverse, ..op.clone() }, &[g])?;
    Ok(tape.only(0, pulled))
}

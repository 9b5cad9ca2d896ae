//! Pools.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::pool::{MaxPoolAdjoint, SumPoolAdjoint};

pub(super) fn max_pool(tape: &mut Tape, op: &MaxPool) -> TractResult<Cotangents> {
    ensure!(tape.cotangent_of(1)?.is_none(), "the places of its maxima have none");
    let (g, x) = (tape.cotangent()?, tape.input(0)?);
    let pulled = tape.wire(Own(MaxPoolAdjoint(op.pool_spec.clone())), &[g, x])?;
    Ok(tape.only(0, pulled))
}

pub(super) fn sum_pool(tape: &mut Tape, op: &SumPool) -> TractResult<Cotangents> {
    let SumPool { pool_spec, count_include_pad, normalize } = op.clone();
    let (g, shape) = (tape.cotangent()?, tape.shape(0)?);
    let pulled = tape.wire(Own(SumPoolAdjoint { spec: pool_spec, normalize, count_include_pad, shape }), &[g])?;
    Ok(tape.only(0, pulled))
}

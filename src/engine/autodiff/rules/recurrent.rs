//! Cells of recurrences, which are unrolled before.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::recurrent::{GruAdjoint, LstmAdjoint};

pub(super) fn lstm(tape: &mut Tape, op: &LstmEpilogue) -> TractResult<Cotangents> {
    let (gates, before) = (tape.input(0)?, tape.input(1)?);
    let mut seeds = [before; 2];
    for (slot, seed) in seeds.iter_mut().enumerate() {
        *seed = match tape.cotangent_of(slot)? {
            Some(cotangent) => cotangent,
            None => tape.zeros(&tape.output_shape(slot)?, before)?,
        };
    }
    let pulled = tape.wire_all(Own(LstmAdjoint { hidden: op.hidden }), &[seeds[0], seeds[1], gates, before])?;
    Ok(pulled.into_iter().map(Some).collect())
}

pub(super) fn gru(tape: &mut Tape, op: &GruEpilogue) -> TractResult<Cotangents> {
    let inputs = [tape.cotangent()?, tape.input(0)?, tape.input(1)?, tape.input(2)?];
    let pulled = tape.wire_all(Own(GruAdjoint { hidden: op.hidden }), &inputs)?;
    Ok(pulled.into_iter().map(Some).collect())
}

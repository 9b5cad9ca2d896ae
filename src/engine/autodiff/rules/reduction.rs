//! Reductions over axes. Repeating a cotangent along them is left to where cotangents are collected.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::extremum::{Extremum, ProductOfOthers};

pub(super) fn reduce(tape: &mut Tape, op: &Reduce) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let shape = tape.shape(0)?;
    let pulled = match op.reducer {
        Reducer::Sum => g,
        Reducer::MeanOfSquares => {
            let count: usize = op.axes.iter().map(|axis| shape[*axis]).product();
            let x = tape.input(0)?;
            #[allow(clippy::cast_precision_loss)]
            let factor = tape.number(2.0 / count as f64, x)?;
            let scaled = tape.mul(g, factor)?;
            tape.mul(x, scaled)?
        }
        Reducer::Max | Reducer::Min => {
            let (x, y) = (tape.input(0)?, tape.output(0)?);
            tape.wire(Own(Extremum), &[g, x, y])?
        }
        Reducer::Prod => {
            let x = tape.input(0)?;
            let others = tape.wire(Own(ProductOfOthers(op.axes.clone())), &[x])?;
            tape.mul(g, others)?
        }
        Reducer::ArgMax(_) | Reducer::ArgMin(_) => return Ok(tvec![None]),
        other => bail!("{other:?} has none"),
    };
    Ok(tape.only(0, pulled))
}

//! The operators of `ai.onnx.ml` that are no arithmetic of tract's: each says itself whether it has a gradient.

use tract_onnx::tract_core::internal::*;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ml;
use crate::engine::ops::{Kernel, Own, Real, slice};

pub(super) fn row_by_row(tape: &mut Tape, op: &ml::Own) -> TractResult<Cotangents> {
    let slot = op.0.differentiable().context("it has no gradient")?;
    let g = tape.cotangent_of(slot)?.with_context(|| format!("only its output {slot} has a gradient"))?;
    let x = tape.input(0)?;
    let wide = tape.in_type_of(x, g)?;
    let pulled = tape.wire(Own(RowAdjoint(op.clone())), &[g, wide])?;
    let pulled = tape.in_type_of(pulled, x)?;
    Ok(tape.only(0, pulled))
}

/// Inputs: cotangent and input of an operator whose rows do not mix.
#[derive(Clone, Debug, PartialEq)]
struct RowAdjoint(ml::Own);

impl Kernel for RowAdjoint {
    const NAME: &'static str = "RowAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x) = args_2!(inputs);
        let single =
            |tensor: &Tensor| slice::<T>(tensor).map(|v| v.iter().map(|v| f32::of(v.wide())).collect::<Vec<_>>());
        let (gs, xs) = (single(&g)?, single(&x)?);
        let (of_g, of_x) = (g.shape().last().copied().unwrap_or(1), x.shape().last().copied().unwrap_or(1));
        let rows = gs.chunks_exact(of_g.max(1)).zip(xs.chunks_exact(of_x.max(1)));
        let pulled: Vec<T> = rows.flat_map(|(g, x)| self.0.0.pull(x, g)).map(|v| T::of(v.wide())).collect();
        Ok(tvec![Tensor::from_shape(x.shape(), &pulled)?])
    }
}

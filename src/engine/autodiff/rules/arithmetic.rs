//! Functions of two tensors. Broadcasting is undone where cotangents are collected, not here.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::Own;
use crate::engine::ops::pointwise::{Inside, Pointwise};
use crate::engine::ops::{Kernel, Real, slice};

#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn add(tape: &mut Tape, _: &math::Add) -> TractResult<Cotangents> {
    tape.each(|tape, _| tape.cotangent())
}

pub(super) fn sub(tape: &mut Tape, _: &math::Sub) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    tape.each(|tape, i| if i == 0 { Ok(g) } else { tape.neg(g) })
}

/// b - a.
pub(super) fn sub_flipped(tape: &mut Tape, _: &math::SubF) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    tape.each(|tape, i| if i == 1 { Ok(g) } else { tape.neg(g) })
}

pub(super) fn mul(tape: &mut Tape, _: &math::Mul) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    tape.each(|tape, i| {
        let other = tape.input(1 - i)?;
        let other = tape.in_type_of(other, g)?;
        tape.mul(g, other)
    })
}

/// g / b, and -(g / b) y.
pub(super) fn div(tape: &mut Tape, _: &math::Div) -> TractResult<Cotangents> {
    let (g, b) = (tape.cotangent()?, tape.input(1)?);
    let scaled = tape.binary(math::Div, g, b)?;
    tape.each(|tape, i| {
        if i == 0 {
            return Ok(scaled);
        }
        let y = tape.output(0)?;
        let product = tape.mul(scaled, y)?;
        tape.neg(product)
    })
}

/// b y g / a, and ln(a) y g; at a = 0 the base's by its limit.
pub(super) fn pow(tape: &mut Tape, _: &math::Pow) -> TractResult<Cotangents> {
    let (g, a, b) = (tape.cotangent()?, tape.input(0)?, tape.input(1)?);
    let b = tape.in_type_of(b, g)?;
    tape.each(|tape, i| {
        let slope = tape.wire(Own(PowSlope { base: i == 0 }), &[a, b])?;
        tape.mul(g, slope)
    })
}

/// The slope of a^b in its base or in its exponent.
#[derive(Clone, Debug, PartialEq)]
struct PowSlope {
    base: bool,
}

impl Kernel for PowSlope {
    const NAME: &'static str = "PowSlope";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        TypedBinOp(Box::new(math::Pow), None).output_facts(inputs)
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (a, b) = args_2!(inputs);
        let shape = tract_onnx::tract_core::broadcast::multi_broadcast(&[a.shape(), b.shape()])?;
        let (a, b) = (a.broadcast_to_shape(&shape)?, b.broadcast_to_shape(&shape)?);
        let zero = T::zero();
        let slope = |(&a, &b): (&T, &T)| match self.base {
            true if b == zero => zero,
            true => b * a.powf(b - T::one()),
            false if a == zero => zero,
            false => a.powf(b) * a.ln(),
        };
        let slopes: Vec<T> = slice::<T>(&a)?.iter().zip(slice::<T>(&b)?).map(slope).collect();
        Ok(tvec![Tensor::from_shape(&shape, &slopes)?])
    }
}

pub(super) fn max(tape: &mut Tape, _: &math::Max) -> TractResult<Cotangents> {
    extremum(tape, true)
}

pub(super) fn min(tape: &mut Tape, _: &math::Min) -> TractResult<Cotangents> {
    extremum(tape, false)
}

/// Against a number, by the output: it passes where it is not that number, so a ReLU of 0 has no gradient, as in torch.
/// Of two tensors the larger (smaller) one's, and half each where they are equal.
fn extremum(tape: &mut Tape, max: bool) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let whole = tape.output_shape(0)?;
    for i in 0..2 {
        let bound = tape.constant(1 - i)?.filter(|c| c.len() == 1);
        if let (Some(bound), true, true) = (bound, tape.wants(i), tape.shape(i)? == whole) {
            let bound = bound.cast_to_scalar::<f64>()?;
            let y = clipped(tape, max, bound)?;
            let passed = tape.wire(Own(Pointwise(Inside { max, bound })), &[g, y])?;
            return Ok(tape.only(i, passed));
        }
    }
    let (a, b) = (tape.input(0)?, tape.input(1)?);
    tape.each(|tape, i| {
        let order = if i == 0 { [a, b] } else { [b, a] };
        let share = tape.wire(Own(Share { max }), &order)?;
        let share = tape.in_type_of(share, g)?;
        tape.mul(g, share)
    })
}

/// The output, or that of a Min which alone reads it (a ReLU6, a Clip): what the one passes is then seen in the other
/// too, and tract can fuse the two.
fn clipped(tape: &mut Tape, max: bool, bound: f64) -> TractResult<OutletId> {
    if let Some(next) = tape.successor().filter(|_| max) {
        let min = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<math::Min>());
        if min && tape.bound_of(next)?.is_some_and(|upper| upper > bound) {
            return tape.primal(next.id.into());
        }
    }
    tape.output(0)
}

/// How much of the cotangent the first input gets: all where it wins, half where both are equal.
#[derive(Clone, Debug, PartialEq)]
struct Share {
    max: bool,
}

impl Kernel for Share {
    const NAME: &'static str = "Share";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        TypedBinOp(Box::new(math::Max), None).output_facts(inputs)
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (a, b) = args_2!(inputs);
        let shape = tract_onnx::tract_core::broadcast::multi_broadcast(&[a.shape(), b.shape()])?;
        let (a, b) = (a.broadcast_to_shape(&shape)?, b.broadcast_to_shape(&shape)?);
        let share = |(a, b): (&T, &T)| {
            let wins = if self.max { a > b } else { a < b };
            if wins {
                T::one()
            } else if a == b {
                T::of(0.5)
            } else {
                T::zero()
            }
        };
        let shares: Vec<T> = slice::<T>(&a)?.iter().zip(slice::<T>(&b)?).map(share).collect();
        Ok(tvec![Tensor::from_shape(&shape, &shares)?])
    }
}

//! Functions of one variable.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_core::prelude::tract_linalg::routines::Func;

use super::super::tape::{Cotangents, Tape};
use crate::engine::ops::pointwise::{Pointwise, Slope};
use crate::engine::ops::{Own, Real};

/// The slope is known from the input.
fn by_input(tape: &mut Tape, slope: impl Slope) -> TractResult<Cotangents> {
    let (g, x) = (tape.cotangent()?, tape.input(0)?);
    let pulled = tape.wire(Own(Pointwise(slope)), &[g, x])?;
    Ok(tape.only(0, pulled))
}

/// The slope is known from the output.
fn by_output(tape: &mut Tape, slope: impl Slope) -> TractResult<Cotangents> {
    let (g, y) = (tape.cotangent()?, tape.output(0)?);
    let pulled = tape.wire(Own(Pointwise(slope)), &[g, y])?;
    Ok(tape.only(0, pulled))
}

/// A rule and its slope, as a function of the input `x` or of the output `y`.
macro_rules! slopes {
    ($($(#[$doc:meta])* $rule:ident($op:ty) $from:ident $slope:ident |$v:ident| $formula:expr;)*) => {$(
        $(#[$doc])*
        pub(super) fn $rule(tape: &mut Tape, _: &$op) -> TractResult<Cotangents> {
            $from(tape, $slope)
        }

        #[derive(Clone, Debug, PartialEq)]
        struct $slope;

        impl Slope for $slope {
            fn slope<T: Real>(&self, $v: T) -> T {
                $formula
            }
        }
    )*};
}

slopes! {
    square(math::Square) by_input SquareSlope |x| x + x;
    sqrt(math::Sqrt) by_output SqrtSlope |y| T::of(0.5) / y;
    rsqrt(math::Rsqrt) by_output RsqrtSlope |y| T::of(-0.5) * y * y * y;
    recip(math::Recip) by_output RecipSlope |y| -y * y;
    exp(math::Exp) by_output ExpSlope |y| y;
    ln(math::Ln) by_input LnSlope |x| x.recip();
    tanh(math::Tanh) by_output TanhSlope |y| T::one() - y * y;
    sin(math::Sin) by_input SinSlope |x| x.cos();
    cos(math::Cos) by_input CosSlope |x| -x.sin();
    sigmoid(nn::Sigmoid) by_output SigmoidSlope |y| y * (T::one() - y);
    /// 0 at 0, as in torch.
    abs(math::Abs) by_input AbsSlope |x| if x.is_zero() { T::zero() } else { x.signum() };
    hard_swish(nn::HardSwish) by_input HardSwishSlope |x| {
        let three = T::of(3.0);
        let inner = if x >= three { T::one() } else { x / three + T::of(0.5) };
        if x <= -three { T::zero() } else { inner }
    };
}

pub(super) fn neg(tape: &mut Tape, _: &math::Neg) -> TractResult<Cotangents> {
    let g = tape.cotangent()?;
    let pulled = tape.neg(g)?;
    Ok(tape.only(0, pulled))
}

/// Floor, Ceil, Round: the cotangent passes as if they did nothing.
pub(super) fn rounding<O>(tape: &mut Tape, _: &O) -> TractResult<Cotangents> {
    tape.passes_straight_through();
    Ok(tape.only(0, tape.cotangent()?))
}

/// Functions whose slope is zero wherever it is defined.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn flat<O>(tape: &mut Tape, _: &O) -> TractResult<Cotangents> {
    Ok(tvec![None; tape.node().inputs.len()])
}

pub(super) fn pow_const(tape: &mut Tape, op: &math::PowConst) -> TractResult<Cotangents> {
    by_input(tape, PowConstSlope(op.exponent))
}

#[derive(Clone, Debug, PartialEq)]
struct PowConstSlope(f32);

impl Slope for PowConstSlope {
    fn slope<T: Real>(&self, x: T) -> T {
        let exponent = T::of(f64::from(self.0));
        exponent * x.powf(exponent - T::one())
    }
}

pub(super) fn leaky_relu(tape: &mut Tape, op: &nn::LeakyRelu) -> TractResult<Cotangents> {
    by_input(tape, LeakySlope(op.alpha))
}

#[derive(Clone, Debug, PartialEq)]
struct LeakySlope(f32);

impl Slope for LeakySlope {
    fn slope<T: Real>(&self, x: T) -> T {
        if x > T::zero() { T::one() } else { T::of(f64::from(self.0)) }
    }
}

pub(super) fn silu(tape: &mut Tape, _: &nn::silu::Silu) -> TractResult<Cotangents> {
    by_input(tape, SiluSlope)
}

#[derive(Clone, Debug, PartialEq)]
struct SiluSlope;

impl Slope for SiluSlope {
    fn slope<T: Real>(&self, x: T) -> T {
        let s = (T::one() + (-x).exp()).recip();
        s + x * s * (T::one() - s)
    }

    fn block(&self, values: &mut [f32]) -> TractResult<()> {
        let mut sigmoid = values.to_vec();
        Func::Sigmoid.ew_f32()?.run(&mut sigmoid)?;
        values.iter_mut().zip(sigmoid).for_each(|(x, s)| *x = s + *x * s * (1.0 - s));
        Ok(())
    }
}

/// d erf(x) / dx.
fn erf_slope<T: Real>(x: T) -> T {
    T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp()
}

pub(super) fn erf(tape: &mut Tape, _: &math::Erf) -> TractResult<Cotangents> {
    by_input(tape, ErfSlope)
}

#[derive(Clone, Debug, PartialEq)]
struct ErfSlope;

impl Slope for ErfSlope {
    fn slope<T: Real>(&self, x: T) -> T {
        erf_slope(x)
    }

    fn block(&self, values: &mut [f32]) -> TractResult<()> {
        values.iter_mut().for_each(|x| *x = -*x * *x);
        Func::Exp.ew_f32()?.run(values)?;
        values.iter_mut().for_each(|e| *e *= std::f32::consts::FRAC_2_SQRT_PI);
        Ok(())
    }
}

/// x times the standard normal distribution function.
pub(super) fn gelu(tape: &mut Tape, _: &nn::gelu_exact::GeluExact) -> TractResult<Cotangents> {
    by_input(tape, GeluSlope)
}

#[derive(Clone, Debug, PartialEq)]
struct GeluSlope;

impl Slope for GeluSlope {
    fn slope<T: Real>(&self, x: T) -> T {
        let z = x.wide() * std::f64::consts::FRAC_1_SQRT_2;
        let below = 0.5 * (1.0 + statrs::function::erf::erf(z));
        T::of(below + 0.5 * z * erf_slope(z))
    }

    fn block(&self, values: &mut [f32]) -> TractResult<()> {
        values.iter_mut().for_each(|x| *x *= std::f32::consts::FRAC_1_SQRT_2);
        let (mut erf, mut density) = (values.to_vec(), values.to_vec());
        Func::Erf.ew_f32()?.run(&mut erf)?;
        ErfSlope.block(&mut density)?;
        values.iter_mut().zip(erf).zip(density).for_each(|((z, erf), d)| *z = 0.5 * (1.0 + erf + *z * d));
        Ok(())
    }
}

/// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3); the fast one of tract has x^2 there.
pub(super) fn gelu_tanh(tape: &mut Tape, op: &nn::gelu_approximate::GeluApproximate) -> TractResult<Cotangents> {
    by_input(tape, GeluTanhSlope { power: if op.fast_impl { 2 } else { 3 } })
}

#[derive(Clone, Debug, PartialEq)]
struct GeluTanhSlope {
    power: i32,
}

impl Slope for GeluTanhSlope {
    fn slope<T: Real>(&self, x: T) -> T {
        let (scale, cubic) = (T::of((2.0 / std::f64::consts::PI).sqrt()), T::of(0.044_715));
        let t = (scale * (x + cubic * x.powi(self.power))).tanh();
        let inner = scale * (T::one() + T::of(f64::from(self.power)) * cubic * x.powi(self.power - 1));
        T::of(0.5) * (T::one() + t + x * (T::one() - t * t) * inner)
    }
}

//! Adjoints of what works along lanes: softmax and the root-mean-square norm. Both sum in float64 and in one order, so
//! their bits depend neither on the place in memory nor on the rest of the batch.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::prelude::tract_linalg::element_wise::ElementWise;
use tract_onnx::tract_core::prelude::tract_linalg::routines::Func;

use super::{Kernel, Real, slice};

/// Lanes of a tensor in row-major order: neighbouring axes, taken as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Lanes {
    pub(in crate::engine) first: usize,
    pub(in crate::engine) last: usize,
}

impl Lanes {
    /// Calls `visit` with a lane of `g` and of `v`; what it leaves in the first becomes the output.
    fn each<T: Real>(
        self,
        g: &Tensor,
        v: &Tensor,
        mut visit: impl FnMut(&mut [f64], &[f64]) -> TractResult<()>,
    ) -> TractResult<Tensor> {
        let shape = g.shape();
        ensure!(shape == v.shape(), "{shape:?} and {:?} differ", v.shape());
        let inner: usize = shape[self.last + 1..].iter().product();
        let length: usize = shape[self.first..=self.last].iter().product();
        if g.len() == 0 {
            return Ok(g.clone());
        }
        let (gs, vs) = (slice::<T>(g)?, slice::<T>(v)?);
        let mut out = vec![T::zero(); gs.len()];
        let (mut of_g, mut of_v) = (vec![0.0; length], vec![0.0; length]);
        let planes = gs.chunks_exact(length * inner).zip(vs.chunks_exact(length * inner));
        for ((gs, vs), out) in planes.zip(out.chunks_exact_mut(length * inner)) {
            for lane in 0..inner {
                widen(&gs[lane..], inner, &mut of_g);
                widen(&vs[lane..], inner, &mut of_v);
                visit(&mut of_g, &of_v)?;
                if inner == 1 {
                    out.iter_mut().zip(&of_g).for_each(|(out, g)| *out = T::of(*g));
                } else {
                    out[lane..].iter_mut().step_by(inner).zip(&of_g).for_each(|(out, g)| *out = T::of(*g));
                }
            }
        }
        Tensor::from_shape(shape, &out)
    }
}

/// Every `step`-th value, as float64.
fn widen<T: Real>(values: &[T], step: usize, into: &mut [f64]) {
    if step == 1 {
        into.iter_mut().zip(values).for_each(|(wide, value)| *wide = value.wide());
    } else {
        into.iter_mut().zip(values.iter().step_by(step)).for_each(|(wide, value)| *wide = value.wide());
    }
}

/// Values that are looked at beside each other, so that one need not wait for the last.
const SIDE: usize = 16;

/// All values put together, in an order that depends on their number alone.
pub(in crate::engine) fn fold<T: Copy>(values: &[T], start: T, with: impl Fn(T, T) -> T) -> T {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let mut side = [start; SIDE];
    for values in whole {
        side.iter_mut().zip(values).for_each(|(side, value)| *side = with(*side, *value));
    }
    let whole = if whole.is_empty() { start } else { side.into_iter().fold(start, &with) };
    rest.iter().fold(whole, |all, value| with(all, *value))
}

/// The sum of the products of two lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, rest_of_a), (b, rest_of_b)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
    let mut sums = [0.0; SIDE];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest_of_a.iter().zip(rest_of_b).map(|(a, b)| a * b).sum::<f64>()
}

/// The exponential of float64 values, or a faster one as good as float32 for what was float32 before.
enum Exp {
    Wide,
    /// With room to work in.
    Fast(Box<dyn ElementWise<f32>>, Vec<f32>),
}

impl Exp {
    fn of<T: Real>() -> TractResult<Self> {
        Ok(if T::datum_type() == f64::datum_type() { Self::Wide } else { Self::Fast(Func::Exp.ew_f32()?, Vec::new()) })
    }

    /// The exponentials of how far the values lie below `top`.
    #[allow(clippy::cast_possible_truncation)]
    fn below(&mut self, top: f64, values: &[f64], exps: &mut Vec<f64>) -> TractResult<()> {
        exps.clear();
        match self {
            Self::Wide => exps.extend(values.iter().map(|v| (v - top).exp())),
            Self::Fast(exp, below) => {
                below.clear();
                below.extend(values.iter().map(|v| (v - top) as f32));
                exp.run(below)?;
                exps.extend(below.iter().map(|exp| f64::from(*exp)));
            }
        }
        Ok(())
    }
}

/// Inputs: cotangent and the softmax's input. The probabilities are put together again in float64 from exponentials that
/// are right to float32: where the model is sure, what a float32 probability leaves of 1 - p is rounding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct SoftmaxAdjoint {
    pub(in crate::engine) lanes: Lanes,
    /// Of its logarithm.
    pub(in crate::engine) log: bool,
}

impl Kernel for SoftmaxAdjoint {
    const NAME: &'static str = "SoftmaxAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x) = args_2!(inputs);
        let (mut exp, mut p) = (Exp::of::<T>()?, Vec::new());
        let pulled = self.lanes.each::<T>(&g, &x, |g, x| {
            let top = fold(x, f64::MIN, |a, b| if b > a { b } else { a });
            exp.below(top, x, &mut p)?;
            let scale = fold(&p, 0.0, |a, b| a + b).recip();
            let mean = scale * if self.log { fold(g, 0.0, |a, b| a + b) } else { dot(g, &p) };
            for (g, p) in g.iter_mut().zip(&p) {
                *g = if self.log { *g - p * mean } else { p * scale * (*g - mean) };
            }
            Ok(())
        })?;
        Ok(tvec![pulled])
    }
}

/// Inputs: cotangent and the norm's input, y = x / sqrt(mean(x^2) + eps).
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct RmsNormAdjoint {
    pub(in crate::engine) lanes: Lanes,
    pub(in crate::engine) eps: f64,
}

impl Kernel for RmsNormAdjoint {
    const NAME: &'static str = "RmsNormAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x) = args_2!(inputs);
        let pulled = self.lanes.each::<T>(&g, &x, |g, x| {
            #[allow(clippy::cast_precision_loss)]
            let count = x.len() as f64;
            let scale = (dot(x, x) / count + self.eps).sqrt().recip();
            let along = dot(g, x) / count * scale * scale;
            g.iter_mut().zip(x).for_each(|(g, x)| *g = scale * (*g - x * along));
            Ok(())
        })?;
        Ok(tvec![pulled])
    }
}

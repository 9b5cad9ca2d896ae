//! Adjoints of what works along lanes: softmax and the root-mean-square norm. Both sum in float64 from the first value to
//! the last, so their bits depend neither on the place in memory nor on the rest of the batch.

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
        visit: impl Fn(&mut [f64], &[f64]) -> TractResult<()>,
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
                let values = gs[lane..].iter().step_by(inner).zip(vs[lane..].iter().step_by(inner));
                for ((of_g, of_v), (g, v)) in of_g.iter_mut().zip(&mut of_v).zip(values) {
                    (*of_g, *of_v) = (g.wide(), v.wide());
                }
                visit(&mut of_g, &of_v)?;
                out[lane..].iter_mut().step_by(inner).zip(&of_g).for_each(|(out, g)| *out = T::of(*g));
            }
        }
        Tensor::from_shape(shape, &out)
    }
}

/// The exponential of float64 values, or a faster one as good as float32 for what was float32 before.
enum Exp {
    Wide,
    Fast(Box<dyn ElementWise<f32>>),
}

impl Exp {
    fn of<T: Real>() -> TractResult<Self> {
        Ok(if T::datum_type() == f64::datum_type() { Self::Wide } else { Self::Fast(Func::Exp.ew_f32()?) })
    }

    /// The exponentials of what the values lie below `top`.
    #[allow(clippy::cast_possible_truncation)]
    fn below(&self, top: f64, values: &[f64]) -> TractResult<Vec<f64>> {
        match self {
            Self::Wide => Ok(values.iter().map(|v| (v - top).exp()).collect()),
            Self::Fast(exp) => {
                let mut below: Vec<f32> = values.iter().map(|v| (v - top) as f32).collect();
                exp.run(&mut below)?;
                Ok(below.into_iter().map(f64::from).collect())
            }
        }
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
        let exp = Exp::of::<T>()?;
        let pulled = self.lanes.each::<T>(&g, &x, |g, x| {
            let top = x.iter().copied().fold(f64::MIN, f64::max);
            let p = exp.below(top, x)?;
            let sum: f64 = p.iter().sum();
            let mean =
                if self.log { g.iter().sum::<f64>() } else { g.iter().zip(&p).map(|(g, p)| g * p).sum::<f64>() / sum };
            for (g, p) in g.iter_mut().zip(&p) {
                *g = if self.log { *g - p / sum * mean } else { p / sum * (*g - mean) };
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
            let scale = (x.iter().map(|v| v * v).sum::<f64>() / count + self.eps).sqrt().recip();
            let along = g.iter().zip(x).map(|(g, x)| g * x).sum::<f64>() / count * scale * scale;
            g.iter_mut().zip(x).for_each(|(g, x)| *g = scale * (*g - x * along));
            Ok(())
        })?;
        Ok(tvec![pulled])
    }
}

//! A cotangent times the slope of a function of one variable, in one pass.

use std::fmt::Debug;

use tract_onnx::tract_core::internal::*;

use super::{Kernel, Real, slice};

/// The derivative of an element-wise function.
pub(in crate::engine) trait Slope: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// At `v`: the function's input or its output, as its rule hands it over.
    fn slope<T: Real>(&self, v: T) -> T;

    /// The slopes of a block of float32, in place; to be given where a vectorised kernel exists.
    fn block(&self, values: &mut [f32]) -> TractResult<()> {
        values.iter_mut().for_each(|v| *v = self.slope(*v));
        Ok(())
    }
}

/// Inputs: cotangent, and the values at which the slope is taken. A cotangent of zero stays zero whatever the slope:
/// the branch that a Where did not take may have an infinite one.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Pointwise<S>(pub(in crate::engine) S);

/// Values worked on at once, so that they stay in the first cache.
const BLOCK: usize = 1024;

impl<S: Slope> Kernel for Pointwise<S> {
    const NAME: &'static str = "Pointwise";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [g, v] = inputs else { bail!("two inputs were expected") };
        ensure!(g.shape == v.shape && g.datum_type == v.datum_type, "{g:?} and {v:?} differ");
        Ok(tvec![g.without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, v) = args_2!(inputs);
        let mut g = g.into_tensor();
        if T::datum_type() == f32::datum_type() {
            let mut plain = g.try_as_plain_ram_mut()?;
            let mut block = [0f32; BLOCK];
            for (g, v) in plain.as_slice_mut::<f32>()?.chunks_mut(BLOCK).zip(slice::<f32>(&v)?.chunks(BLOCK)) {
                let slopes = &mut block[..v.len()];
                slopes.copy_from_slice(v);
                self.0.block(slopes)?;
                g.iter_mut().zip(slopes).for_each(|(g, s)| *g = if *g == 0.0 { 0.0 } else { *g * *s });
            }
        } else {
            let mut plain = g.try_as_plain_ram_mut()?;
            let scaled = |(g, v): (&mut T, &T)| *g = if g.is_zero() { *g } else { *g * self.0.slope(*v) };
            plain.as_slice_mut::<T>()?.iter_mut().zip(slice::<T>(&v)?).for_each(scaled);
        }
        Ok(tvec![g])
    }

    fn pointwise(&self) -> bool {
        true
    }
}

/// 1 where the value is beyond the bound: the slope of a maximum or minimum with a number, at its output.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Inside {
    pub(in crate::engine) max: bool,
    pub(in crate::engine) bound: f64,
}

impl Slope for Inside {
    fn slope<T: Real>(&self, y: T) -> T {
        let bound = T::of(self.bound);
        let inside = if self.max { y > bound } else { y < bound };
        if inside { T::one() } else { T::zero() }
    }
}

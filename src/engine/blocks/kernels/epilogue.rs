//! What happens to a value before it is stored.

use super::simd::{Simd, unroll};

/// What a network does to a value behind a convolution or product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Activation {
    /// To the lowest and highest value: `ReLU` is `(0, inf)`, `ReLU6` `(0, 6)`. What is not a number stays so.
    Clamp(f32, f32),
    /// `x min(max(x / 6 + 1 / 2, 0), 1)` (Howard and others 2019, arXiv:1905.02244).
    HardSwish,
}

const SIXTH: f32 = 1.0 / 6.0;

impl Activation {
    /// With the bits that [`Epilogue::store`] gives, which multiplies and adds one after the other too.
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Clamp(low, high) => x.clamp(low, high),
            Self::HardSwish => x * (x * SIXTH + 0.5).clamp(0.0, 1.0),
        }
    }
}

/// In this order: a sum, an activation, and the gate of a gradient. Slices have the layout of the output.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Epilogue<'a> {
    /// Added to what was computed: the other arm of a residual block.
    pub(in super::super) add: Option<&'a [f32]>,
    pub(in super::super) activation: Option<Activation>,
    /// The value is kept only where the mask lies strictly between two bounds, as a cotangent passes an activation
    /// whose output was the mask.
    pub(in super::super) mask: Option<(&'a [f32], f32, f32)>,
}

impl<'a> Epilogue<'a> {
    pub(in super::super) const NONE: Self = Self { add: None, activation: None, mask: None };

    /// # Panics
    /// Where a slice has another length than the output.
    pub(super) fn check(&self, length: usize) {
        assert!(self.add.is_none_or(|add| add.len() == length), "the addend has the output's length");
        assert!(self.mask.is_none_or(|(mask, ..)| mask.len() == length), "the mask has the output's length");
    }

    /// The epilogue of a part of the output.
    pub(super) fn of(&self, start: usize, length: usize) -> Epilogue<'a> {
        Epilogue {
            add: self.add.map(|add| &add[start..start + length]),
            mask: self.mask.map(|(mask, low, high)| (&mask[start..start + length], low, high)),
            ..*self
        }
    }

    /// To an output that is already in memory.
    pub(super) fn apply(&self, y: &mut [f32]) {
        if let Some(add) = self.add {
            y.iter_mut().zip(add).for_each(|(y, add)| *y += add);
        }
        if let Some(activation) = self.activation {
            y.iter_mut().for_each(|y| *y = activation.of(*y));
        }
        if let Some((mask, low, high)) = self.mask {
            y.iter_mut().zip(mask).filter(|(_, m)| !(low < **m && **m < high)).for_each(|(y, _)| *y = 0.0);
        }
    }

    /// Stores accumulators at their places in the output.
    ///
    /// # Safety
    /// The instruction set is there; sixteen floats at each place lie in `y`, whose length the epilogue was checked for.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const P: usize>(&self, mut sums: [S::V; P], y: *mut f32, at: [usize; P]) {
        // SAFETY: the slices have the length of the output, where the places are.
        unsafe {
            if let Some(add) = self.add {
                unroll!(P, j => sums[j] = S::add(sums[j], S::load(add.as_ptr().add(at[j]))));
            }
            match self.activation {
                Some(Activation::Clamp(low, high)) => {
                    let least = S::splat(low);
                    unroll!(P, j => sums[j] = S::max(least, sums[j]));
                    if high < f32::INFINITY {
                        let most = S::splat(high);
                        unroll!(P, j => sums[j] = S::min(most, sums[j]));
                    }
                }
                Some(Activation::HardSwish) => {
                    let (sixth, half) = (S::splat(SIXTH), S::splat(0.5));
                    let (zero, one) = (S::splat(0.0), S::splat(1.0));
                    unroll!(P, j => {
                        let gate = S::add(S::mul(sums[j], sixth), half);
                        sums[j] = S::mul(sums[j], S::min(one, S::max(zero, gate)));
                    });
                }
                None => {}
            }
            if let Some((mask, low, high)) = self.mask {
                unroll!(P, j => sums[j] = S::keep(sums[j], S::load(mask.as_ptr().add(at[j])), low, high));
            }
            unroll!(P, j => S::store(y.add(at[j]), sums[j]));
        }
    }
}

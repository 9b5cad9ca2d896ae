//! A tile of a dense convolution: some blocks of output channels by some pixels, held in registers.

use super::epilogue::Epilogue;
use super::geometry::{OUTSIDE, Tile};
use super::simd::{LANES, Simd, unroll};

/// What a tap reads that lies outside: as many floats as the deepest tap has.
static ZEROS: [f32; LANES] = [0.0; LANES];

/// What the tiles of a strip of output blocks share.
pub(super) struct Strip {
    pub(super) depth: usize,
    pub(super) taps: usize,
    pub(super) x_block: usize,
    pub(super) weights: *const f32,
    /// Floats to the weights of the next output block.
    pub(super) weights_block: usize,
    pub(super) bias: *const f32,
    pub(super) y_block: usize,
}

/// Channels between two looks at whether a tap has more.
const UNROLLED: usize = 4;

impl Strip {
    /// `Q` output blocks by `P` pixels. `SPACING` is that of an even tile's pixels, or 0 where each has its own place; a
    /// tap reads `DEPTH` floats, or where that is 0 the channels of a block.
    ///
    /// # Safety
    /// The tile's reads lie at `x`, its writes at `y + at`, for all blocks; the strip's weights and bias are complete.
    #[inline(always)]
    pub(super) unsafe fn tile<S: Simd, const Q: usize, const P: usize, const SPACING: usize, const DEPTH: usize>(
        &self,
        tile: &Tile<'_>,
        x: *const f32,
        y: *mut f32,
        at: usize,
        epilogue: &Epilogue<'_>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[S::splat(0.0); P]; Q];
            unroll!(Q, q => {
                let bias = S::load(self.bias.add(q * LANES));
                unroll!(P, j => sums[q][j] = bias);
            });
            let (mut weights, mut x, mut rest) = (self.weights, x, self.depth);
            while rest > 0 {
                let depth = if DEPTH > 0 { DEPTH } else { rest.min(LANES) };
                for tap in 0..self.taps {
                    let mut reads = [x; P];
                    if SPACING > 0 {
                        let read = *tile.reads.get_unchecked(tap);
                        if read == OUTSIDE {
                            weights = weights.add(depth * LANES);
                            continue;
                        }
                        reads[0] = x.add(read as usize);
                    } else {
                        unroll!(P, j => {
                            let read = *tile.reads.get_unchecked(tap * P + j);
                            reads[j] = if read == OUTSIDE { ZEROS.as_ptr() } else { x.add(read as usize) }
                        });
                    }
                    self.tap::<S, Q, P, SPACING, DEPTH>(&mut sums, &reads, weights, depth);
                    weights = weights.add(depth * LANES);
                }
                rest -= depth;
                x = x.wrapping_add(self.x_block);
            }
            let mut places = [0; P];
            unroll!(Q, q => {
                unroll!(P, j => places[j] = at + q * self.y_block + *tile.writes.get_unchecked(j) as usize);
                epilogue.store::<S, P>(sums[q], y, places);
            });
        }
    }

    /// The products of one tap and the channels of a block.
    ///
    /// # Safety
    /// `depth` floats can be read of each pixel, and as many vectors of weights of each output block.
    #[inline(always)]
    unsafe fn tap<S: Simd, const Q: usize, const P: usize, const SPACING: usize, const DEPTH: usize>(
        &self,
        sums: &mut [[S::V; P]; Q],
        reads: &[*const f32; P],
        weights: *const f32,
        depth: usize,
    ) {
        macro_rules! channel {
            ($channel:expr) => {{
                let hidden = if SPACING == 1 || SPACING == 2 { hidden_zero() } else { 0 };
                let mut w = [S::splat(0.0); Q];
                for q in 0..Q {
                    w[q] = S::load(weights.add(q * self.weights_block + ($channel) * LANES));
                }
                for j in 0..P {
                    let (pixel, away) = if SPACING == 0 { (reads[j], 0) } else { (reads[0], j * SPACING + hidden) };
                    let value = S::splat(*pixel.add($channel + away));
                    for q in 0..Q {
                        sums[q][j] = S::fma(value, w[q], sums[q][j]);
                    }
                }
            }};
        }
        // SAFETY: the caller's promise.
        unsafe {
            if DEPTH > 0 {
                unroll!(DEPTH, c => channel!(c));
                return;
            }
            let mut c = 0;
            while c + UNROLLED <= depth {
                unroll!(UNROLLED, k => channel!(c + k));
                c += UNROLLED;
            }
            while c < depth {
                channel!(c);
                c += 1;
            }
        }
    }
}

/// A zero of which the compiler does not know. Windows of neighbouring pixels of an image overlap: if it saw that, it would
/// keep broadcast values for the next column, and spill accumulators for them.
#[inline(always)]
fn hidden_zero() -> usize {
    let mut zero = 0usize;
    // SAFETY: nothing is done.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) zero, options(nomem, nostack, preserves_flags));
    }
    zero
}

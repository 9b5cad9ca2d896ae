//! Channels in blocks of sixteen, from one convolution to the next; and products of matrices.
//!
//! The fast convolutions of [`kernels`] want activations as `[N, ceil(C / 16), H, W, 16]`: a vector is then one pixel of
//! a block, whatever the convolution. [`Layout`] rewrites a graph so that convolutions and what lies between them
//! (activations, sums, pools) work on blocks, converts at the borders, and lets a convolution do what follows it before
//! it stores ([`fuse`]). Products go to the same kernels, and their rows stay as they lie. The lanes past `C` hold
//! whatever came of the zeros that were put there; nothing reads them.

mod channels;
mod convolution;
mod copies;
mod fast;
mod fuse;
mod kernels;
mod layout;
mod pair;
mod pool;
mod product;
#[cfg(test)]
mod tests;

pub(super) use layout::lay;

use tract_onnx::tract_core::internal::*;

/// Channels of a block.
const LANES: usize = kernels::LANES;

/// The shape in blocks of a tensor `[N, C, H, W]`.
fn blocked(shape: &[usize]) -> TVec<usize> {
    tvec![shape[0], shape[1].div_ceil(LANES), shape[2], shape[3], LANES]
}

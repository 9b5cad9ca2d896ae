//! Convolutions of float32 over two axes and products of matrices, fast: plain functions of slices, which know nothing of graphs.
//!
//! A [`Problem`] becomes a [`Blocked`], with its weights packed and its geometry settled, which then runs on batches of any
//! size. Every output is one chain of fused multiplications and additions (bias, then block, tap, channel), so that a
//! sample has the same bits wherever in a batch it lies, and equal windows give equal bits. [`simd`] has the instruction
//! sets, one of which is chosen when the program runs.

// Registers are loaded and stored by address; each place says why its addresses are right.
#![allow(unsafe_code)]
// Code generic over the instruction set has its features only where it is inlined into a function that enables them.
#![allow(clippy::inline_always)]
// Kernels index accumulators in registers; an iterator would be a closure, which lacks the features.
#![allow(clippy::needless_range_loop)]

mod aligned;
mod blocked;
mod dense;
mod depthwise;
mod epilogue;
mod geometry;
mod image;
mod layout;
mod pack;
mod problem;
mod product;
mod row;
mod simd;
#[cfg(test)]
mod tests;
mod tile;
mod transpose;

pub(super) use blocked::{Blocked, Layout};
pub(super) use epilogue::{Activation, Epilogue};
pub(super) use layout::{from_blocked, to_blocked};
pub(super) use problem::{FEW, Problem};
pub(super) use product::{Matrix, Product};
pub(super) use simd::LANES;

use crate::engine::ops::conv::{Phase, Span, gcd};

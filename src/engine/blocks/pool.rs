//! Maxima over windows, in blocks.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

use super::{LANES, blocked};
use crate::engine::ops::pool::Windows;
use crate::engine::ops::{Kernel, Real, slice};

type Lanes = [f32; LANES];

/// A pool over `[N, C, H, W]` in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) spec: PoolSpec,
    /// The pool's input, not in blocks.
    pub(super) shape: TVec<usize>,
}

impl Pool {
    /// Whether it is over rows and columns behind channels.
    pub(super) fn serves(&self) -> bool {
        self.spec.rank() == 2 && self.spec.data_format.h_axis() == 2 && self.shape.len() == 4
    }

    /// Where the windows read in a plane of the input, in the order of their outputs.
    fn windows(&self) -> TractResult<Vec<Vec<usize>>> {
        let [_, rows, columns] = Windows::new(&self.spec, &self.shape)?.axes;
        let of = |row: usize, column: usize| {
            let reads = rows.reads(row).flat_map(|i| columns.reads(column).map(move |j| i * columns.input + j));
            reads.collect::<Vec<_>>()
        };
        Ok((0..rows.output).flat_map(|row| (0..columns.output).map(move |column| of(row, column))).collect())
    }

    fn output(&self) -> TractResult<TVec<usize>> {
        let [_, rows, columns] = Windows::new(&self.spec, &self.shape)?.axes;
        Ok(blocked(&[self.shape[0], self.shape[1], rows.output, columns.output]))
    }
}

/// The pool itself. Input: blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MaxBlocks(pub(super) Pool);

impl Kernel for MaxBlocks {
    const NAME: &'static str = "MaxPoolBlocks";

    fn outputs(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&*self.0.output()?)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let x = args_1!(inputs);
        let (pixels, windows) = (x.shape()[2] * x.shape()[3], self.0.windows()?);
        let mut y = Tensor::zero::<f32>(&self.0.output()?)?;
        let mut into = y.try_as_plain_ram_mut()?;
        let (planes, _) = slice::<f32>(&x)?.as_chunks::<LANES>();
        let (into, _) = into.as_slice_mut::<f32>()?.as_chunks_mut::<LANES>();
        for (x, y) in planes.chunks_exact(pixels).zip(into.chunks_exact_mut(windows.len())) {
            for (y, window) in y.iter_mut().zip(&windows) {
                *y = window.iter().fold([f32::NEG_INFINITY; LANES], |best, at| larger(&best, &x[*at]));
            }
        }
        Ok(tvec![y])
    }
}

fn larger(a: &Lanes, b: &Lanes) -> Lanes {
    let mut larger = *a;
    larger.iter_mut().zip(b).for_each(|(a, b)| *a = if *b > *a { *b } else { *a });
    larger
}

/// Its gradient. Inputs: cotangent and the pool's input, in blocks. Each window's cotangent goes to the first of its
/// largest values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MaxBlocksAdjoint(pub(super) Pool);

impl Kernel for MaxBlocksAdjoint {
    const NAME: &'static str = "MaxPoolBlocksAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x) = args_2!(inputs);
        let (pixels, windows) = (x.shape()[2] * x.shape()[3], self.0.windows()?);
        let mut out = Tensor::zero::<f32>(x.shape())?;
        let mut into = out.try_as_plain_ram_mut()?;
        let ((g, _), (x, _)) = (slice::<f32>(&g)?.as_chunks::<LANES>(), slice::<f32>(&x)?.as_chunks::<LANES>());
        let (into, _) = into.as_slice_mut::<f32>()?.as_chunks_mut::<LANES>();
        let planes = g.chunks_exact(windows.len()).zip(x.chunks_exact(pixels)).zip(into.chunks_exact_mut(pixels));
        for ((g, x), into) in planes {
            for (window, g) in windows.iter().zip(g) {
                let firsts = firsts(window, x);
                for (tap, at) in (0u32..).zip(window) {
                    let to = into[*at].iter_mut().zip(g).zip(&firsts);
                    to.for_each(|((to, g), first)| *to += if *first == tap { *g } else { 0.0 });
                }
            }
        }
        Ok(tvec![out])
    }
}

/// By lane, the tap of a window with the first of the largest values.
fn firsts(window: &[usize], x: &[Lanes]) -> [u32; LANES] {
    let (mut firsts, mut best) = ([0; LANES], [f32::NEG_INFINITY; LANES]);
    for (tap, at) in (0u32..).zip(window) {
        for ((first, best), value) in firsts.iter_mut().zip(&mut best).zip(&x[*at]) {
            let more = *value > *best;
            *first = if more { tap } else { *first };
            *best = if more { *value } else { *best };
        }
    }
    firsts
}

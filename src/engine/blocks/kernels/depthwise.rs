//! The kernel of depthwise convolutions, where each channel sees itself alone: sixteen channels at once, a row of
//! outputs at a time, some pixels of it in registers.
//!
//! Each output is one chain of fused products: the bias, then the taps in order. The phases of a gradient are taken
//! within each row, so that a row is complete while it is near.

use super::Phase;
use super::aligned::Aligned;
use super::epilogue::Epilogue;
use super::layout::Frame;
use super::row::{Goal, Line, Run};
use super::simd::{Isa, LANES, Simd, dispatch};

pub(super) struct Depthwise {
    pub(super) isa: Isa,
    pub(super) phases: [Vec<Phase>; 2],
    /// `[blocks, taps, 16]`.
    pub(super) weights: Aligned,
    pub(super) bias: Aligned,
    pub(super) kernel: [usize; 2],
    pub(super) from: [usize; 2],
    pub(super) to: [usize; 2],
}

/// Maps narrower than this are copied between columns of zeros: at their edges no pixel needs care, and the copy stays
/// in the nearest cache.
const NARROW: usize = 28;

impl Depthwise {
    pub(super) fn run(&self, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>) {
        let blocks = self.bias.len() / LANES;
        let [from, to] = [self.from, self.to].map(|size| size[0] * size[1] * LANES);
        assert!(x.len().is_multiple_of(from * blocks) && x.len() / from * to == y.len(), "whole samples");
        assert!(self.weights.len() == self.bias.len() * self.kernel[0] * self.kernel[1], "weights for each tap");
        epilogue.check(y.len());
        let columns = &self.phases[1];
        let frame = (self.to[1] / columns.len() < NARROW).then(|| Frame::around(columns, self.from[1]));
        // SAFETY: the lengths are those of whole planes, and phases and frame were made for their sizes.
        unsafe { run(self.isa, self, frame.as_ref(), x, y, epilogue) }
    }
}

dispatch!(
    /// # Safety
    /// `x` and `y` hold as many planes as each other, the weights are complete, and the phases fit the sizes.
    run = planes[RUN](depthwise: &Depthwise, frame: Option<&Frame>, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>)
);

/// Plane by plane, a row of outputs at a time.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn planes<S: Simd, const P: usize>(
    depthwise: &Depthwise,
    frame: Option<&Frame>,
    x: &[f32],
    y: &mut [f32],
    epilogue: &Epilogue<'_>,
) {
    let Depthwise { phases: [rows, columns], kernel, from, to, .. } = depthwise;
    let blocks = depthwise.bias.len() / LANES;
    let runs: Vec<Run> = columns.iter().map(|phase| Run::new(phase, frame, from[1])).collect();
    let width = frame.map_or(from[1], |frame| frame.width);
    let mut framed = Aligned::zeros(frame.map_or(0, |frame| from[0] * frame.width * LANES));
    let mut lines = Vec::with_capacity(kernel[0]);
    for (plane, x) in x.chunks_exact(from[0] * from[1] * LANES).enumerate() {
        let x = match frame {
            Some(frame) => {
                frame.copy(x, from[1], LANES, &mut framed);
                &framed[..]
            }
            None => x,
        };
        let block = plane % blocks;
        let weights = &depthwise.weights[block * kernel[0] * kernel[1] * LANES..];
        for row in 0..to[0] {
            let phase = &rows[row % rows.len()];
            let down = (row / rows.len() * phase.step).cast_signed();
            lines.clear();
            for (tap, at) in &phase.taps {
                let line = (at + down).cast_unsigned();
                if line < from[0] {
                    let (x, weights) = (&x[line * width * LANES..], &weights[tap * kernel[1] * LANES..]);
                    lines.push(Line { x: x.as_ptr(), weights: weights.as_ptr() });
                }
            }
            let row = (plane * to[0] + row) * to[1] * LANES;
            for run in &runs {
                let goal = Goal { y: y.as_mut_ptr(), at: row + run.first * LANES, epilogue };
                // SAFETY: there is a bias for each block; lines are whole rows, and the row of outputs lies in `y`.
                unsafe { run.row::<S, P>(&lines, S::load(depthwise.bias.as_ptr().add(block * LANES)), goal) }
            }
        }
    }
}

//! A row of a depthwise convolution: sixteen channels of some pixels, held in registers.

use std::ops::Range;

use super::Phase;
use super::epilogue::Epilogue;
use super::layout::Frame;
use super::simd::{LANES, Simd, unroll};

/// Outputs of a tile where a row is too short for a whole one.
const FEWEST: usize = 2;

/// A row of the input and the row of the kernel that meets it: where both begin.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) x: *const f32,
    pub(super) weights: *const f32,
}

/// Where a run of outputs goes: the first of them, in the output and in the slices of the epilogue.
#[derive(Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) y: *mut f32,
    pub(super) at: usize,
    pub(super) epilogue: &'a Epilogue<'a>,
}

/// The outputs of a row that see the same taps.
pub(super) struct Run {
    pub(super) first: usize,
    every: usize,
    count: usize,
    step: usize,
    taps: usize,
    /// The first tap, and from each to the next.
    tap: usize,
    tap_every: usize,
    /// Where the first tap of the first output reads, and from each tap to the next.
    at: isize,
    at_every: usize,
    /// Outputs all of whose taps are inside.
    inner: Range<usize>,
    width: usize,
}

impl Run {
    pub(super) fn new(phase: &Phase, frame: Option<&Frame>, width: usize) -> Self {
        let Phase { first, every, count, step, ref taps } = *phase;
        let (tap, at) = taps.first().copied().unwrap_or((0, 0));
        let (next, at_next) = taps.get(1).copied().unwrap_or((tap + 1, at + 1));
        let (tap_every, at_every) = (next - tap, (at_next - at).cast_unsigned());
        let (at, width) = frame.map_or((at, width), |frame| (at + frame.before, frame.width));
        let last = at + (taps.len().saturating_sub(1) * at_every).cast_signed();
        let (low, high) = (phase.inside(at, width), phase.inside(last, width));
        let inner = low.start.max(high.start)..low.end.min(high.end);
        Self { first, every, count, step, taps: taps.len(), tap, tap_every, at, at_every, inner, width }
    }

    /// # Safety
    /// Lines are rows of the input and of the kernel, and the row of outputs is there.
    #[inline(always)]
    pub(super) unsafe fn row<S: Simd, const P: usize>(&self, lines: &[Line], bias: S::V, goal: Goal<'_>) {
        macro_rules! run {
            ($rows:literal, $taps:literal, $step:literal) => {
                self.row_of::<S, P, $rows, $taps, $step>(lines, bias, goal)
            };
        }
        // SAFETY: the caller's promise.
        unsafe {
            match (lines.len(), self.taps, self.step, self.at_every) {
                (3, 3, 1, 1) => run!(3, 3, 1),
                (3, 3, 2, 1) => run!(3, 3, 2),
                (5, 5, 1, 1) => run!(5, 5, 1),
                (5, 5, 2, 1) => run!(5, 5, 2),
                (_, 1, 1, _) => run!(0, 1, 1),
                (_, 2, 1, 1) => run!(0, 2, 1),
                (_, 3, 1, 1) => run!(0, 3, 1),
                (_, 5, 1, 1) => run!(0, 5, 1),
                (_, 3, 2, 1) => run!(0, 3, 2),
                (_, 5, 2, 1) => run!(0, 5, 2),
                _ => run!(0, 0, 0),
            }
        }
    }

    /// Under `ROWS` rows of `TAPS` taps beside each other, in steps of `STEP`; under any where they are 0.
    ///
    /// # Safety
    /// As for a row.
    #[inline(always)]
    unsafe fn row_of<S: Simd, const P: usize, const ROWS: usize, const TAPS: usize, const STEP: usize>(
        &self,
        lines: &[Line],
        bias: S::V,
        goal: Goal<'_>,
    ) {
        // Copied, so that they may stay in registers: for all that is known of them, outputs are stored over the lines.
        let mut few = [Line { x: std::ptr::null(), weights: std::ptr::null() }; ROWS];
        let lines = if ROWS > 0 {
            few.copy_from_slice(lines);
            &few
        } else {
            lines
        };
        let inner = if self.inner.len() < FEWEST { self.count..self.count } else { self.inner.clone() };
        macro_rules! tiles {
            ($width:ident) => {{
                let mut j = inner.start;
                while j < inner.end {
                    // The last tile overlaps the one before it, and stores the same values again.
                    j = j.min(inner.end - $width);
                    self.tile::<S, $width, TAPS, STEP>(lines, bias, j, goal);
                    j += $width;
                }
            }};
        }
        // SAFETY: taps of inner outputs are inside; those of others are looked at one by one.
        unsafe {
            for j in (0..inner.start).chain(inner.end..self.count) {
                self.edge::<S, TAPS>(lines, bias, j, goal);
            }
            if inner.len() >= P {
                tiles!(P);
            } else {
                tiles!(FEWEST);
            }
        }
    }

    /// `P` outputs from `j` on, all of whose taps are inside: `TAPS` beside each other, or any where it is 0.
    ///
    /// # Safety
    /// As for a row.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const TAPS: usize, const STEP: usize>(
        &self,
        lines: &[Line],
        bias: S::V,
        j: usize,
        goal: Goal<'_>,
    ) {
        let [taps, step, at_every] = if TAPS > 0 { [TAPS, STEP, 1] } else { [self.taps, self.step, self.at_every] };
        let left = (self.at + (j * step).cast_signed()) * LANES.cast_signed();
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [bias; P];
            for line in lines {
                let x = line.x.offset(left);
                for tap in 0..taps {
                    let w = S::load(line.weights.add((self.tap + tap * self.tap_every) * LANES));
                    for i in 0..P {
                        sums[i] = S::fma(S::load(x.add((tap * at_every + i * step) * LANES)), w, sums[i]);
                    }
                }
            }
            let mut places = [0; P];
            unroll!(P, i => places[i] = goal.at + (j + i) * self.every * LANES);
            goal.epilogue.store::<S, P>(sums, goal.y, places);
        }
    }

    /// Output `j`, some of whose taps may be outside.
    ///
    /// # Safety
    /// As for a row.
    #[inline(always)]
    unsafe fn edge<S: Simd, const TAPS: usize>(&self, lines: &[Line], bias: S::V, j: usize, goal: Goal<'_>) {
        let taps = if TAPS > 0 { TAPS } else { self.taps };
        // SAFETY: a column is looked at before it is read.
        unsafe {
            let mut sum = bias;
            for line in lines {
                for tap in 0..taps {
                    let column = (self.at + (j * self.step + tap * self.at_every).cast_signed()).cast_unsigned();
                    if column < self.width {
                        let w = S::load(line.weights.add((self.tap + tap * self.tap_every) * LANES));
                        sum = S::fma(S::load(line.x.add(column * LANES)), w, sum);
                    }
                }
            }
            goal.epilogue.store::<S, 1>([sum], goal.y, [goal.at + j * self.every * LANES]);
        }
    }
}

//! Copies between the layouts: NCHW, blocks of sixteen channels, and rows between columns of zeros.

use super::Phase;
use super::simd::LANES;
use super::transpose::{self, SIDE};

/// `[N, C, pixels]` to `[N, ceil(C / 16), pixels, 16]`, the lanes past `C` zero.
///
/// # Panics
/// Where the slices are not whole samples, as many as each other.
pub(in super::super) fn to_blocked(x: &[f32], channels: usize, pixels: usize, y: &mut [f32]) {
    let [plain, blocked] = samples(channels, pixels, x.len(), y.len());
    for (x, y) in x.chunks_exact(plain).zip(y.chunks_exact_mut(blocked)) {
        for (x, y) in x.chunks(LANES * pixels).zip(y.chunks_exact_mut(LANES * pixels)) {
            let turned = transpose::whole(pixels);
            for pixel in (0..turned).step_by(SIDE) {
                for half in [0, SIDE] {
                    let x = x.get(half * pixels + pixel..).unwrap_or_default();
                    transpose::square(x, pixels, x.len().div_ceil(pixels), &mut y[pixel * LANES + half..], LANES, SIDE);
                }
            }
            for (pixel, y) in y.chunks_exact_mut(LANES).enumerate().skip(turned) {
                y.fill(0.0);
                y.iter_mut().zip(x[pixel..].iter().step_by(pixels)).for_each(|(y, x)| *y = *x);
            }
        }
    }
}

/// `[N, ceil(C / 16), pixels, 16]` to `[N, C, pixels]`.
///
/// # Panics
/// Where the slices are not whole samples, as many as each other.
pub(in super::super) fn from_blocked(x: &[f32], channels: usize, pixels: usize, y: &mut [f32]) {
    let [plain, blocked] = samples(channels, pixels, y.len(), x.len());
    for (x, y) in x.chunks_exact(blocked).zip(y.chunks_exact_mut(plain)) {
        for (x, y) in x.chunks_exact(LANES * pixels).zip(y.chunks_mut(LANES * pixels)) {
            let turned = transpose::whole(pixels);
            for pixel in (0..turned).step_by(SIDE) {
                for half in [0, SIDE] {
                    let y = y.get_mut(half * pixels + pixel..).unwrap_or_default();
                    let channels = y.len().div_ceil(pixels);
                    transpose::square(&x[pixel * LANES + half..], LANES, SIDE, y, pixels, channels);
                }
            }
            for (pixel, x) in x.chunks_exact(LANES).enumerate().skip(turned) {
                y[pixel..].iter_mut().step_by(pixels).zip(x).for_each(|(y, x)| *y = *x);
            }
        }
    }
}

/// Floats of a sample, plain and blocked.
fn samples(channels: usize, pixels: usize, plain: usize, blocked: usize) -> [usize; 2] {
    let sample = [channels, channels.next_multiple_of(LANES)].map(|channels| channels * pixels);
    let batch = plain / sample[0];
    assert!(batch * sample[0] == plain && batch * sample[1] == blocked, "whole samples");
    sample
}

/// Room for rows whose taps read beyond the map, in which every tap is inside.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Columns of zeros before the map; where negative, columns of the map that are left out.
    pub(super) before: isize,
    pub(super) width: usize,
}

impl Frame {
    /// Whatever these phases read of a row.
    pub(super) fn around(phases: &[Phase], length: usize) -> Self {
        let lowest = phases.iter().flat_map(|p| p.taps.iter().map(|tap| tap.1)).min().unwrap_or(0);
        let last = |p: &Phase| p.taps.iter().map(|tap| tap.1 + ((p.count - 1) * p.step).cast_signed()).max();
        let highest = phases.iter().filter_map(last).max().unwrap_or(length.cast_signed() - 1);
        Self { before: -lowest, width: (highest + 1 - lowest).cast_unsigned() }
    }

    /// Rows of pixels of `unit` floats into framed ones, whose zeros are there.
    pub(super) fn copy(&self, x: &[f32], width: usize, unit: usize, into: &mut [f32]) {
        let before = self.before.max(0).cast_unsigned().min(self.width);
        let skipped = (-self.before).max(0).cast_unsigned().min(width);
        let kept = (width - skipped).min(self.width - before);
        for (x, y) in x.chunks_exact(width * unit).zip(into.chunks_exact_mut(self.width * unit)) {
            y[before * unit..(before + kept) * unit].copy_from_slice(&x[skipped * unit..(skipped + kept) * unit]);
        }
    }
}

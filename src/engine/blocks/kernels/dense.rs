//! The kernel of dense convolutions: tiles of some blocks of output channels by some pixels, held in registers.
//!
//! Each output is one chain of fused products: the bias, then block of channels, tap, channel. Its bits depend neither
//! on the tile it lies in nor on the batch.

use super::Phase;
use super::aligned::Aligned;
use super::epilogue::Epilogue;
use super::geometry::{Map, Tap, Tile, Tiles};
use super::simd::{Isa, LANES, Simd, dispatch};
use super::tile::Strip;

/// Weights of all output blocks, in floats, up to which they stay in the nearer caches beside the tiles of a pass.
const NEAR: usize = 48 << 10;
/// Floats that the tiles of a pass read of each tap, where the weights are near.
const PASS: usize = 16 << 10;
/// Pixels of a pass where the weights are far: they are streamed once for so many.
const FAR: usize = 448;

pub(super) struct Dense {
    pub(super) isa: Isa,
    pub(super) parts: Vec<Part>,
    pub(super) groups: usize,
    /// Channels of a group that a tap reads, or columns of an image.
    pub(super) depth: usize,
    /// Blocks of output channels of a group.
    pub(super) blocks: usize,
    /// One for each lane of each output block.
    pub(super) bias: Aligned,
    pub(super) from: Map,
    pub(super) to: Map,
}

/// The outputs that see the same taps.
pub(super) struct Part {
    tiles: Tiles,
    /// `[groups x blocks, blocks of channels, taps, channels, 16]`, the last block of channels no deeper than it is.
    weights: Aligned,
}

impl Part {
    /// None where offsets do not fit.
    pub(super) fn new(
        isa: Isa,
        phases: [&Phase; 2],
        taps: &[Tap],
        maps: [&Map; 2],
        depth: usize,
        weights: Aligned,
    ) -> Option<Self> {
        let spacing = phases[1].step * maps[0].unit;
        let spacing = has_spacing(spacing, depth).then_some(spacing);
        let tiles = Tiles::new(isa.pixels(), phases, taps, maps[0], maps[1], spacing)?;
        Some(Self { tiles, weights })
    }
}

/// Whether there is a kernel for evenly spaced pixels: blocks under steps of one and two, and the usual stems.
fn has_spacing(spacing: usize, depth: usize) -> bool {
    matches!((spacing, depth), (16 | 32, _) | (1, 3 | 5) | (2, 3 | 7))
}

impl Dense {
    /// Samples that fill a pass.
    pub(super) fn chunk(&self) -> usize {
        let period = self.parts.iter().map(|part| part.tiles.period).max().unwrap_or(1);
        period * FAR.div_ceil(period * self.to.size[0] * self.to.size[1])
    }

    pub(super) fn run(&self, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>) {
        let batch = x.len() / self.from.sample;
        assert!(x.len() == batch * self.from.sample && y.len() == batch * self.to.sample, "whole samples");
        assert!(self.bias.len() == self.groups * self.blocks * LANES, "a bias for each lane");
        epilogue.check(y.len());
        for part in &self.parts {
            let needed = self.bias.len() * part.tiles.taps * self.depth;
            assert!(part.weights.len() == needed && self.depth > 0, "weights for each tap");
            // SAFETY: the tables were made for maps of these samples, of which `x` and `y` have as many as the batch.
            unsafe { run(self.isa, self, part, batch, x, y, epilogue) }
        }
    }
}

dispatch!(
    /// # Safety
    /// `x` and `y` hold `batch` samples of the maps that the tables were made for; weights and bias are complete.
    run = passes[BLOCKS, PIXELS](dense: &Dense, part: &Part, batch: usize, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>)
);

/// A tile at its place in the batch.
struct Placed<'a> {
    tile: Tile<'a>,
    x: usize,
    y: usize,
}

/// Tiles pass by pass: those of one, whose inputs stay near, meet all weights before the next.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn passes<S: Simd, const Q: usize, const P: usize>(
    dense: &Dense,
    part: &Part,
    batch: usize,
    x: &[f32],
    y: &mut [f32],
    epilogue: &Epilogue<'_>,
) {
    let tiles = &part.tiles;
    let (ending, last) = tiles.ending(batch % tiles.period);
    let whole = batch / tiles.period * tiles.len() + ending;
    let total = whole + usize::from(last.is_some());
    let far = part.weights.len() / dense.groups > NEAR;
    let pass = if far { FAR / P } else { (PASS / (P * dense.depth)).clamp(1, FAR / P) };
    let mut placed = Vec::with_capacity(pass);
    for start in (0..total).step_by(pass) {
        placed.clear();
        for index in start..(start + pass).min(total) {
            let tile = match &last {
                Some(ending) if index == whole => ending.tile(),
                _ => tiles.tile(index % tiles.len()),
            };
            let sample = index / tiles.len() * tiles.period;
            placed.push(Placed { tile, x: sample * dense.from.sample, y: sample * dense.to.sample });
        }
        // SAFETY: the samples lie in the slices.
        unsafe { pass_on::<S, Q, P>(dense, part, &placed, x, y, epilogue) }
    }
}

/// A pass of tiles, for all output channels.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn pass_on<S: Simd, const Q: usize, const P: usize>(
    dense: &Dense,
    part: &Part,
    placed: &[Placed<'_>],
    x: &[f32],
    y: &mut [f32],
    epilogue: &Epilogue<'_>,
) {
    let weights_block = part.tiles.taps * dense.depth * LANES;
    for group in 0..dense.groups {
        let x_group = group * (dense.depth / LANES) * dense.from.block;
        let (mut block, end) = (group * dense.blocks, (group + 1) * dense.blocks);
        while block < end {
            let count = if Q > 1 && block + Q > end { 1 } else { Q };
            // SAFETY: blocks lie below the checked lengths.
            unsafe {
                let strip = Strip {
                    depth: dense.depth,
                    taps: part.tiles.taps,
                    x_block: dense.from.block,
                    weights: part.weights.as_ptr().add(block * weights_block),
                    weights_block,
                    bias: dense.bias.as_ptr().add(block * LANES),
                    y_block: dense.to.block,
                };
                for Placed { tile, x: x_at, y: y_at } in placed {
                    let x = x.as_ptr().add(x_at + x_group);
                    let at = y_at + block * dense.to.block;
                    let spacing = part.tiles.spacing.filter(|_| tile.even).unwrap_or(0);
                    macro_rules! run {
                        ($spacing:literal, $depth:literal) => {
                            if count == Q {
                                strip.tile::<S, Q, P, $spacing, $depth>(tile, x, y.as_mut_ptr(), at, epilogue)
                            } else {
                                strip.tile::<S, 1, P, $spacing, $depth>(tile, x, y.as_mut_ptr(), at, epilogue)
                            }
                        };
                    }
                    // Those of `has_spacing`.
                    match (spacing, dense.depth) {
                        (16, _) => run!(16, 0),
                        (32, _) => run!(32, 0),
                        (1, 3) => run!(1, 3),
                        (1, 5) => run!(1, 5),
                        (2, 3) => run!(2, 3),
                        (2, 7) => run!(2, 7),
                        _ => run!(0, 0),
                    }
                }
            }
            block += count;
        }
    }
}

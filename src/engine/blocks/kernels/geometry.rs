//! Where a dense kernel reads and writes: everything in which stride, dilation, padding, the phases of a gradient and
//! images read directly differ from each other.

use super::simd::LANES;
use super::{Phase, gcd};

/// A read beyond the map.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Places of a map in memory, in floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) size: [usize; 2],
    /// From one pixel of a row to the next.
    pub(super) unit: usize,
    /// From one block of channels to the next.
    pub(super) block: usize,
    /// From one sample to the next.
    pub(super) sample: usize,
}

impl Map {
    /// A map in blocks of sixteen channels.
    pub(super) fn blocked(size: [usize; 2], channels: usize) -> Self {
        let block = size[0] * size[1] * LANES;
        Self { size, unit: LANES, block, sample: channels.div_ceil(LANES) * block }
    }

    fn place(&self, at: [isize; 2]) -> Option<usize> {
        let [y, x] = at.map(|at| usize::try_from(at).ok());
        let (y, x) = (y.filter(|y| *y < self.size[0])?, x.filter(|x| *x < self.size[1])?);
        Some((y * self.size[1] + x) * self.unit)
    }
}

/// Where the first output of a phase reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) plane: usize,
    pub(super) at: [isize; 2],
}

/// The outputs of a phase, cut into tiles of a fixed number of pixels, and what each of them reads and writes.
///
/// Tiles run on over the ends of rows, and of samples where maps are small; so the cut repeats itself only after some
/// samples, a period. It is settled once: another batch has more periods, and a last one that ends early.
pub(super) struct Tiles {
    width: usize,
    /// Samples of a period.
    pub(super) period: usize,
    /// Pixels of a sample.
    pixels: usize,
    pub(super) taps: usize,
    /// Floats between the reads of an even tile's pixels; None where there are no such tiles.
    pub(super) spacing: Option<usize>,
    cuts: Vec<Cut>,
    reads: Vec<u32>,
    writes: Vec<u32>,
}

struct Cut {
    even: bool,
    start: usize,
}

/// A tile: offsets into the input by tap, then pixel, and into the output by pixel.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The pixels lie evenly spaced in one row, and a tap is inside for all or none of them: the first pixel's reads do.
    pub(super) even: bool,
    pub(super) reads: &'a [u32],
    pub(super) writes: &'a [u32],
}

/// A tile of its own, which is not even.
pub(super) struct Ending {
    reads: Vec<u32>,
    writes: Vec<u32>,
}

impl Ending {
    pub(super) fn tile(&self) -> Tile<'_> {
        Tile { even: false, reads: &self.reads, writes: &self.writes }
    }
}

/// Maps of fewer pixels share tiles between samples; those of more waste little in the last tile of each.
const SMALL: usize = 256;

impl Tiles {
    /// None where offsets do not fit.
    pub(super) fn new(
        width: usize,
        phases: [&Phase; 2],
        taps: &[Tap],
        from: &Map,
        to: &Map,
        spacing: Option<usize>,
    ) -> Option<Self> {
        let [rows, columns] = phases;
        let pixels = rows.count * columns.count;
        let period = if pixels < SMALL { width / gcd(width, pixels) } else { 1 };
        u32::try_from(period * from.sample.max(to.sample)).ok().filter(|most| *most < OUTSIDE)?;
        let mut tiles = Self {
            width,
            period,
            pixels,
            taps: taps.len(),
            spacing,
            cuts: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
        };
        // The pixel's sample, row and column, the last one over and over past the end of the period.
        let place = |pixel: usize| {
            let (sample, pixel) = (pixel.min(period * pixels - 1) / pixels, pixel.min(period * pixels - 1) % pixels);
            (sample, pixel / columns.count, pixel % columns.count)
        };
        for first in (0..period * pixels).step_by(width) {
            let places: Vec<_> = (first..first + width).map(place).collect();
            tiles.push(phases, taps, from, &places);
            let write = |(sample, i, j): &(usize, usize, usize)| {
                let (y, x) = (rows.first + i * rows.every, columns.first + j * columns.every);
                narrow(sample * to.sample + (y * to.size[1] + x) * to.unit)
            };
            tiles.writes.extend(places.iter().map(write));
        }
        Some(tiles)
    }

    /// The reads of the pixels at these places: sample, row and column.
    fn push(&mut self, [rows, columns]: [&Phase; 2], taps: &[Tap], from: &Map, places: &[(usize, usize, usize)]) {
        let start = self.reads.len();
        for tap in taps {
            let read = |(sample, i, j): &(usize, usize, usize)| {
                let down = tap.at[0] + (i * rows.step).cast_signed();
                let along = tap.at[1] + (j * columns.step).cast_signed();
                from.place([down, along]).map_or(OUTSIDE, |at| narrow(sample * from.sample + tap.plane + at))
            };
            self.reads.extend(places.iter().map(read));
        }
        let (first, last) = (places[0], places[places.len() - 1]);
        let row = first.0 == last.0 && first.1 == last.1 && last.2 - first.2 == places.len() - 1;
        // A tap outside is skipped in an even tile and multiplied by zero in others, which may differ in the sign of a
        // zero. Samples of a period are cut differently, so there only tiles without such taps count as even.
        let uniform = |reads: &[u32]| {
            let outside = reads.iter().filter(|read| **read == OUTSIDE).count();
            outside == 0 || self.period == 1 && outside == reads.len()
        };
        let even = row && self.spacing.is_some() && self.reads[start..].chunks_exact(self.width).all(uniform);
        if even {
            let firsts: Vec<u32> = self.reads[start..].iter().copied().step_by(self.width).collect();
            self.reads.truncate(start);
            self.reads.extend(firsts);
        }
        self.cuts.push(Cut { even, start });
    }

    /// Tiles of a period.
    pub(super) fn len(&self) -> usize {
        self.cuts.len()
    }

    pub(super) fn tile(&self, index: usize) -> Tile<'_> {
        let Cut { even, start } = self.cuts[index];
        let reads = if even { self.taps } else { self.taps * self.width };
        Tile {
            even,
            reads: &self.reads[start..start + reads],
            writes: &self.writes[index * self.width..][..self.width],
        }
    }

    /// How a last period of so few samples ends: whole tiles, and one whose pixels past the end are the last one over and
    /// over.
    pub(super) fn ending(&self, samples: usize) -> (usize, Option<Ending>) {
        let (whole, rest) = (samples * self.pixels / self.width, samples * self.pixels % self.width);
        if rest == 0 {
            return (whole, None);
        }
        let tile = self.tile(whole);
        let repeat = |offsets: &[u32]| {
            let mut offsets = offsets.to_vec();
            for pixels in offsets.chunks_exact_mut(self.width) {
                let last = pixels[rest - 1];
                pixels[rest..].fill(last);
            }
            offsets
        };
        (whole, Some(Ending { reads: repeat(tile.reads), writes: repeat(tile.writes) }))
    }
}

/// The caller has seen that all offsets fit.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn narrow(offset: usize) -> u32 {
    offset as u32
}

//! Products of matrices by the tiles of the dense kernel: some blocks of columns by some rows, held in registers.
//!
//! Each output is one chain of fused products: the bias, then the depth in order. Its bits depend neither on the tile it
//! lies in nor on the other rows.

use std::ops::Range;

use super::aligned::Aligned;
use super::epilogue::Epilogue;
use super::geometry::{Tile, narrow};
use super::pack;
use super::simd::{Isa, LANES, Simd, dispatch};
use super::tile::Strip;

/// Floats of the rows that meet all weights before the next ones do: they stay in the second cache.
const NEAR: usize = 64 << 10;

/// The right factor of a product `[rows, depth] x [depth, outputs]` and a bias, packed once for any number of rows.
pub(in super::super) struct Product {
    isa: Isa,
    depth: usize,
    outputs: usize,
    /// `[blocks of outputs, depth, 16]`.
    weights: Aligned,
    /// One for each lane.
    bias: Aligned,
}

/// Vectors in memory: element `k` of vector `i` at `i * steps[0] + k * steps[1]`.
#[derive(Clone, Copy)]
pub(in super::super) struct Matrix<'a> {
    pub(in super::super) values: &'a [f32],
    pub(in super::super) count: usize,
    pub(in super::super) steps: [usize; 2],
}

impl Matrix<'_> {
    /// Whether all of it lies in its slice, at vectors of this length.
    fn fits(&self, length: usize) -> bool {
        self.count == 0 || (self.count - 1) * self.steps[0] + (length - 1) * self.steps[1] < self.values.len()
    }

    /// Sixteen vectors or fewer, from `first` on, side by side: `[length, 16]`, zero past the last.
    fn turn(&self, first: usize, into: &mut [f32]) {
        let count = LANES.min(self.count - first);
        let values = &self.values[first * self.steps[0]..];
        for (k, into) in into.chunks_exact_mut(LANES).enumerate() {
            let values = &values[k * self.steps[1]..];
            if self.steps[0] == 1 {
                into[..count].copy_from_slice(&values[..count]);
            } else {
                into[..count].iter_mut().zip(values.iter().step_by(self.steps[0])).for_each(|(into, v)| *into = *v);
            }
            into[count..].fill(0.0);
        }
    }
}

impl std::fmt::Debug for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Product").field("depth", &self.depth).field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

impl Product {
    /// Packs `weight(k, n)`; a bias for each output. None where there is nothing to compute.
    pub(in super::super) fn new(depth: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Option<Self> {
        Self::on(Isa::best(), depth, bias, weight)
    }

    pub(super) fn on(isa: Isa, depth: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Option<Self> {
        let weights = (depth > 0 && !bias.is_empty() && Self::fits(bias.len()))
            .then(|| pack::dense(bias.len(), depth, 1, |output, _, k| weight(k, output)))?;
        Some(Self { isa, depth, outputs: bias.len(), weights, bias: pack::bias(bias) })
    }

    /// One without weights yet, `depth` and `outputs` more than none and [`Self::fits`] seen; every output begins at
    /// `shift`.
    pub(in super::super) fn blank(depth: usize, outputs: usize, shift: f32) -> Self {
        let weights = Aligned::zeros(outputs.div_ceil(LANES) * depth * LANES);
        Self { isa: Isa::best(), depth, outputs, weights, bias: pack::bias(&vec![shift; outputs]) }
    }

    /// Whether rows may lie so far apart: the offsets of a tile's are narrow.
    pub(in super::super) fn fits(to: usize) -> bool {
        to.checked_next_multiple_of(LANES)
            .and_then(|to| to.checked_mul(LANES))
            .is_some_and(|to| u32::try_from(to).is_ok())
    }

    /// Packs other weights, whose columns are these vectors, times `scale`.
    ///
    /// # Panics
    /// Where there are not as many columns as outputs.
    pub(in super::super) fn pack(&mut self, columns: Matrix<'_>, scale: f32) {
        assert!(columns.count == self.outputs && columns.fits(self.depth), "a column for each output");
        for (block, into) in self.weights.chunks_exact_mut(self.depth * LANES).enumerate() {
            columns.turn(block * LANES, into);
            if scale != 1.0 {
                into.iter_mut().for_each(|weight| *weight *= scale);
            }
        }
    }

    /// Multiplies rows that lie one behind the other. Every element of `y`, `[rows, outputs]`, is written.
    ///
    /// # Panics
    /// Where the slices are not whole rows, as many as each other.
    pub(in super::super) fn run(&self, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>) {
        let count = x.len() / self.depth;
        assert!(x.len() == count * self.depth && y.len() == count * self.outputs, "whole rows");
        self.multiply(Matrix { values: x, count, steps: [self.depth, 1] }, y, self.outputs, epilogue);
    }

    /// Multiplies rows into rows of `y`, `to` floats from one to the next, no less than there are outputs.
    ///
    /// # Panics
    /// Where rows do not lie in their slices, or the epilogue's are not as long as `y`.
    pub(in super::super) fn multiply(&self, x: Matrix<'_>, y: &mut [f32], to: usize, epilogue: &Epilogue<'_>) {
        let y = if x.count == 0 { return } else { &mut y[..(x.count - 1) * to + self.outputs] };
        assert!(x.fits(self.depth) && (to >= self.outputs || x.count == 1), "rows lie in their slices");
        assert!(Self::fits(to.max(self.outputs)), "the offsets of a tile's rows are narrow");
        epilogue.check(y.len());
        // SAFETY: rows and outputs lie in their slices, and the epilogue was checked.
        unsafe { run(self.isa, self, x, y, to, epilogue) }
    }

    /// The floats between rows of full blocks.
    fn width(&self) -> usize {
        self.bias.len()
    }
}

dispatch!(
    /// # Safety
    /// The rows lie in their slice, and in `y` as many of `outputs` floats, `to` from one to the next; the epilogue fits it.
    run = cut[BLOCKS, PIXELS, FEW_BLOCKS, FEW_PIXELS](product: &Product, x: Matrix<'_>, y: &mut [f32], to: usize, epilogue: &Epilogue<'_>)
);

/// Rows in tiles; what is left after whole ones in smaller tiles, if few of these do.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn cut<S: Simd, const Q: usize, const P: usize, const FEW_Q: usize, const FEW_P: usize>(
    product: &Product,
    x: Matrix<'_>,
    y: &mut [f32],
    to: usize,
    epilogue: &Epilogue<'_>,
) {
    let whole = if x.count % P > 2 * FEW_P { x.count } else { x.count / P * P };
    // SAFETY: both are parts of the rows.
    unsafe {
        rows::<S, Q, P>(product, x, 0..whole, y, to, epilogue);
        rows::<S, FEW_Q, FEW_P>(product, x, whole..x.count, y, to, epilogue);
    }
}

/// Some rows, in tiles of `P`: as many at a time as stay near, for all outputs.
///
/// # Safety
/// As for [`run`]; the range is one of rows.
#[inline(always)]
unsafe fn rows<S: Simd, const Q: usize, const P: usize>(
    product: &Product,
    x: Matrix<'_>,
    range: Range<usize>,
    y: &mut [f32],
    to: usize,
    epilogue: &Epilogue<'_>,
) {
    if range.is_empty() {
        return;
    }
    let most = (NEAR / (P * product.depth.max(product.width()))).max(1) * P;
    let whole = range.start + range.len() / P * P;
    let floats = most.min(range.len().next_multiple_of(P)) * product.depth.next_multiple_of(LANES);
    let mut panels = Aligned::zeros(floats);
    let (outputs, width) = (product.outputs, product.width());
    let mut stored = Aligned::zeros(0);
    let mut first = range.start;
    while first < range.end {
        let count = if first < whole { most.min(whole - first) } else { range.end - first };
        let tiles = count.div_ceil(P);
        for (tile, panel) in panels.chunks_exact_mut(P * product.depth.next_multiple_of(LANES)).take(tiles).enumerate()
        {
            pack_rows::<P>(x, first + tile * P..(first + count).min(first + tile * P + P), product.depth, panel);
        }
        let y = &mut y[first * to..(first + count - 1) * to + outputs];
        let epilogue = epilogue.of(first * to, y.len());
        // SAFETY: the tiles' rows lie in what the outputs are stored to.
        unsafe {
            if count == tiles * P && width == outputs {
                strips::<S, Q, P>(product, tiles, &panels, y, to, &epilogue);
            } else {
                if stored.len() < tiles * P * width {
                    stored = Aligned::zeros(tiles * P * width);
                }
                strips::<S, Q, P>(product, tiles, &panels, &mut stored, width, &Epilogue::NONE);
                for (row, stored) in stored.chunks_exact(width).take(count).enumerate() {
                    let y = &mut y[row * to..row * to + outputs];
                    y.copy_from_slice(&stored[..outputs]);
                    epilogue.of(row * to, outputs).apply(y);
                }
            }
        }
        first += count;
    }
}

/// A tile's rows as `[blocks of depth, P, 16]`; rows that are not there are zero.
#[inline(always)]
fn pack_rows<const P: usize>(x: Matrix<'_>, range: Range<usize>, depth: usize, panel: &mut [f32]) {
    let (count, [row_step, step]) = (range.len(), x.steps);
    for (block, panel) in panel.chunks_exact_mut(P * LANES).enumerate() {
        let floats = LANES.min(depth - block * LANES);
        let values = &x.values[range.start * row_step + block * LANES * step..];
        if row_step == 1 && step != 1 {
            for k in 0..floats {
                let places = panel[k..].iter_mut().step_by(LANES);
                places.zip(&values[k * step..k * step + count]).for_each(|(place, value)| *place = *value);
            }
        } else {
            for (row, panel) in panel.chunks_exact_mut(LANES).take(count).enumerate() {
                let values = &values[row * row_step..];
                if step == 1 {
                    panel[..floats].copy_from_slice(&values[..floats]);
                } else {
                    panel[..floats].iter_mut().zip(values.iter().step_by(step)).for_each(|(p, v)| *p = *v);
                }
            }
        }
        panel[count * LANES..].fill(0.0);
    }
}

/// All outputs of the packed tiles, whose rows are stored in full blocks, `to` floats from one to the next.
///
/// # Safety
/// `y` holds `P` such rows for each tile; the epilogue fits it.
#[inline(always)]
unsafe fn strips<S: Simd, const Q: usize, const P: usize>(
    product: &Product,
    tiles: usize,
    panels: &[f32],
    y: &mut [f32],
    to: usize,
    epilogue: &Epilogue<'_>,
) {
    let (depth, width) = (product.depth, product.width());
    let blocks = width / LANES;
    let panel = P * depth.next_multiple_of(LANES);
    // That they fit, `multiply` has seen.
    let mut writes = [0; P];
    for (row, write) in writes.iter_mut().enumerate() {
        *write = narrow(row * to);
    }
    let tile = Tile { even: true, reads: &[0], writes: &writes };
    let mut block = 0;
    while block < blocks {
        let count = if block + Q > blocks { 1 } else { Q };
        // SAFETY: blocks lie below the lengths of weights and bias, which were packed for as many.
        unsafe {
            let strip = Strip {
                depth,
                taps: 1,
                x_block: P * LANES,
                weights: product.weights.as_ptr().add(block * depth * LANES),
                weights_block: depth * LANES,
                bias: product.bias.as_ptr().add(block * LANES),
                y_block: LANES,
            };
            for index in 0..tiles {
                let (x, at) = (panels.as_ptr().add(index * panel), index * P * to + block * LANES);
                if count == Q {
                    strip.tile::<S, Q, P, LANES, 0>(&tile, x, y.as_mut_ptr(), at, epilogue);
                } else {
                    strip.tile::<S, 1, P, LANES, 0>(&tile, x, y.as_mut_ptr(), at, epilogue);
                }
            }
        }
        block += count;
    }
}

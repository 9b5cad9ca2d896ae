//! The gradient that goes back to an image: few output channels, written as NCHW.
//!
//! A vector of output channels would be nearly empty. So it holds the channels of several neighbouring pixels: a
//! convolution whose stride steps over them, under a kernel wide enough for all, whose lanes are copied out. Where the
//! forward convolution took large patches apart, as vision transformers do, several vectors hold the pixels of one.

use super::Span;
use super::simd::LANES;

/// Lanes of a patch, at most.
const LARGEST: usize = 4096;

/// A vector, or several, hold `[rows, columns, channels]` of a patch of pixels.
pub(super) struct Lanes {
    patch: [usize; 2],
    channels: usize,
    /// Outputs along each axis.
    size: [usize; 2],
}

impl Lanes {
    /// The patch of fewest products per pixel; None for a stride, or where no patch fits.
    pub(super) fn new(spans: [Span; 2], channels: usize) -> Option<Self> {
        if spans.iter().any(|span| span.stride != 1) {
            return None;
        }
        let size = spans.map(|span| span.output);
        let most = LANES / channels;
        let patches = (1..=most).flat_map(|rows| (1..=most / rows).map(move |columns| [rows, columns]));
        let fits = |patch: &[usize; 2]| patch.iter().zip(&spans).all(|(side, span)| side.is_multiple_of(span.spread));
        let cost = |patch: &[usize; 2]| {
            let lanes = Self { patch: *patch, channels, size };
            let [rows, columns] = lanes.spans(spans);
            rows.kernel * columns.kernel * rows.output * columns.output
        };
        // A patch of several vectors, where the forward convolution left no pixel out.
        let large = spans.map(|span| span.spread);
        let whole = spans.iter().all(|span| span.kernel >= span.spread);
        let few = large[0].saturating_mul(large[1]).saturating_mul(channels) <= LARGEST;
        let patch = patches.filter(fits).min_by_key(cost).or((whole && few).then_some(large))?;
        Some(Self { patch, channels, size })
    }

    /// Channels of the widened convolution.
    pub(super) fn count(&self) -> usize {
        self.patch[0] * self.patch[1] * self.channels
    }

    /// Floats of a sample.
    pub(super) fn sample(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// How patches are read: each tap of the widened kernel is a value that some pixel of the patch reads.
    pub(super) fn spans(&self, spans: [Span; 2]) -> [Span; 2] {
        [0, 1].map(|axis| {
            let (span, side) = (spans[axis], self.patch[axis]);
            let (low, high) = reach(&span, side);
            Span {
                kernel: (high - low + 1).cast_unsigned(),
                stride: side / span.spread,
                dilation: 1,
                spread: 1,
                before: -low,
                output: span.output.div_ceil(side),
            }
        })
    }

    /// The kernel `[patch x O, C, ...]` of the widened convolution.
    pub(super) fn kernel(&self, spans: [Span; 2], kernel: &[f32]) -> Vec<f32> {
        let [rows, columns] = self.spans(spans);
        let taps = spans[0].kernel * spans[1].kernel;
        let inputs = kernel.len() / taps / self.channels;
        let mut widened = vec![0.0; self.count() * inputs * rows.kernel * columns.kernel];
        let (down, along) = (reads(&spans[0], self.patch[0]), reads(&spans[1], self.patch[1]));
        for (i, t, y) in &down {
            for (j, u, x) in &along {
                // Pairs of an output and an input channel, in the order of both kernels.
                let pairs = self.channels * inputs;
                let pixel = (i * self.patch[1] + j) * pairs;
                for pair in 0..pairs {
                    let weight = kernel[(pair * spans[0].kernel + t) * spans[1].kernel + u];
                    widened[((pixel + pair) * rows.kernel + y) * columns.kernel + x] = weight;
                }
            }
        }
        widened
    }

    pub(super) fn bias(&self, bias: &[f32]) -> Vec<f32> {
        bias.repeat(self.patch[0] * self.patch[1])
    }

    /// Vectors of patches to NCHW.
    pub(super) fn scatter(&self, x: &[f32], y: &mut [f32]) {
        if self.count() > LANES {
            return self.scatter_large(x, y);
        }
        let ([height, width], [rows, columns]) = (self.size, self.patch);
        let (down, along) = (height.div_ceil(rows), width.div_ceil(columns));
        for (x, y) in x.chunks_exact(down * along * LANES).zip(y.chunks_exact_mut(self.sample())) {
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let (channel, row) = (row / height, row % height);
                let first = row % rows * columns * self.channels + channel;
                let x = &x[row / rows * along * LANES..][..along * LANES];
                match columns {
                    1 => pixels::<1>(x, first, self.channels, y),
                    2 => pixels::<2>(x, first, self.channels, y),
                    4 => pixels::<4>(x, first, self.channels, y),
                    _ => {
                        for (x, y) in x.chunks_exact(LANES).zip(y.chunks_mut(columns)) {
                            y.iter_mut().zip(x[first..].iter().step_by(self.channels)).for_each(|(y, x)| *y = *x);
                        }
                    }
                }
            }
        }
    }

    /// The same where a patch takes several vectors, `[blocks, rows, columns, 16]`.
    fn scatter_large(&self, x: &[f32], y: &mut [f32]) {
        let ([height, width], [rows, columns]) = (self.size, self.patch);
        let (down, along) = (height.div_ceil(rows), width.div_ceil(columns));
        let block = down * along * LANES;
        let samples = x.chunks_exact(block * self.count().div_ceil(LANES));
        for (x, y) in samples.zip(y.chunks_exact_mut(self.sample())) {
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let (channel, row) = (row / height, row % height);
                let lane = |column| (row % rows * columns + column) * self.channels + channel;
                let places: Vec<usize> = (0..columns).map(|j| lane(j) / LANES * block + lane(j) % LANES).collect();
                for (patch, y) in y.chunks_mut(columns).enumerate() {
                    let x = &x[(row / rows * along + patch) * LANES..];
                    y.iter_mut().zip(&places).for_each(|(y, place)| *y = x[*place]);
                }
            }
        }
    }
}

/// A row of an image from patches of so many columns, the first of which lies in the lane `first`.
fn pixels<const COLUMNS: usize>(x: &[f32], first: usize, channels: usize, y: &mut [f32]) {
    let (whole, rest) = y.as_chunks_mut::<COLUMNS>();
    let patches = x.as_chunks::<LANES>().0;
    for (x, y) in patches.iter().zip(whole.iter_mut()) {
        for (column, y) in y.iter_mut().enumerate() {
            *y = x[(first + column * channels) % LANES];
        }
    }
    for (column, y) in rest.iter_mut().enumerate() {
        *y = patches[whole.len()][first + column * channels];
    }
}

/// What the pixels of a patch read along an axis: pixel, tap, and the value it sees, counted from the lowest.
fn reads(span: &Span, side: usize) -> Vec<(usize, usize, usize)> {
    let (low, _) = reach(span, side);
    let all = seen(span, side);
    all.into_iter().map(|(pixel, tap, at)| (pixel, tap, (at - low).cast_unsigned())).collect()
}

/// The lowest and the highest value that a patch reads.
fn reach(span: &Span, side: usize) -> (isize, isize) {
    let all = seen(span, side);
    let low = all.iter().map(|read| read.2).min().unwrap_or(0);
    (low, all.iter().map(|read| read.2).max().unwrap_or(low))
}

fn seen(span: &Span, side: usize) -> Vec<(usize, usize, isize)> {
    let spread = span.spread.cast_signed();
    let place = |pixel: usize, tap: usize| (pixel + tap * span.dilation).cast_signed() - span.before;
    let all = (0..side).flat_map(|pixel| (0..span.kernel).map(move |tap| (pixel, tap)));
    let inside = all.filter(|(pixel, tap)| place(*pixel, *tap).rem_euclid(spread) == 0);
    inside.map(|(pixel, tap)| (pixel, tap, place(pixel, tap).div_euclid(spread))).collect()
}

//! Fast convolutions of float32 over two axes, with weights packed and geometry settled once.
//!
//! Activations lie in blocks of sixteen channels, `[N, ceil(C / 16), H, W, 16]`, so that a vector is one pixel of a block
//! on every instruction set. Images of few channels are read and written as they are.

use super::aligned::Aligned;
use super::dense::Dense;
use super::depthwise::Depthwise;
use super::epilogue::Epilogue;
use super::image::Lanes;
use super::layout::{Frame, from_blocked, to_blocked};
use super::problem::Problem;
use super::simd::Isa;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Layout {
    /// `[N, ceil(C / 16), H, W, 16]`. The lanes past `C` are zeros that went through the epilogue; they are not read.
    Blocked,
    /// `[N, C, H, W]`.
    Plain,
}

/// A convolution that is ready to run on any batch.
pub(in super::super) struct Blocked {
    pub(super) kernel: Kernel,
    pub(super) entry: Entry,
    pub(super) exit: Exit,
    /// Floats of a sample, as the caller has it and as the kernel reads or writes it.
    pub(super) x: [usize; 2],
    pub(super) y: [usize; 2],
}

pub(super) enum Kernel {
    Dense(Dense),
    Depthwise(Depthwise),
}

pub(super) enum Entry {
    Direct,
    /// From NCHW: channels and pixels.
    Convert(usize, usize),
    /// Rows of an image, this wide.
    Frame(Frame, usize),
}

pub(super) enum Exit {
    Direct,
    /// To NCHW: channels and pixels.
    Convert(usize, usize),
    Lanes(Lanes),
}

impl std::fmt::Debug for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocked").field("x", &self.x[0]).field("y", &self.y[0]).finish_non_exhaustive()
    }
}

impl Blocked {
    /// Packs the weights and settles the geometry, for samples that come and go in these layouts.
    ///
    /// None where these kernels do not serve: groups that are neither single channels nor whole blocks of them, weights
    /// that are not finite (taps outside the map are left out, not multiplied), and nothing to compute.
    #[must_use]
    pub(in super::super) fn new(problem: &Problem<'_>, from: Layout, to: Layout) -> Option<Self> {
        Self::on(Isa::best(), problem, from, to)
    }

    /// On an instruction set of this machine's, see [`Isa::all`].
    #[must_use]
    pub(in super::super) fn on(isa: Isa, problem: &Problem<'_>, from: Layout, to: Layout) -> Option<Self> {
        problem.prepare(isa, from, to)
    }

    /// Convolves a batch. Every element of `y` is written. Slices that begin at a cache line, as [`Aligned`] ones do, are
    /// faster: vectors of others lie across two.
    ///
    /// # Panics
    /// Where `x`, `y` and the epilogue's slices are not whole samples, or not as many as each other.
    pub(in super::super) fn run(&self, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>) {
        let batch = x.len() / self.x[0];
        assert!(x.len() == batch * self.x[0] && y.len() == batch * self.y[0], "whole samples");
        epilogue.check(y.len());
        if let (Entry::Direct, Exit::Direct) = (&self.entry, &self.exit) {
            return self.kernel.run(x, y, epilogue);
        }
        let chunk = self.kernel.chunk();
        let samples = chunk.min(batch);
        let mut read = Aligned::zeros(if let Entry::Direct = self.entry { 0 } else { samples * self.x[1] });
        let mut written = Aligned::zeros(if let Exit::Direct = self.exit { 0 } else { samples * self.y[1] });
        let chunks = x.chunks(chunk * self.x[0]).zip(y.chunks_mut(chunk * self.y[0]));
        for (index, (x, y)) in chunks.enumerate() {
            let samples = x.len() / self.x[0];
            let epilogue = epilogue.of(index * chunk * self.y[0], y.len());
            let x = self.entry.take(x, &mut read, samples * self.x[1]);
            if let Exit::Direct = self.exit {
                self.kernel.run(x, y, &epilogue);
                continue;
            }
            let written = &mut written[..samples * self.y[1]];
            self.kernel.run(x, written, &Epilogue::NONE);
            match &self.exit {
                Exit::Convert(channels, pixels) => from_blocked(written, *channels, *pixels, y),
                Exit::Lanes(lanes) => lanes.scatter(written, y),
                Exit::Direct => {}
            }
            epilogue.apply(y);
        }
    }
}

impl Kernel {
    /// Samples that are copied between layouts at a time.
    fn chunk(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.chunk(),
            Self::Depthwise(_) => 1,
        }
    }

    fn run(&self, x: &[f32], y: &mut [f32], epilogue: &Epilogue<'_>) {
        match self {
            Self::Dense(dense) => dense.run(x, y, epilogue),
            Self::Depthwise(depthwise) => depthwise.run(x, y, epilogue),
        }
    }
}

impl Entry {
    /// The samples as the kernel reads them. Zeros of a frame stay what they were.
    fn take<'a>(&self, x: &'a [f32], read: &'a mut [f32], length: usize) -> &'a [f32] {
        match self {
            Self::Direct => return x,
            Self::Convert(channels, pixels) => to_blocked(x, *channels, *pixels, &mut read[..length]),
            Self::Frame(frame, width) => frame.copy(x, *width, 1, &mut read[..length]),
        }
        &read[..length]
    }
}

//! From a convolution to its kernel: weights packed, geometry settled.

use super::blocked::{Blocked, Entry, Exit, Kernel, Layout};
use super::dense::{Dense, Part};
use super::depthwise::Depthwise;
use super::geometry::{Map, Tap};
use super::image::Lanes;
use super::layout::Frame;
use super::simd::{Isa, LANES};
use super::{Span, pack};

/// Channels up to which an image is read and written as it is.
pub(in super::super) const FEW: usize = 4;

/// What is convolved, with which weights.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Problem<'a> {
    /// Rows and columns; one axis alone is columns under [`Span::POINT`].
    pub(in super::super) spans: [Span; 2],
    pub(in super::super) groups: usize,
    /// Channels, rows and columns of a sample.
    pub(in super::super) input: [usize; 3],
    pub(in super::super) outputs: usize,
    /// `[outputs, channels / groups, rows, columns]`.
    pub(in super::super) kernel: &'a [f32],
    /// One for each output.
    pub(in super::super) bias: &'a [f32],
}

impl Problem<'_> {
    /// See [`Blocked::new`].
    pub(super) fn prepare(&self, isa: Isa, from: Layout, to: Layout) -> Option<Blocked> {
        let Problem { spans, groups, input: [inputs, ..], outputs, kernel, bias } = *self;
        self.is_sound().then_some(())?;
        if groups > 1 && groups == inputs && groups == outputs {
            return Some(self.depthwise(isa, from, to));
        }
        let blocks = (inputs / groups).is_multiple_of(LANES) && (outputs / groups).is_multiple_of(LANES);
        if groups > 1 && !blocks {
            return None;
        }
        let few = to == Layout::Plain && groups == 1 && outputs <= FEW;
        let Some(lanes) = few.then(|| Lanes::new(spans, outputs)).flatten() else {
            return self.dense(isa, from, to);
        };
        let (kernel, bias) = (lanes.kernel(spans, kernel), lanes.bias(bias));
        let (spans, outputs) = (lanes.spans(spans), lanes.count());
        let widened = Problem { spans, outputs, kernel: &kernel, bias: &bias, ..*self };
        let Some(blocked) = widened.dense(isa, from, Layout::Blocked) else { return self.dense(isa, from, to) };
        let y = [lanes.sample(), blocked.y[1]];
        Some(Blocked { y, exit: Exit::Lanes(lanes), ..blocked })
    }

    /// Whether there is something to compute, all lengths agree and all weights are finite.
    fn is_sound(&self) -> bool {
        let ([inputs, height, width], [rows, columns]) = (self.input, self.spans);
        let counts = [self.groups, inputs, self.outputs, height, width, rows.kernel, columns.kernel, rows.output];
        !counts.contains(&0)
            && columns.output > 0
            && inputs.is_multiple_of(self.groups)
            && self.outputs.is_multiple_of(self.groups)
            && self.kernel.len() == self.outputs * (inputs / self.groups) * rows.kernel * columns.kernel
            && self.bias.len() == self.outputs
            && self.kernel.iter().all(|weight| weight.is_finite())
    }

    fn size(&self) -> [usize; 2] {
        [self.input[1], self.input[2]]
    }

    fn depthwise(&self, isa: Isa, from: Layout, to: Layout) -> Blocked {
        let kernel = self.spans.map(|span| span.kernel);
        let depthwise = Depthwise {
            isa,
            phases: self.spans.map(|span| span.phases()),
            weights: pack::depthwise(self.kernel, kernel[0] * kernel[1]),
            bias: pack::bias(self.bias),
            kernel,
            from: self.size(),
            to: self.spans.map(|span| span.output),
        };
        self.between(Kernel::Depthwise(depthwise), from, to)
    }

    /// None where offsets do not fit.
    fn dense(&self, isa: Isa, from: Layout, to: Layout) -> Option<Blocked> {
        let ([rows, columns], [inputs, height, width]) = (self.spans, self.input);
        let direct = rows.spread == 1 && columns.spread == 1 && columns.dilation == 1 && columns.kernel <= LANES;
        if from == Layout::Plain && self.groups == 1 && inputs <= FEW && direct {
            return self.image(isa, to);
        }
        let pointwise = [(rows, height), (columns, width)]
            .iter()
            .all(|(span, length)| *span == Span { output: *length, ..Span::POINT });
        if pointwise && height > 1 {
            // Each pixel is for itself, so the map may be one row.
            let spans = [Span::POINT, Span { output: height * width, ..Span::POINT }];
            return Problem { spans, input: [inputs, 1, height * width], ..*self }.dense(isa, from, to);
        }
        let depth = inputs / self.groups;
        let all = rows.kernel * columns.kernel;
        let maps = [Map::blocked(self.size(), inputs), self.target()];
        let mut parts = Vec::new();
        let phases = self.spans.map(|span| span.phases());
        for (rows, along) in phases[0].iter().flat_map(|rows| phases[1].iter().map(move |along| (rows, along))) {
            let pairs = rows.taps.iter().flat_map(|row| along.taps.iter().map(move |column| (row, column)));
            let (places, taps): (Vec<usize>, Vec<Tap>) = pairs
                .map(|(row, column)| (row.0 * columns.kernel + column.0, Tap { plane: 0, at: [row.1, column.1] }))
                .unzip();
            let weight = |output, tap: usize, channel| self.kernel[(output * depth + channel) * all + places[tap]];
            let weights = pack::dense(self.outputs, depth, taps.len(), weight);
            parts.push(Part::new(isa, [rows, along], &taps, [&maps[0], &maps[1]], depth, weights)?);
        }
        Some(self.between(Kernel::Dense(self.assemble(isa, parts, depth, maps)), from, to))
    }

    /// An image of few channels, read as it is but for columns of zeros around it: a tap is a row of the kernel in one
    /// channel, and the kernel's columns, which lie beside each other, stand in for channels.
    fn image(&self, isa: Isa, to: Layout) -> Option<Blocked> {
        let ([inputs, height, width], columns) = (self.input, self.spans[1].kernel);
        let [down, along] = self.spans.map(|span| span.phases());
        let (down, along) = (&down[0], &along[0]);
        let frame = Frame::around(std::slice::from_ref(along), width);
        let plane = height * frame.width;
        let source = Map { size: [height, frame.width], unit: 1, block: 0, sample: inputs * plane };
        let tap = |channel: usize, at: isize| Tap { plane: channel * plane, at: [at, 0] };
        let taps = (0..inputs).flat_map(|channel| down.taps.iter().map(move |(_, at)| tap(channel, *at)));
        let taps: Vec<Tap> = taps.collect();
        let weight = |output, tap, column| self.kernel[(output * taps.len() + tap) * columns + column];
        let weights = pack::dense(self.outputs, columns, taps.len(), weight);
        let maps = [source, self.target()];
        let part = Part::new(isa, [down, along], &taps, [&maps[0], &maps[1]], columns, weights)?;
        let dense = self.assemble(isa, vec![part], columns, maps);
        let blocked = self.between(Kernel::Dense(dense), Layout::Blocked, to);
        Some(Blocked { entry: Entry::Frame(frame, width), x: [inputs * height * width, source.sample], ..blocked })
    }

    fn target(&self) -> Map {
        Map::blocked(self.spans.map(|span| span.output), self.outputs)
    }

    fn assemble(&self, isa: Isa, parts: Vec<Part>, depth: usize, [from, to]: [Map; 2]) -> Dense {
        let (groups, blocks) = (self.groups, (self.outputs / self.groups).div_ceil(LANES));
        Dense { isa, parts, groups, depth, blocks, bias: pack::bias(self.bias), from, to }
    }

    /// A kernel on blocks between the caller's layouts.
    fn between(&self, kernel: Kernel, from: Layout, to: Layout) -> Blocked {
        let (read, written) = (self.input[1] * self.input[2], self.spans[0].output * self.spans[1].output);
        let sample = |channels: usize, pixels: usize, layout| {
            let blocked = channels.next_multiple_of(LANES) * pixels;
            [if layout == Layout::Plain { channels * pixels } else { blocked }, blocked]
        };
        let entry = if from == Layout::Plain { Entry::Convert(self.input[0], read) } else { Entry::Direct };
        let exit = if to == Layout::Plain { Exit::Convert(self.outputs, written) } else { Exit::Direct };
        let (x, y) = (sample(self.input[0], read, from), sample(self.outputs, written, to));
        Blocked { kernel, entry, exit, x, y }
    }
}

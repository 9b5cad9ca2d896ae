//! Random geometries against the definition, on every instruction set that is there.

#![allow(clippy::cast_precision_loss, clippy::float_cmp, clippy::many_single_char_names)]

use super::Span;
use super::blocked::{Blocked, Layout};
use super::epilogue::{Activation, Epilogue};
use super::layout::{from_blocked, to_blocked};
use super::problem::Problem;
use super::product::{Matrix, Product};
use super::simd::Isa;

/// A small generator of numbers, whose quality does not matter.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn pick(&mut self, low: usize, high: usize) -> usize {
        low + usize::try_from(self.next()).unwrap() % (high - low + 1)
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

#[derive(Clone, Debug)]
struct Case {
    spans: [Span; 2],
    groups: usize,
    batch: usize,
    input: [usize; 3],
    outputs: usize,
    kernel: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    fn draw(rng: &mut Rng) -> Self {
        let kind = rng.pick(0, 3);
        let (groups, inputs, outputs) = match kind {
            0 => {
                let channels = rng.pick(2, 40);
                (channels, channels, channels)
            }
            1 => {
                let groups = rng.pick(2, 3);
                (groups, groups * 16 * rng.pick(1, 2), groups * 16 * rng.pick(1, 3))
            }
            2 => (1, rng.pick(1, 4), rng.pick(1, 40)),
            _ => (1, rng.pick(1, 40), rng.pick(1, 40)),
        };
        let outputs = if kind > 1 && rng.pick(0, 3) == 0 { rng.pick(1, 4) } else { outputs };
        let largest = if rng.pick(0, 7) == 0 { 64 } else { 20 };
        let input = [inputs, rng.pick(1, 20), rng.pick(1, largest)];
        let plain = rng.pick(0, 1) == 0;
        let spans = [input[1], input[2]].map(|length| {
            let (kernel, stride) = (rng.pick(1, if plain { 5 } else { 7 }), rng.pick(1, if plain { 2 } else { 3 }));
            let dilation = if plain { 1 } else { rng.pick(1, 3) };
            let spread = if stride == 1 { rng.pick(1, 3) } else { 1 };
            let before = rng.pick(0, kernel + 1).cast_signed() - 1;
            let room = (length - 1) * spread + 1 + rng.pick(0, 4);
            Span { kernel, stride, dilation, spread, before, output: room.div_ceil(stride) }
        });
        let kernel = rng.values(outputs * inputs / groups * spans[0].kernel * spans[1].kernel);
        let bias = rng.values(outputs);
        Self { spans, groups, batch: rng.pick(1, 4), input, outputs, kernel, bias }
    }

    /// One for which the definition does not take long.
    fn draw_small(rng: &mut Rng) -> Self {
        let cost =
            |case: &Self| case.batch * case.output().iter().product::<usize>() * case.kernel.len() / case.outputs;
        std::iter::repeat_with(|| Self::draw(rng)).find(|case| cost(case) < 1 << 18).unwrap()
    }

    fn x(&self, rng: &mut Rng) -> Vec<f32> {
        rng.values(self.batch * self.input.iter().product::<usize>())
    }

    fn output(&self) -> [usize; 3] {
        [self.outputs, self.spans[0].output, self.spans[1].output]
    }

    /// The convolution on NCHW values, in the layouts given.
    fn run(&self, isa: Isa, x: &[f32], from: Layout, to: Layout, epilogue: &Epilogue<'_>) -> Vec<f32> {
        let Self { spans, groups, input, outputs, kernel, bias, .. } = self;
        let problem = Problem { spans: *spans, groups: *groups, input: *input, outputs: *outputs, kernel, bias };
        let blocked = Blocked::on(isa, &problem, from, to).unwrap();
        let x = if from == Layout::Blocked { block(x, *input) } else { x.to_vec() };
        let batch = x.len() / length(*input, from);
        let mut y = vec![f32::NAN; batch * length(self.output(), to)];
        blocked.run(&x, &mut y, epilogue);
        y
    }

    /// The definition, and the sum of the magnitudes of what was added.
    fn naive(&self, x: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let ([rows, columns], [inputs, height, width]) = (self.spans, self.input);
        let depth = inputs / self.groups;
        let (mut sums, mut magnitudes) = (Vec::new(), Vec::new());
        for sample in x.chunks_exact(inputs * height * width) {
            for (o, i, j) in places(self.output()) {
                let (mut sum, mut magnitude) = (f64::from(self.bias[o]), f64::from(self.bias[o].abs()));
                for (c, t, u) in places([depth, rows.kernel, columns.kernel]) {
                    let channel = o / (self.outputs / self.groups) * depth + c;
                    if let (Some(p), Some(q)) = (read(&rows, i, t, height), read(&columns, j, u, width)) {
                        let weight = self.kernel[((o * depth + c) * rows.kernel + t) * columns.kernel + u];
                        let term = f64::from(weight) * f64::from(sample[(channel * height + p) * width + q]);
                        sum += term;
                        magnitude += term.abs();
                    }
                }
                sums.push(sum);
                magnitudes.push(magnitude);
            }
        }
        (sums, magnitudes)
    }

    /// The convolution that takes cotangents back, without a bias.
    fn adjoint(&self) -> Self {
        let [inputs, height, width] = self.input;
        let (depth, taps) = (inputs / self.groups, self.spans[0].kernel * self.spans[1].kernel);
        let outputs = self.outputs / self.groups;
        let mut kernel = Vec::new();
        for (c, o, t) in places([inputs, outputs, taps]) {
            let output = c / depth * outputs + o;
            kernel.push(self.kernel[(output * depth + c % depth) * taps + taps - 1 - t]);
        }
        let spans = [self.spans[0].adjoint(height), self.spans[1].adjoint(width)];
        let bias = vec![0.0; inputs];
        Self { spans, input: self.output(), outputs: inputs, kernel, bias, ..*self }
    }
}

fn places([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

fn read(span: &Span, output: usize, tap: usize, length: usize) -> Option<usize> {
    let (at, spread) =
        ((output * span.stride + tap * span.dilation).cast_signed() - span.before, span.spread.cast_signed());
    let place = (at.rem_euclid(spread) == 0).then(|| at.div_euclid(spread))?;
    usize::try_from(place).ok().filter(|place| *place < length)
}

fn length([channels, height, width]: [usize; 3], layout: Layout) -> usize {
    let channels = if layout == Layout::Blocked { channels.next_multiple_of(16) } else { channels };
    channels * height * width
}

fn block(x: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let samples = x.len() / (channels * height * width);
    let mut y = vec![f32::NAN; samples * length([channels, height, width], Layout::Blocked)];
    to_blocked(x, channels, height * width, &mut y);
    y
}

fn unblock(x: &[f32], size: [usize; 3]) -> Vec<f32> {
    let [channels, height, width] = size;
    let mut y = vec![f32::NAN; x.len() / length(size, Layout::Blocked) * length(size, Layout::Plain)];
    from_blocked(x, channels, height * width, &mut y);
    y
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[track_caller]
fn close(y: &[f32], (sums, magnitudes): &(Vec<f64>, Vec<f64>), what: &dyn std::fmt::Debug) {
    assert_eq!(y.len(), sums.len());
    for (i, y) in y.iter().enumerate() {
        let apart = (f64::from(*y) - sums[i]).abs();
        assert!(apart <= 1e-5 * magnitudes[i].max(1e-3), "{i}: {y} for {} in {what:?}", sums[i]);
    }
}

const LAYOUTS: [Layout; 2] = [Layout::Blocked, Layout::Plain];

#[test]
fn random_geometries_agree_with_the_definition_on_every_instruction_set() {
    for seed in 0..400 {
        let mut rng = Rng(seed);
        let case = Case::draw_small(&mut rng);
        let x = case.x(&mut rng);
        let expected = case.naive(&x);
        for (from, to) in LAYOUTS.into_iter().flat_map(|from| LAYOUTS.map(|to| (from, to))) {
            let mut all = Vec::new();
            for isa in Isa::all() {
                let y = case.run(isa, &x, from, to, &Epilogue::NONE);
                let plain = if to == Layout::Blocked { unblock(&y, case.output()) } else { y.clone() };
                let what = (isa, from, to, case.spans, case.groups, case.input, case.outputs, case.batch, seed);
                close(&plain, &expected, &what);
                if isa != Isa::Portable {
                    all.push(bits(&y));
                }
            }
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "bits of {seed}");
        }
    }
}

#[test]
fn cotangents_go_back_by_the_adjoint() {
    for seed in 0..200 {
        let mut rng = Rng(seed ^ 0xad70);
        let mut case = Case::draw_small(&mut rng);
        case.bias.fill(0.0);
        let back = case.adjoint();
        let (x, g) = (case.x(&mut rng), back.x(&mut rng));
        let from = LAYOUTS[rng.pick(0, 1)];
        for isa in Isa::all() {
            let y = case.run(isa, &x, from, Layout::Plain, &Epilogue::NONE);
            let z = back.run(isa, &g, Layout::Blocked, Layout::Plain, &Epilogue::NONE);
            let dot = |a: &[f32], b: &[f32]| -> (f64, f64) {
                let terms = || a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                (terms().sum(), terms().map(f64::abs).sum())
            };
            let ((a, most), (b, _)) = (dot(&g, &y), dot(&z, &x));
            assert!((a - b).abs() <= 1e-5 * most.max(1.0), "{a} {b} {isa:?} {seed}");
            close(&z, &back.naive(&g), &(isa, seed, back.spans, back.groups, back.input, back.outputs));
        }
    }
}

#[test]
fn a_sample_has_the_same_bits_at_any_place_of_any_batch() {
    for seed in 0..200 {
        let mut rng = Rng(seed ^ 0xba7c);
        let mut case = Case::draw(&mut rng);
        case.batch = rng.pick(2, 40 / case.input[1]).max(2);
        let x = case.x(&mut rng);
        let (from, to) = (LAYOUTS[rng.pick(0, 1)], LAYOUTS[rng.pick(0, 1)]);
        let (read, written) = (length(case.input, Layout::Plain), length(case.output(), to));
        for isa in Isa::all() {
            let whole = case.run(isa, &x, from, to, &Epilogue::NONE);
            for (x, y) in x.chunks_exact(read).zip(whole.chunks_exact(written)) {
                let alone = case.run(isa, x, from, to, &Epilogue::NONE);
                assert!(bits(&alone) == bits(y), "{isa:?} {seed}");
            }
        }
    }
}

#[test]
fn epilogues_add_then_clamp_then_mask() {
    for seed in 0..200 {
        let mut rng = Rng(seed ^ 0xe911);
        let case = Case::draw_small(&mut rng);
        let x = case.x(&mut rng);
        let to = LAYOUTS[rng.pick(0, 1)];
        for isa in Isa::all() {
            let bare = case.run(isa, &x, Layout::Plain, to, &Epilogue::NONE);
            let (add, mask) = (rng.values(bare.len()), rng.values(bare.len()));
            let epilogue = Epilogue {
                add: (rng.pick(0, 1) == 0).then_some(&add),
                activation: [None, Some(Activation::Clamp(0.0, 1.5)), Some(Activation::HardSwish)][rng.pick(0, 2)],
                mask: (rng.pick(0, 1) == 0).then_some((&mask, -0.5, 0.5)),
            };
            let y = case.run(isa, &x, Layout::Plain, to, &epilogue);
            for (i, y) in y.iter().enumerate() {
                let sum = bare[i] + epilogue.add.map_or(0.0, |add| add[i]);
                let value = match epilogue.activation {
                    Some(Activation::Clamp(low, high)) => sum.clamp(low, high),
                    Some(Activation::HardSwish) => sum * (sum / 6.0 + 0.5).clamp(0.0, 1.0),
                    None => sum,
                };
                let kept = epilogue.mask.is_none_or(|(mask, low, high)| low < mask[i] && mask[i] < high);
                // Zeros may differ in their sign, and the gate of a swish in its last bits.
                let expected = if kept { value } else { 0.0 };
                let swish = epilogue.activation == Some(Activation::HardSwish);
                let most = if swish { 2e-7 * sum.abs() } else { 0.0 };
                assert!((y - expected).abs() <= most, "{y} for {expected} on {isa:?}, {seed}");
            }
        }
    }
}

#[test]
fn products_agree_with_the_definition_whatever_their_layout() {
    for seed in 0..300 {
        let mut rng = Rng(seed ^ 0x9a7d);
        let (rows, depth, outputs) = (rng.pick(1, 40), rng.pick(1, 70), rng.pick(1, 70));
        let (x, weights, bias) = (rng.values(rows * depth), rng.values(depth * outputs), rng.values(outputs));
        let mut expected = (Vec::new(), Vec::new());
        for (i, n) in (0..rows).flat_map(|i| (0..outputs).map(move |n| (i, n))) {
            let terms = (0..depth).map(|k| f64::from(x[i * depth + k]) * f64::from(weights[k * outputs + n]));
            expected.0.push(terms.clone().sum::<f64>() + f64::from(bias[n]));
            expected.1.push(terms.map(f64::abs).sum::<f64>() + f64::from(bias[n].abs()));
        }
        let turned = |values: &[f32], columns: usize| -> Vec<f32> {
            (0..values.len())
                .map(|i| values[i % (values.len() / columns) * columns + i / (values.len() / columns)])
                .collect()
        };
        let (add, to) = (rng.values(rows * outputs), outputs + rng.pick(0, 20));
        for isa in Isa::all() {
            let mut product = Product::on(isa, depth, &bias, |k, n| weights[k * outputs + n]).unwrap();
            let mut y = vec![f32::NAN; rows * outputs];
            product.run(&x, &mut y, &Epilogue::NONE);
            close(&y, &expected, &(isa, rows, depth, outputs, seed));
            for (i, y) in y.chunks_exact(outputs).enumerate() {
                let mut alone = vec![f32::NAN; outputs];
                product.run(&x[i * depth..][..depth], &mut alone, &Epilogue::NONE);
                assert!(bits(&alone) == bits(y), "row {i} of {rows}, {isa:?}, {seed}");
            }
            for activation in [Activation::Clamp(0.0, 1.5), Activation::HardSwish] {
                let epilogue = Epilogue { activation: Some(activation), ..Epilogue::NONE };
                let mut all = vec![f32::NAN; rows * outputs];
                product.run(&x, &mut all, &epilogue);
                for (x, y) in x.chunks_exact(depth).zip(all.chunks_exact(outputs)) {
                    let mut alone = vec![f32::NAN; outputs];
                    product.run(x, &mut alone, &epilogue);
                    assert!(bits(&alone) == bits(y), "{activation:?}, {isa:?}, {seed}");
                }
            }
            let mut added = vec![f32::NAN; rows * outputs];
            product.run(&x, &mut added, &Epilogue { add: Some(&add), ..Epilogue::NONE });
            assert!(added.iter().zip(y.iter().zip(&add)).all(|(sum, (y, add))| *sum == y + add), "{isa:?} {seed}");
            // The same matrices, both turned, into rows with gaps.
            let (x, weights) = (turned(&x, depth), turned(&weights, outputs));
            let mut gaps = vec![7.0; (rows - 1) * to + outputs];
            product.pack(Matrix { values: &weights, count: outputs, steps: [depth, 1] }, 1.0);
            product.multiply(Matrix { values: &x, count: rows, steps: [1, rows] }, &mut gaps, to, &Epilogue::NONE);
            for (i, row) in gaps.chunks(to).enumerate() {
                assert!(bits(&row[..outputs]) == bits(&y[i * outputs..][..outputs]), "{isa:?} {seed}");
                assert!(row[outputs..].iter().all(|gap| *gap == 7.0), "{isa:?} {seed}");
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    let mut case = Case::draw(&mut Rng(11));
    case.batch = 1;
    let mut x = vec![0.0; length(case.input, Layout::Plain)];
    x.fill(f32::NAN);
    for isa in Isa::all() {
        let epilogue = Epilogue { activation: Some(Activation::Clamp(0.0, 6.0)), ..Epilogue::NONE };
        let y = case.run(isa, &x, Layout::Plain, Layout::Plain, &epilogue);
        assert!(y.iter().any(|y| y.is_nan()));
    }
}

#[test]
fn what_the_kernels_do_not_serve_is_refused() {
    let new = |groups, inputs: usize, outputs: usize, weight: f32| {
        let (kernel, bias) = (&*vec![weight; outputs * inputs / groups], &*vec![0.0; outputs]);
        let problem = Problem { spans: [Span::POINT; 2], groups, input: [inputs, 1, 1], outputs, kernel, bias };
        Blocked::new(&problem, Layout::Plain, Layout::Plain).is_some()
    };
    assert!(new(1, 5, 7, 1.0) && new(4, 4, 4, 1.0) && new(2, 32, 64, 1.0));
    assert!(!new(2, 6, 6, 1.0) && !new(4, 4, 8, 1.0) && !new(1, 5, 7, f32::INFINITY) && !new(1, 0, 7, 1.0));
}

#[test]
fn layouts_go_there_and_back() {
    for (channels, pixels) in [(1, 1), (3, 5), (16, 16), (17, 33), (40, 7), (64, 49)] {
        let x = Rng(5).values(2 * channels * pixels);
        let y = block(&x, [channels, 1, pixels]);
        for (i, y) in y.iter().enumerate() {
            let (lane, pixel, block) = (i % 16, i / 16 % pixels, i / 16 / pixels);
            let (sample, channel) = (block / channels.div_ceil(16), block % channels.div_ceil(16) * 16 + lane);
            let value = if channel < channels { x[(sample * channels + channel) * pixels + pixel] } else { 0.0 };
            assert_eq!(*y, value);
        }
        assert_eq!(unblock(&y, [channels, 1, pixels]), x);
    }
}

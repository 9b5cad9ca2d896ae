//! Convolution over one to three axes, one operator for the forward pass, its gradient and transposed convolution.
//!
//! As in XLA's ConvGeneralDilated, the input may be spread (zeros between its values), so the gradient of a strided
//! convolution in its input is again a [`Conv`]: of the cotangent, spread by the stride, under the turned kernel
//! ([`Span::adjoint`], [`adjoint_kernel`]). Zeros are never multiplied: outputs fall into phases that see the same taps.
//!
//! This one is plain: a matrix product of the kernel with the windows of each sample, and loops where a group is one
//! channel. Each output is summed in one order whatever the batch and its place, so equal windows give equal bits.
//! Faster kernels belong behind the same operator.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ndarray::linalg::general_mat_mul;
use tract_onnx::tract_core::ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar};

use super::{Kernel, Real, concrete, slice};

/// How one axis is read: output `o` is the sum over taps `t` of `kernel[t]` times the spread input at
/// `o * stride + t * dilation - before`, where the spread input holds the values `spread` apart and zeros elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Span {
    pub(in super::super) kernel: usize,
    pub(in super::super) stride: usize,
    pub(in super::super) dilation: usize,
    pub(in super::super) spread: usize,
    /// May be negative: values that no output reads.
    pub(in super::super) before: isize,
    /// Outputs.
    pub(in super::super) output: usize,
}

impl Span {
    /// An axis that is not there.
    const POINT: Self = Self { kernel: 1, stride: 1, dilation: 1, spread: 1, before: 0, output: 1 };

    /// Distance of the last tap from the first.
    fn reach(&self) -> isize {
        ((self.kernel - 1) * self.dilation).cast_signed()
    }

    /// The axis along which a cotangent goes back to an input of this length, under the turned kernel.
    pub(in super::super) fn adjoint(&self, input: usize) -> Self {
        let before = self.reach() - self.before;
        Self { stride: self.spread, spread: self.stride, before, output: input, ..*self }
    }

    /// Outputs that see the same taps.
    fn phases(&self) -> Vec<Phase> {
        let (stride, spread) = (self.stride.cast_signed(), self.spread.cast_signed());
        let every = self.spread / gcd(self.spread, self.stride);
        let phase = |first: usize| {
            let tap = |t: usize| {
                let at = first.cast_signed() * stride + (t * self.dilation).cast_signed() - self.before;
                (at.rem_euclid(spread) == 0).then_some((t, at.div_euclid(spread)))
            };
            let taps = (0..self.kernel).filter_map(tap).collect();
            let count = self.output.saturating_sub(first).div_ceil(every);
            Phase { first, every, count, step: every * self.stride / self.spread, taps }
        };
        (0..every).map(phase).filter(|p| p.count > 0).collect()
    }
}

/// The outputs `first + j * every`, which read the input at `at + j * step` for each tap.
struct Phase {
    first: usize,
    every: usize,
    count: usize,
    step: usize,
    /// Tap of the kernel, and where its first output reads.
    taps: Vec<(usize, isize)>,
}

impl Phase {
    /// Where the tap at `at` is inside an input of this length: outputs `j` of the phase.
    fn inside(&self, at: isize, length: usize) -> std::ops::Range<usize> {
        let step = self.step.cast_signed();
        let low = if at >= 0 { 0 } else { (-at).cast_unsigned().div_ceil(self.step) };
        let room = length.cast_signed() - at;
        let high = if room <= 0 { 0 } else { ((room + step - 1) / step).cast_unsigned() };
        low.min(self.count)..high.clamp(low.min(self.count), self.count)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Inputs: `[N, C, ...]`, kernel `[O, C / groups, ...]`, bias `[O]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Conv {
    pub(in super::super) spans: TVec<Span>,
    pub(in super::super) groups: usize,
}

/// The kernel under which cotangents go back: `[O, C / groups, ...]` becomes `[C, O / groups, ...]` with the taps in
/// reverse.
pub(in super::super) fn adjoint_kernel(kernel: &Tensor, groups: usize) -> TractResult<Tensor> {
    fn of<T: Real>(kernel: &Tensor, groups: usize) -> TractResult<Tensor> {
        let shape = kernel.shape();
        let (outputs, inputs, taps) = (shape[0] / groups, shape[1], shape[2..].iter().product());
        let view = kernel.to_plain_array_view::<T>()?.into_shape_with_order([groups, outputs, inputs, taps])?;
        let turned = view.permuted_axes([0, 2, 1, 3]);
        let mut turned = turned.to_owned();
        turned.invert_axis(tract_ndarray::Axis(3));
        let turned: Vec<T> = turned.iter().copied().collect();
        let shape = [&[inputs * groups, outputs], &shape[2..]].concat();
        Tensor::from_shape(&shape, &turned)
    }
    if kernel.datum_type() == f64::datum_type() { of::<f64>(kernel, groups) } else { of::<f32>(kernel, groups) }
}

/// Values of a block of windows, at most: 512 KiB of float32.
const WINDOWS: usize = 1 << 17;

impl Kernel for Conv {
    const NAME: &'static str = "Convolution";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, kernel, bias] = inputs else { bail!("three inputs were expected") };
        let (xs, ks) = (concrete(x)?, concrete(kernel)?);
        let rank = self.spans.len();
        ensure!(xs.len() == rank + 2 && ks.len() == rank + 2 && (1..=3).contains(&rank), "{xs:?} under {ks:?}");
        ensure!(xs[1] == ks[1] * self.groups && ks[0] % self.groups == 0, "{} groups, {xs:?}, {ks:?}", self.groups);
        ensure!(self.spans.iter().zip(&ks[2..]).all(|(s, k)| s.kernel == *k), "{:?} for {ks:?}", self.spans);
        ensure!(bias.shape.volume() == ks[0].to_dim(), "a bias of {:?} for {ks:?}", bias.shape);
        let shape: TVec<usize> = [xs[0], ks[0]].into_iter().chain(self.spans.iter().map(|s| s.output)).collect();
        Ok(tvec![x.datum_type.fact(&*shape)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (x, kernel, bias) = args_3!(inputs);
        if T::datum_type() == f64::datum_type() {
            Ok(tvec![self.convolve::<f64>(&x, &kernel, &bias)?])
        } else {
            Ok(tvec![self.convolve::<f32>(&x, &kernel, &bias)?])
        }
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TDim> {
        let outputs: usize = self.spans.iter().map(|s| s.output).product();
        let spread: usize = self.spans.iter().map(|s| s.spread).product();
        Ok(inputs[0].shape[0].clone() * inputs[1].shape.volume() * outputs / spread)
    }
}

impl Conv {
    fn convolve<T: Real + LinalgScalar + std::ops::AddAssign>(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
    ) -> TractResult<Tensor> {
        let plan = Plan::new(self, x.shape(), kernel.shape());
        let (xs, ks, bs) = (slice::<T>(x)?, slice::<T>(kernel)?, slice::<T>(bias)?);
        let shape = [&[x.shape()[0], kernel.shape()[0]][..], &self.spans.iter().map(|s| s.output).collect::<Vec<_>>()];
        let mut y = Tensor::zero_dt(T::datum_type(), &shape.concat())?;
        let mut plain = y.try_as_plain_ram_mut()?;
        let ys = plain.as_slice_mut::<T>()?;
        if ys.is_empty() {
            return Ok(y);
        }
        for (i, plane) in ys.chunks_exact_mut(plan.plane_out).enumerate() {
            plane.fill(bs[i % bs.len()]);
        }
        let (in_group, out_group) = (plan.inputs * plan.plane_in, plan.outputs * plan.plane_out);
        let mut work = Work::default();
        for (i, (x, y)) in xs.chunks_exact(in_group).zip(ys.chunks_exact_mut(out_group)).enumerate() {
            let weights = plan.outputs * plan.inputs * plan.taps;
            let kernel = &ks[i % self.groups * weights..][..weights];
            for phases in &plan.phases {
                if plan.inputs == 1 && plan.outputs <= 2 {
                    plan.by_loops(phases, x, kernel, y);
                } else {
                    plan.by_product(phases, x, kernel, y, &mut work)?;
                }
            }
        }
        Ok(y)
    }
}

/// The geometry of one run, axes filled up to three.
struct Plan {
    /// Channels of a group.
    inputs: usize,
    outputs: usize,
    size_in: [usize; 3],
    size_out: [usize; 3],
    kernel: [usize; 3],
    plane_in: usize,
    plane_out: usize,
    taps: usize,
    /// Combinations of the axes' phases.
    phases: Vec<[std::rc::Rc<Phase>; 3]>,
}

/// Buffers that are used again.
#[derive(Default)]
struct Work<T> {
    windows: Vec<T>,
    kernel: Vec<T>,
    product: Vec<T>,
}

impl Plan {
    fn new(conv: &Conv, x: &[usize], kernel: &[usize]) -> Self {
        let missing = 3 - conv.spans.len();
        let mut spans = [Span::POINT; 3];
        spans[missing..].copy_from_slice(&conv.spans);
        let mut size_in = [1; 3];
        size_in[missing..].copy_from_slice(&x[2..]);
        let size_out = spans.map(|s| s.output);
        let [a, b, c] = spans.map(|s| s.phases().into_iter().map(std::rc::Rc::new).collect::<Vec<_>>());
        let mut phases = Vec::new();
        for a in &a {
            for b in &b {
                phases.extend(c.iter().map(|c| [a.clone(), b.clone(), c.clone()]));
            }
        }
        let kernel_size = spans.map(|s| s.kernel);
        Self {
            inputs: kernel[1],
            outputs: kernel[0] / conv.groups,
            size_in,
            size_out,
            kernel: kernel_size,
            plane_in: size_in.iter().product(),
            plane_out: size_out.iter().product(),
            taps: kernel_size.iter().product(),
            phases,
        }
    }

    /// Taps of the phases: place in the kernel, and where each axis reads.
    fn taps(&self, [a, b, c]: &[std::rc::Rc<Phase>; 3]) -> Vec<(usize, [isize; 3])> {
        let mut taps = Vec::new();
        for (i, at_a) in &a.taps {
            for (j, at_b) in &b.taps {
                taps.extend(
                    c.taps
                        .iter()
                        .map(|(k, at_c)| ((i * self.kernel[1] + j) * self.kernel[2] + k, [*at_a, *at_b, *at_c])),
                );
            }
        }
        taps
    }

    /// One input channel to each output channel of the group: a tap at a time, along whole rows.
    fn by_loops<T: Real + std::ops::AddAssign>(
        &self,
        phases: &[std::rc::Rc<Phase>; 3],
        x: &[T],
        kernel: &[T],
        y: &mut [T],
    ) {
        let [a, b, c] = phases;
        let [_, high, wide] = self.size_in;
        for (output, plane) in y.chunks_exact_mut(self.plane_out).enumerate() {
            for (tap, at) in self.taps(phases) {
                let weight = kernel[output * self.taps + tap];
                let columns = c.inside(at[2], wide);
                if columns.is_empty() {
                    continue;
                }
                let left = (at[2] + (columns.start * c.step).cast_signed()).cast_unsigned();
                for i in a.inside(at[0], self.size_in[0]) {
                    for j in b.inside(at[1], high) {
                        let read = [at[0] + (i * a.step).cast_signed(), at[1] + (j * b.step).cast_signed()];
                        let row = (read[0].cast_unsigned() * high + read[1].cast_unsigned()) * wide + left;
                        let to = (a.first + i * a.every) * self.size_out[1] + b.first + j * b.every;
                        let to = to * self.size_out[2] + c.first + columns.start * c.every;
                        accumulate(&mut plane[to..], c.every, &x[row..], c.step, columns.len(), weight);
                    }
                }
            }
        }
    }

    /// The kernel, as a matrix, times the windows, as another.
    fn by_product<T: Real + LinalgScalar>(
        &self,
        phases: &[std::rc::Rc<Phase>; 3],
        x: &[T],
        kernel: &[T],
        y: &mut [T],
        work: &mut Work<T>,
    ) -> TractResult<()> {
        let [a, b, c] = phases;
        let taps = self.taps(phases);
        let depth = self.inputs * taps.len();
        if depth == 0 {
            return Ok(());
        }
        let whole = taps.len() == self.taps;
        if !whole {
            let channels = kernel.chunks_exact(self.taps);
            work.kernel.clear();
            work.kernel.extend(channels.flat_map(|channel| taps.iter().map(|(tap, _)| channel[*tap])));
        }
        let weights = ArrayView2::from_shape((self.outputs, depth), if whole { kernel } else { &work.kernel[..] })?;
        let direct = self.phases.len() == 1;
        // A pointwise convolution's windows are its input.
        if direct
            && self.taps == 1
            && c.step == 1
            && b.step == 1
            && a.step == 1
            && self.size_in == self.size_out
            && taps[0].1 == [0; 3]
        {
            let windows = ArrayView2::from_shape((depth, self.plane_in), x)?;
            let mut y = ArrayViewMut2::from_shape((self.outputs, self.plane_out), y)?;
            general_mat_mul(T::one(), &weights, &windows, T::one(), &mut y);
            return Ok(());
        }
        let lines = a.count * b.count;
        let block = (WINDOWS / (depth * c.count)).max(256usize.div_ceil(c.count)).clamp(1, lines);
        for start in (0..lines).step_by(block) {
            let block = start..(start + block).min(lines);
            let width = block.len() * c.count;
            self.windows(phases, &taps, x, block.clone(), &mut work.windows);
            let windows = ArrayView2::from_shape((depth, width), &work.windows[..])?;
            if direct {
                let mut y = ArrayViewMut2::from_shape((self.outputs, self.plane_out), &mut *y)?;
                let columns = tract_ndarray::Slice::from(start * c.count..start * c.count + width);
                let mut y = y.slice_axis_mut(tract_ndarray::Axis(1), columns);
                general_mat_mul(T::one(), &weights, &windows, T::one(), &mut y);
                continue;
            }
            work.product.clear();
            work.product.resize(self.outputs * width, T::zero());
            let mut product = ArrayViewMut2::from_shape((self.outputs, width), &mut work.product[..])?;
            general_mat_mul(T::one(), &weights, &windows, T::zero(), &mut product);
            for (plane, product) in y.chunks_exact_mut(self.plane_out).zip(work.product.chunks_exact(width)) {
                for (line, product) in block.clone().zip(product.chunks_exact(c.count)) {
                    let to =
                        (a.first + line / b.count * a.every) * self.size_out[1] + b.first + line % b.count * b.every;
                    let to = plane[to * self.size_out[2] + c.first..].iter_mut().step_by(c.every);
                    to.zip(product).for_each(|(y, p)| *y = *y + *p);
                }
            }
        }
        Ok(())
    }

    /// The windows of a block of lines, `[channels x taps, lines x columns]`, zero beyond the input.
    fn windows<T: Real>(
        &self,
        [a, b, c]: &[std::rc::Rc<Phase>; 3],
        taps: &[(usize, [isize; 3])],
        x: &[T],
        lines: std::ops::Range<usize>,
        into: &mut Vec<T>,
    ) {
        let width = lines.len() * c.count;
        into.clear();
        into.resize(self.inputs * taps.len() * width, T::zero());
        let [deep, high, wide] = self.size_in;
        let rows = into.chunks_exact_mut(width);
        let sources = x.chunks_exact(self.plane_in).flat_map(|plane| taps.iter().map(move |(_, at)| (plane, at)));
        for (row, (plane, at)) in rows.zip(sources) {
            let columns = c.inside(at[2], wide);
            if columns.is_empty() {
                continue;
            }
            let left = (at[2] + (columns.start * c.step).cast_signed()).cast_unsigned();
            for (line, to) in lines.clone().zip(row.chunks_exact_mut(c.count)) {
                let (i, j) = (line / b.count, line % b.count);
                let read = [at[0] + (i * a.step).cast_signed(), at[1] + (j * b.step).cast_signed()];
                let inside = (0..deep.cast_signed()).contains(&read[0]) && (0..high.cast_signed()).contains(&read[1]);
                if !inside {
                    continue;
                }
                let from = (read[0].cast_unsigned() * high + read[1].cast_unsigned()) * wide + left;
                let to = &mut to[columns.clone()];
                if c.step == 1 {
                    to.copy_from_slice(&plane[from..from + to.len()]);
                } else {
                    to.iter_mut().zip(plane[from..].iter().step_by(c.step)).for_each(|(to, x)| *to = *x);
                }
            }
        }
    }
}

/// y += weight * x, `count` times, each slice read in its own steps.
fn accumulate<T: Real + std::ops::AddAssign>(y: &mut [T], every: usize, x: &[T], step: usize, count: usize, weight: T) {
    if every == 1 && step == 1 {
        y[..count].iter_mut().zip(&x[..count]).for_each(|(y, x)| *y += weight * *x);
    } else {
        y.iter_mut().step_by(every).zip(x.iter().step_by(step)).take(count).for_each(|(y, x)| *y += weight * *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Rng;

    fn draw(shape: &[usize], rng: &mut Rng) -> Tensor {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.range(-1.0, 1.0)).collect();
        Tensor::from_shape(shape, &values).unwrap()
    }

    fn run(conv: &Conv, x: &Tensor, kernel: &Tensor) -> Tensor {
        let bias = Tensor::zero_dt(DatumType::F64, &[kernel.shape()[0]]).unwrap();
        let inputs = [x, kernel, &bias].map(|t| t.clone().into_tvalue());
        conv.run::<f64>(inputs.into_iter().collect()).unwrap().remove(0)
    }

    /// The definition, for two axes.
    fn naive(conv: &Conv, x: &Tensor, kernel: &Tensor) -> Vec<f64> {
        let (x, k) = (x.to_plain_array_view::<f64>().unwrap(), kernel.to_plain_array_view::<f64>().unwrap());
        let (a, b) = (conv.spans[0], conv.spans[1]);
        let outputs = k.shape()[0] / conv.groups;
        let mut y = Vec::new();
        let at = |span: &Span, o: usize, t: usize, length: usize| {
            let at = (o * span.stride + t * span.dilation).cast_signed() - span.before;
            let place =
                (at.rem_euclid(span.spread.cast_signed()) == 0).then(|| at.div_euclid(span.spread.cast_signed()));
            place.and_then(|p| usize::try_from(p).ok()).filter(|p| *p < length)
        };
        for (n, o) in (0..x.shape()[0]).flat_map(|n| (0..k.shape()[0]).map(move |o| (n, o))) {
            for (i, j) in (0..a.output).flat_map(|i| (0..b.output).map(move |j| (i, j))) {
                let mut sum = 0.0;
                for (c, (s, t)) in (0..k.shape()[1])
                    .flat_map(|c| (0..a.kernel).flat_map(move |s| (0..b.kernel).map(move |t| (c, (s, t)))))
                {
                    let channel = o / outputs * k.shape()[1] + c;
                    if let (Some(p), Some(q)) = (at(&a, i, s, x.shape()[2]), at(&b, j, t, x.shape()[3])) {
                        sum += k[[o, c, s, t]] * x[[n, channel, p, q]];
                    }
                }
                y.push(sum);
            }
        }
        y
    }

    fn dot(a: &Tensor, b: &Tensor) -> f64 {
        slice::<f64>(a).unwrap().iter().zip(slice::<f64>(b).unwrap()).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn random_geometries_agree_with_the_definition_and_with_their_adjoint() {
        for case in 0..400 {
            let mut rng = Rng::new(1, "convolution", &case.to_string(), 0);
            let mut pick = |low: usize, high: usize| low + rng.below(high - low + 1);
            let (groups, channels, outputs) = (pick(1, 3), pick(1, 3), pick(1, 4));
            let input = [pick(1, 9), pick(1, 9)];
            let spans: TVec<Span> = input
                .iter()
                .map(|length| {
                    let (kernel, stride, dilation) = (pick(1, 4), pick(1, 3), pick(1, 3));
                    let spread = if stride == 1 { pick(1, 3) } else { 1 };
                    let before = pick(0, 4).cast_signed() - 1;
                    let room = (length - 1) * spread + 1 + pick(0, 4);
                    Span { kernel, stride, dilation, spread, before, output: room.div_ceil(stride) }
                })
                .collect();
            let conv = Conv { spans, groups };
            let kernel = [outputs * groups, channels, conv.spans[0].kernel, conv.spans[1].kernel];
            let mut rng = Rng::new(2, "convolution", &case.to_string(), 0);
            let x = draw(&[2, channels * groups, input[0], input[1]], &mut rng);
            let kernel = draw(&kernel, &mut rng);
            let y = run(&conv, &x, &kernel);
            let expected = naive(&conv, &x, &kernel);
            let apart = slice::<f64>(&y).unwrap().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-12, "{conv:?} {input:?}: {apart}");
            // <g, conv(x)> = <adjoint(g), x>.
            let g = draw(y.shape(), &mut rng);
            let spans = conv.spans.iter().zip(input).map(|(span, length)| span.adjoint(length)).collect();
            let back = run(&Conv { spans, groups }, &g, &adjoint_kernel(&kernel, groups).unwrap());
            assert_eq!(back.shape(), x.shape());
            assert!((dot(&g, &y) - dot(&back, &x)).abs() < 1e-10, "{conv:?} {input:?}");
        }
    }
}

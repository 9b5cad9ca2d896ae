//! The convolution for any shape on any machine: a matrix product of the kernel with the windows of each sample, and loops
//! where a group is one channel.

use std::ops::{AddAssign, Range};
use std::rc::Rc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ndarray::linalg::general_mat_mul;
use tract_onnx::tract_core::ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar};

use super::super::{Real, slice};
use super::{Conv, Phase, Span};

/// Values of a block of windows, at most: 512 KiB of float32.
const WINDOWS: usize = 1 << 17;

/// The output `[N, O, ...]` for an input `[N, C, ...]`.
pub(super) fn convolve<T: Real + LinalgScalar + AddAssign>(
    conv: &Conv,
    x: &Tensor,
    kernel: &Tensor,
    bias: &Tensor,
) -> TractResult<Tensor> {
    let plan = Plan::new(conv, x.shape(), kernel.shape());
    let (xs, ks, bs) = (slice::<T>(x)?, slice::<T>(kernel)?, slice::<T>(bias)?);
    let shape = [&[x.shape()[0], kernel.shape()[0]][..], &conv.spans.iter().map(|s| s.output).collect::<Vec<_>>()];
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
        let kernel = &ks[i % conv.groups * weights..][..weights];
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
    phases: Vec<[Rc<Phase>; 3]>,
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
        let [a, b, c] = spans.map(|s| s.phases().into_iter().map(Rc::new).collect::<Vec<_>>());
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
    fn taps(&self, [a, b, c]: &[Rc<Phase>; 3]) -> Vec<(usize, [isize; 3])> {
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
    fn by_loops<T: Real + AddAssign>(&self, phases: &[Rc<Phase>; 3], x: &[T], kernel: &[T], y: &mut [T]) {
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
        phases: &[Rc<Phase>; 3],
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
        [a, b, c]: &[Rc<Phase>; 3],
        taps: &[(usize, [isize; 3])],
        x: &[T],
        lines: Range<usize>,
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
fn accumulate<T: Real + AddAssign>(y: &mut [T], every: usize, x: &[T], step: usize, count: usize, weight: T) {
    if every == 1 && step == 1 {
        y[..count].iter_mut().zip(&x[..count]).for_each(|(y, x)| *y += weight * *x);
    } else {
        y.iter_mut().step_by(every).zip(x.iter().step_by(step)).take(count).for_each(|(y, x)| *y += weight * *x);
    }
}

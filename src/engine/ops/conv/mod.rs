//! Convolution over one to three axes, one operator for the forward pass, its gradient and transposed convolution.
//!
//! As in XLA's ConvGeneralDilated, the input may be spread (zeros between its values), so the gradient of a strided
//! convolution in its input is again a [`Conv`]: of the cotangent, spread by the stride, under the turned kernel
//! ([`Span::adjoint`], [`adjoint_kernel`]). Zeros are never multiplied: outputs fall into phases that see the same taps.
//!
//! This one is plain: a matrix product of the kernel with the windows of each sample, and loops where a group is one
//! channel. Each output is summed in one order whatever the batch and its place, so equal windows give equal bits.
//! Faster kernels belong behind the same operator, beside [`plain`], which does any shape on any machine.

pub(in crate::engine) mod adopt;
mod plain;
#[cfg(test)]
mod tests;

use tract_onnx::tract_core::internal::*;

use super::{Kernel, Real, concrete};

/// How one axis is read: output `o` is the sum over taps `t` of `kernel[t]` times the spread input at
/// `o * stride + t * dilation - before`, where the spread input holds the values `spread` apart and zeros elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Span {
    pub(in crate::engine) kernel: usize,
    pub(in crate::engine) stride: usize,
    pub(in crate::engine) dilation: usize,
    pub(in crate::engine) spread: usize,
    /// May be negative: values that no output reads.
    pub(in crate::engine) before: isize,
    /// Outputs.
    pub(in crate::engine) output: usize,
}

impl Span {
    /// An axis that is not there.
    pub(in crate::engine) const POINT: Self =
        Self { kernel: 1, stride: 1, dilation: 1, spread: 1, before: 0, output: 1 };

    /// Distance of the last tap from the first.
    fn reach(&self) -> isize {
        ((self.kernel - 1) * self.dilation).cast_signed()
    }

    /// The axis along which a cotangent goes back to an input of this length, under the turned kernel.
    pub(in crate::engine) fn adjoint(&self, input: usize) -> Self {
        let before = self.reach() - self.before;
        Self { stride: self.spread, spread: self.stride, before, output: input, ..*self }
    }

    /// Outputs that see the same taps.
    pub(in crate::engine) fn phases(&self) -> Vec<Phase> {
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
#[derive(Clone, Debug)]
pub(in crate::engine) struct Phase {
    pub(in crate::engine) first: usize,
    pub(in crate::engine) every: usize,
    pub(in crate::engine) count: usize,
    pub(in crate::engine) step: usize,
    /// Tap of the kernel, and where its first output reads.
    pub(in crate::engine) taps: Vec<(usize, isize)>,
}

impl Phase {
    /// Where the tap at `at` is inside an input of this length: outputs `j` of the phase.
    pub(in crate::engine) fn inside(&self, at: isize, length: usize) -> std::ops::Range<usize> {
        let step = self.step.cast_signed();
        let low = if at >= 0 { 0 } else { (-at).cast_unsigned().div_ceil(self.step) };
        let room = length.cast_signed() - at;
        let high = if room <= 0 { 0 } else { ((room + step - 1) / step).cast_unsigned() };
        low.min(self.count)..high.clamp(low.min(self.count), self.count)
    }
}

pub(in crate::engine) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Inputs: `[N, C, ...]`, kernel `[O, C / groups, ...]`, bias `[O]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Conv {
    pub(in crate::engine) spans: TVec<Span>,
    pub(in crate::engine) groups: usize,
}

/// The kernel under which cotangents go back: `[O, C / groups, ...]` becomes `[C, O / groups, ...]` with the taps in
/// reverse.
pub(in crate::engine) fn adjoint_kernel(kernel: &Tensor, groups: usize) -> TractResult<Tensor> {
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
            Ok(tvec![plain::convolve::<f64>(self, &x, &kernel, &bias)?])
        } else {
            Ok(tvec![plain::convolve::<f32>(self, &x, &kernel, &bias)?])
        }
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TDim> {
        let outputs: usize = self.spans.iter().map(|s| s.output).product();
        let spread: usize = self.spans.iter().map(|s| s.spread).product();
        Ok(inputs[0].shape[0].clone() * inputs[1].shape.volume() * outputs / spread)
    }
}

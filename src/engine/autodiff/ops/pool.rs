//! Cotangents of pools, back over their windows.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};

use super::{Kernel, Real, slice};

/// The windows of a pool over one shape: one to three axes between `outer` and `inner` ones.
struct Windows {
    outer: usize,
    inner: usize,
    axes: [Window; 3],
}

/// How a pool sees one axis.
#[derive(Clone, Copy)]
struct Window {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    /// Length with its padding, up to which a tap counts.
    padded: usize,
}

impl Window {
    /// Where the taps of output `o` read, those beyond the input left out.
    fn reads(self, o: usize) -> impl Iterator<Item = usize> + Clone {
        let at = move |t: usize| (o * self.stride + t * self.dilation).checked_sub(self.before);
        (0..self.kernel).filter_map(at).filter(move |i| *i < self.input)
    }

    /// Taps of output `o` that are inside the input and its padding.
    fn counted(self, o: usize) -> usize {
        (0..self.kernel).filter(|t| o * self.stride + t * self.dilation < self.padded).count()
    }
}

impl Windows {
    fn new(spec: &PoolSpec, shape: &[usize]) -> TractResult<Self> {
        let (first, rank) = (spec.data_format.h_axis(), spec.rank());
        ensure!((1..=3).contains(&rank), "pools over {rank} axes have none");
        let point = Window { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, padded: 1 };
        let mut axes = [point; 3];
        let lengths = &shape[first..first + rank];
        for (axis, padding) in spec.computed_padding(lengths).into_iter().enumerate() {
            let clipped = matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(.., true));
            axes[3 - rank + axis] = Window {
                input: lengths[axis],
                output: padding.convoluted,
                kernel: spec.kernel_shape[axis],
                stride: spec.stride(axis),
                dilation: spec.dilation(axis),
                before: padding.pad_before,
                padded: if clipped { padding.pad_before + lengths[axis] + padding.pad_after } else { usize::MAX },
            };
        }
        Ok(Self { outer: shape[..first].iter().product(), inner: shape[first + rank..].iter().product(), axes })
    }

    fn inputs(&self) -> usize {
        self.axes.iter().map(|a| a.input).product::<usize>() * self.inner
    }

    fn outputs(&self) -> usize {
        self.axes.iter().map(|a| a.output).product::<usize>() * self.inner
    }

    /// Calls `visit` for every window of a plane with the place of its output and those that its taps read.
    fn each(&self, mut visit: impl FnMut([usize; 3], usize, &mut dyn Iterator<Item = usize>)) {
        let [a, b, c] = self.axes;
        for i in 0..a.output {
            for j in 0..b.output {
                for k in 0..c.output {
                    let to = (i * b.output + j) * c.output + k;
                    let mut reads = a.reads(i).flat_map(|p| {
                        let row = move |q| (p * b.input + q) * c.input;
                        b.reads(j).flat_map(move |q| c.reads(k).map(move |r| row(q) + r))
                    });
                    visit([i, j, k], to, &mut reads);
                }
            }
        }
    }
}

/// Inputs: cotangent and the pool's input. Each window's cotangent goes to the first of its largest values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct MaxPoolAdjoint(pub(in super::super) PoolSpec);

impl Kernel for MaxPoolAdjoint {
    const NAME: &'static str = "MaxPoolAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[1].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let (g, x) = args_2!(inputs);
        let windows = Windows::new(&self.0, x.shape())?;
        let mut out = Tensor::zero_dt(T::datum_type(), x.shape())?;
        let mut plain = out.try_as_plain_ram_mut()?;
        let into = plain.as_slice_mut::<T>()?;
        let (g, x, inner) = (slice::<T>(&g)?, slice::<T>(&x)?, windows.inner);
        for plane in 0..windows.outer {
            let g = &g[plane * windows.outputs()..][..windows.outputs()];
            let x = &x[plane * windows.inputs()..][..windows.inputs()];
            let into = &mut into[plane * windows.inputs()..][..windows.inputs()];
            for channel in 0..inner {
                windows.each(|_, to, reads| {
                    let first =
                        reads.map(|i| i * inner + channel).reduce(|best, i| if x[i] > x[best] { i } else { best });
                    if let Some(first) = first {
                        into[first] = into[first] + g[to * inner + channel];
                    }
                });
            }
        }
        Ok(tvec![out])
    }
}

/// Input: cotangent. Each window's goes to all of its values, divided as the pool divides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct SumPoolAdjoint {
    pub(in super::super) spec: PoolSpec,
    pub(in super::super) normalize: bool,
    pub(in super::super) count_include_pad: bool,
    /// The pool's input.
    pub(in super::super) shape: TVec<usize>,
}

impl Kernel for SumPoolAdjoint {
    const NAME: &'static str = "SumPoolAdjoint";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].datum_type.fact(&*self.shape)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let g = args_1!(inputs);
        let windows = Windows::new(&self.spec, &self.shape)?;
        let mut out = Tensor::zero_dt(T::datum_type(), &self.shape)?;
        let mut plain = out.try_as_plain_ram_mut()?;
        let into = plain.as_slice_mut::<T>()?;
        let (g, inner) = (slice::<T>(&g)?, windows.inner);
        let divisor = |at: [usize; 3]| {
            let along = |axis: usize| {
                let (window, o) = (windows.axes[axis], at[axis]);
                if self.count_include_pad { window.counted(o) } else { window.reads(o).count() }
            };
            if self.normalize { (0..3).map(along).product::<usize>().max(1) } else { 1 }
        };
        for plane in 0..windows.outer {
            let g = &g[plane * windows.outputs()..][..windows.outputs()];
            let into = &mut into[plane * windows.inputs()..][..windows.inputs()];
            windows.each(|at, to, reads| {
                let share = T::of(1.0) / T::from(divisor(at)).unwrap_or_else(T::one);
                for i in reads {
                    for channel in 0..inner {
                        into[i * inner + channel] = into[i * inner + channel] + g[to * inner + channel] * share;
                    }
                }
            });
        }
        Ok(tvec![out])
    }
}

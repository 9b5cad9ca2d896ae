//! Cotangents of pools, back over their windows.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};

use super::{Kernel, Real, slice};

/// The windows of a pool over one shape: one to three axes before `inner` ones; planes of these follow one another.
pub(in crate::engine) struct Windows {
    inner: usize,
    pub(in crate::engine) axes: [Window; 3],
}

/// How a pool sees one axis.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Window {
    pub(in crate::engine) input: usize,
    pub(in crate::engine) output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    /// Length with its padding, up to which a tap counts.
    padded: usize,
}

impl Window {
    /// Where the taps of output `o` read, those beyond the input left out.
    pub(in crate::engine) fn reads(self, o: usize) -> impl Iterator<Item = usize> + Clone {
        let at = move |t: usize| (o * self.stride + t * self.dilation).checked_sub(self.before);
        (0..self.kernel).filter_map(at).filter(move |i| *i < self.input)
    }

    /// Taps of output `o` that are inside the input and its padding.
    fn counted(self, o: usize) -> usize {
        (0..self.kernel).filter(|t| o * self.stride + t * self.dilation < self.padded).count()
    }
}

impl Windows {
    pub(in crate::engine) fn new(spec: &PoolSpec, shape: &[usize]) -> TractResult<Self> {
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
        Ok(Self { inner: shape[first + rank..].iter().product(), axes })
    }

    fn inputs(&self) -> usize {
        self.axes.iter().map(|a| a.input).product::<usize>() * self.inner
    }

    fn outputs(&self) -> usize {
        self.axes.iter().map(|a| a.output).product::<usize>() * self.inner
    }

    /// The windows of a plane in the order of their outputs, the same for all planes.
    fn table(&self) -> Table {
        let [a, b, c] = self.axes;
        let reads = |axis: Window| (0..axis.output).map(|o| axis.reads(o).collect()).collect::<Vec<Vec<usize>>>();
        let [of_a, of_b, of_c] = self.axes.map(reads);
        let mut table = Table { places: Vec::new(), ends: Vec::with_capacity(a.output * b.output * c.output) };
        for rows in &of_a {
            for columns in &of_b {
                for points in &of_c {
                    for row in rows.iter().flat_map(|p| columns.iter().map(move |q| (p * b.input + q) * c.input)) {
                        table.places.extend(points.iter().map(|r| row + r));
                    }
                    table.ends.push(table.places.len());
                }
            }
        }
        table
    }
}

/// What each output of a plane reads.
struct Table {
    places: Vec<usize>,
    /// Of each output, behind its last place.
    ends: Vec<usize>,
}

impl Table {
    fn windows(&self) -> impl Iterator<Item = &[usize]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.places[start..*end])
    }
}

/// Inputs: cotangent and the pool's input. Each window's cotangent goes to the first of its largest values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct MaxPoolAdjoint(pub(in crate::engine) PoolSpec);

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
        let (g, x, inner, table) = (slice::<T>(&g)?, slice::<T>(&x)?, windows.inner, windows.table());
        let planes = g.chunks_exact(windows.outputs().max(1)).zip(x.chunks_exact(windows.inputs().max(1)));
        for ((g, x), into) in planes.zip(into.chunks_exact_mut(windows.inputs().max(1))) {
            for channel in 0..inner {
                for (window, g) in table.windows().zip(g[channel..].iter().step_by(inner.max(1))) {
                    let places = window.iter().map(|i| i * inner + channel);
                    if let Some(first) = places.reduce(|best, i| if x[i] > x[best] { i } else { best }) {
                        into[first] = into[first] + *g;
                    }
                }
            }
        }
        Ok(tvec![out])
    }
}

/// Input: cotangent. Each window's goes to all of its values, divided as the pool divides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct SumPoolAdjoint {
    pub(in crate::engine) spec: PoolSpec,
    pub(in crate::engine) normalize: bool,
    pub(in crate::engine) count_include_pad: bool,
    /// The pool's input.
    pub(in crate::engine) shape: TVec<usize>,
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
        let (g, inner, table) = (slice::<T>(&g)?, windows.inner, windows.table());
        let shares = self.shares::<T>(&windows);
        let planes = g.chunks_exact(windows.outputs().max(1)).zip(into.chunks_exact_mut(windows.inputs().max(1)));
        for (g, into) in planes {
            for ((window, share), g) in table.windows().zip(&shares).zip(g.chunks_exact(inner.max(1))) {
                for i in window {
                    let values = into[i * inner..].iter_mut().zip(g);
                    values.for_each(|(into, g)| *into = *into + *g * *share);
                }
            }
        }
        Ok(tvec![out])
    }
}

impl SumPoolAdjoint {
    /// What each output divides by, turned over.
    fn shares<T: Real>(&self, windows: &Windows) -> Vec<T> {
        let [a, b, c] = windows.axes.map(|axis| {
            let count = |o| if self.count_include_pad { axis.counted(o) } else { axis.reads(o).count() };
            (0..axis.output).map(|o| if self.normalize { count(o).max(1) } else { 1 }).collect::<Vec<usize>>()
        });
        let counts =
            a.iter().flat_map(|i| b.iter().map(move |j| i * j)).flat_map(|rows| c.iter().map(move |k| rows * k));
        counts.map(|count| T::one() / T::from(count).unwrap_or_else(T::one)).collect()
    }
}

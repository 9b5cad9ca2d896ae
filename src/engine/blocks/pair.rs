//! Products of two tensors by the fast kernels, as attention has them: the second factor is packed at every run.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::fuse::Affine;
use super::kernels::{Epilogue, Matrix, Product};
use super::layout::Layout;
use super::product::{Place, places};
use crate::engine::ops::{Kernel, Own, Real, slice};

/// Inputs: both factors. For each place along the axes that all share, a product of two matrices as they lie in memory,
/// into one whose columns lie side by side.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    /// Which input has the rows of the output.
    left: usize,
    /// Rows, depth and columns.
    size: [usize; 3],
    /// From one row of the left factor to the next, and along the depth.
    rows: [usize; 2],
    /// From one column of the right factor to the next, and along the depth.
    columns: [usize; 2],
    /// From one row of the output to the next.
    to: usize,
    /// Where the matrices begin, left, right and output.
    starts: Arc<Vec<[usize; 3]>>,
    shape: TVec<usize>,
    /// Of every product, and what is added to it.
    scale: f32,
    shift: f32,
}

impl Pair {
    /// `None` where it is not made of such products.
    fn of(op: &EinSum, inputs: [&[usize]; 2], y: &[usize]) -> Option<Self> {
        (0..2).find_map(|left| {
            let shapes = [inputs[left], inputs[1 - left], y];
            Self::with(left, &places(op, left, shapes)?, shapes)
        })
    }

    fn with(left: usize, places: &[Place], shapes: [&[usize]; 3]) -> Option<Self> {
        let strides = shapes.map(strides);
        let step = |place: &Place, of: usize| place.at[of].map_or(0, |axis| strides[of][axis]);
        let kind = |kind: [bool; 3]| places.iter().filter(move |place| place.at.map(|at| at.is_some()) == kind);
        // No axis of a kind is one of length 1.
        let single = |is: [bool; 3]| {
            let mut of_kind = kind(is);
            let place = of_kind.next();
            of_kind.next().is_none().then_some(place)
        };
        let (row, depth) = (single([true, false, true])?, single([true, true, false])?);
        let column = single([false, true, true])?;
        let shared: Vec<&Place> = kind([true, true, true]).collect();
        let all = shared.len() + [row, depth, column].iter().flatten().count() == places.len();
        let side_by_side = column.is_none_or(|place| step(place, 2) == 1);
        (all && side_by_side).then_some(())?;
        let mut starts = vec![[0; 3]];
        for place in shared {
            let next = |start: &[usize; 3]| {
                let start = *start;
                (0..place.length).map(move |i| [0, 1, 2].map(|of| start[of] + i * step(place, of)))
            };
            starts = starts.iter().flat_map(next).collect();
        }
        let length = |place: Option<&Place>| place.map_or(1, |place| place.length);
        // An axis that is not there is one of length 1, whose step counts for nothing.
        let steps = |place: Option<&Place>, of: usize| place.map_or(1, |place| step(place, of));
        Product::fits(steps(row, 2).max(length(column))).then_some(())?;
        Some(Self {
            left,
            size: [length(row), length(depth), length(column)],
            rows: [steps(row, 0), steps(depth, 0)],
            columns: [steps(column, 1), steps(depth, 1)],
            to: steps(row, 2).max(length(column)),
            starts: Arc::new(starts),
            shape: shapes[2].into(),
            scale: 1.0,
            shift: 0.0,
        })
    }

    /// Takes in what happens to every element of the output.
    fn take(&mut self, after: &Affine) {
        (self.scale, self.shift) = (after.scale(0), after.shift(0));
    }
}

/// Of a tensor in row-major order.
fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

impl Kernel for Pair {
    const NAME: &'static str = "FastPair";

    fn outputs(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&*self.shape)])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let mut y = Tensor::zero::<f32>(&self.shape)?;
        let (left, right) = (slice::<f32>(&inputs[self.left])?, slice::<f32>(&inputs[1 - self.left])?);
        let mut plain = y.try_as_plain_ram_mut()?;
        let into = plain.as_slice_mut::<f32>()?;
        let [rows, depth, columns] = self.size;
        let mut product = Product::blank(depth, columns, self.shift);
        for [of_left, of_right, of_y] in self.starts.iter() {
            product.pack(Matrix { values: &right[*of_right..], steps: self.columns, count: columns }, self.scale);
            let x = Matrix { values: &left[*of_left..], steps: self.rows, count: rows };
            product.multiply(x, &mut into[*of_y..], self.to, &Epilogue::NONE);
        }
        Ok(tvec![y])
    }

    fn cost(&self, _: &[&TypedFact]) -> TractResult<TDim> {
        Ok((self.starts.len() * self.size.iter().product::<usize>()).to_dim())
    }
}

impl Layout<'_> {
    /// A product of two tensors, and what happens to every element of it.
    pub(super) fn pair(&mut self, node: &TypedNode, op: &EinSum) -> TractResult<bool> {
        let [a, b] = *node.inputs else { return Ok(false) };
        let (a, b, shape) = (self.shape(a)?, self.shape(b)?, self.shape(node.id.into())?);
        let Some(mut pair) = Pair::of(op, [&a, &b], &shape) else { return Ok(false) };
        let (after, behind) = self.constants(node, &(0..0))?;
        pair.take(&after);
        let inputs = node.inputs.iter().map(|input| self.plain(*input)).collect::<TractResult<TVec<_>>>()?;
        let wire = self.new.wire_node(&node.name, Own(pair), &inputs)?[0];
        self.stands_for(node, &behind, wire, false);
        Ok(true)
    }
}

//! Products of a tensor with a constant for the fast kernels: dense layers, projections, and the way back through them.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::fast::{Fast, Way};
use super::fuse::Affine;
use super::kernels::Product;
use super::layout::Layout;
use crate::engine::ops::slice;

/// An axis of a product of two tensors: its length, and where it lies in both and in the output.
pub(super) struct Place {
    pub(super) length: usize,
    /// In the first factor, in the second, and in the output.
    pub(super) at: [Option<usize>; 3],
}

/// The axes of a product of float32 tensors of these shapes that are longer than 1, the factor in slot `first` first.
/// `None` where it takes a diagonal or repeats values.
pub(super) fn places(op: &EinSum, first: usize, shapes: [&[usize]; 3]) -> Option<Vec<Place>> {
    (op.operating_dt == DatumType::F32 && op.q_params.is_none()).then_some(())?;
    let mut places = Vec::new();
    for axis in op.axes.iter_all_axes() {
        let all = [&axis.inputs[first], &axis.inputs[1 - first], &axis.outputs[0]];
        all.iter().all(|at| at.len() <= 1).then_some(())?;
        let at = all.map(|at| at.first().copied());
        let mut lengths = at.iter().zip(shapes).filter_map(|(at, shape)| at.map(|at| shape[at]));
        let length = lengths.next()?;
        // Of nothing there is nothing to multiply.
        (length != 0 && lengths.all(|other| other == length)).then_some(())?;
        if length != 1 {
            places.push(Place { length, at });
        }
    }
    Some(places)
}

/// A product that is one of rows as they lie in memory: the axes of `x` that are kept, then those that are summed over,
/// and in the output the kept ones, then the constant's.
struct Rows {
    depth: Vec<usize>,
    outputs: Vec<usize>,
    /// The first axis of the output that is the constant's.
    first: usize,
}

impl Rows {
    /// `None` where it is none, for `x` in this slot.
    fn of(op: &EinSum, slot: usize, x: &[usize], constant: &Tensor, y: &[usize]) -> Option<Self> {
        let places = places(op, slot, [x, constant.shape(), y])?;
        let sorted = |kind: [bool; 3], by: usize| {
            let mut of_kind: Vec<&Place> =
                places.iter().filter(|place| place.at.map(|at| at.is_some()) == kind).collect();
            of_kind.sort_by_key(|place| place.at[by]);
            of_kind
        };
        let (kept, depth, outputs) =
            (sorted([true, false, true], 0), sorted([true, true, false], 0), sorted([false, true, true], 2));
        let ordered = |at: Vec<Option<usize>>| at.windows(2).all(|pair| pair[0] < pair[1]);
        let rows = kept.len() + depth.len() + outputs.len() == places.len()
            && ordered(kept.iter().chain(&depth).map(|place| place.at[0]).collect())
            && ordered(kept.iter().chain(&outputs).map(|place| place.at[2]).collect());
        let first = outputs.first().and_then(|place| place.at[2]).unwrap_or(y.len());
        let offsets = |places: &[&Place]| {
            let strides = constant.strides();
            places.iter().fold(vec![0], |offsets: Vec<usize>, place| {
                let stride = place.at[1].map_or(0, |i| strides[i].unsigned_abs());
                offsets.iter().flat_map(|offset| (0..place.length).map(move |i| offset + i * stride)).collect()
            })
        };
        rows.then(|| Self { depth: offsets(&depth), outputs: offsets(&outputs), first })
    }
}

impl Fast {
    /// The product, into an output of this shape, and what comes of it, `after`.
    fn product(rows: &Rows, constant: &Tensor, shape: &[usize], after: &Affine) -> TractResult<Option<Self>> {
        let weights = slice::<f32>(constant)?;
        let bias: Vec<f32> = (0..rows.outputs.len()).map(|n| after.shift(n)).collect();
        let weight = |k: usize, n: usize| weights[rows.depth[k] + rows.outputs[n]] * after.scale(n);
        // Folded, a scale may be too much for a weight.
        let all = (0..rows.depth.len()).flat_map(|k| (0..bias.len()).map(move |n| (k, n)));
        if !all.map(|(k, n)| weight(k, n)).all(f32::is_finite) {
            return Ok(None);
        }
        let Some(product) = Product::new(rows.depth.len(), &bias, weight) else { return Ok(None) };
        let work = shape.iter().product::<usize>() * rows.depth.len();
        let (way, shape) = (Arc::new(Way::Product(product)), shape.into());
        Ok(Some(Self { way, shape, gives_blocks: false, work, add: false, activation: None, mask: None }))
    }
}

impl Layout<'_> {
    /// A product with a constant, or of two tensors.
    pub(super) fn product(&mut self, node: &TypedNode, op: &EinSum) -> TractResult<bool> {
        let [a, b] = *node.inputs else { return Ok(false) };
        for outlet in [a, b, node.id.into()] {
            let fact = self.old.outlet_fact(outlet)?;
            if fact.datum_type != f32::datum_type() || !fact.is_plain() || !fact.shape.is_concrete() {
                return Ok(false);
            }
        }
        let constants = [a, b].map(|input| self.old.outlet_fact(input).ok()?.konst.clone());
        let (constant, x, slot) = match constants {
            [None, Some(constant)] => (constant, a, 0),
            [Some(constant), None] => (constant, b, 1),
            _ => return self.pair(node, op),
        };
        let shape = self.shape(node.id.into())?;
        let Some(rows) = Rows::of(op, slot, &self.shape(x)?, &constant, &shape) else { return Ok(false) };
        let (after, behind) = self.constants(node, &(rows.first..shape.len()))?;
        let Some(fast) = Fast::product(&rows, &constant, &shape, &after)? else { return Ok(false) };
        let x = self.plain(x)?;
        self.wire_fast(node, fast, x, &behind)
    }
}

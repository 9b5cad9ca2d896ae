//! What a convolution or a product does in place of nodes behind it: constants go into its weights and bias; a sum, an
//! activation's bounds or a mask are done before a value is stored.

use std::ops::Range;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::HardSwish;

use super::fast::Fast;
use super::kernels::Activation;
use super::layout::Layout;
use crate::engine::ops::pointwise::{Inside, Pointwise};
use crate::engine::ops::{Own, concrete, slice};

/// A scale and a shift of each output; by default 1 and 0.
#[derive(Default)]
pub(super) struct Affine {
    scales: Vec<f32>,
    shifts: Vec<f32>,
}

impl Affine {
    pub(super) fn scale(&self, output: usize) -> f32 {
        self.scales.get(output).copied().unwrap_or(1.0)
    }

    pub(super) fn shift(&self, output: usize) -> f32 {
        self.shifts.get(output).copied().unwrap_or(0.0)
    }

    /// The output's value after it.
    pub(super) fn of(&self, output: usize, value: f32) -> f32 {
        value * self.scale(output) + self.shift(output)
    }

    /// Takes in a sum or a product with constants; `false` where the node is none. `axes` are those of the node's output
    /// that its outputs lie along.
    fn take(&mut self, model: &TypedModel, node: &TypedNode, axes: &Range<usize>) -> TractResult<bool> {
        let Some(TypedBinOp(op, None)) = node.op_as::<TypedBinOp>() else { return Ok(false) };
        let constant = node.inputs.iter().find_map(|input| model.outlet_fact(*input).ok()?.konst.clone());
        let Some(constant) = constant.filter(|k| k.datum_type() == f32::datum_type()) else { return Ok(false) };
        let shape = concrete(&node.outputs[0].fact)?;
        let along = |(axis, length): (usize, &usize)| *length == if axes.contains(&axis) { shape[axis] } else { 1 };
        let whole = constant.rank() == shape.len() && constant.shape().iter().enumerate().all(along);
        let fits = whole || constant.len() == 1;
        if !fits || !slice::<f32>(&constant)?.iter().all(|value| value.is_finite()) {
            return Ok(false);
        }
        let outputs = shape[axes.clone()].iter().product();
        let values = slice::<f32>(&constant)?.iter().copied().cycle().take(outputs);
        // A second sum may be there to round what the first one made large.
        if op.is::<math::Add>() && self.shifts.is_empty() {
            self.shifts = values.collect();
        } else if op.is::<math::Mul>() {
            self.scales.resize(outputs, 1.0);
            self.scales.iter_mut().zip(values.clone()).for_each(|(scale, value)| *scale *= value);
            self.shifts.iter_mut().zip(values).for_each(|(shift, value)| *shift *= value);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// What a node asks of the convolution or product in front of it.
enum Follow {
    /// Adds the node's other input.
    Add(OutletId),
    Activation(Activation),
    /// Lets values pass where the node's other input lies between.
    Mask(OutletId, f32, f32),
}

impl Follow {
    /// What `node` does to its input `i`, if they can do it.
    #[allow(clippy::cast_possible_truncation)]
    fn of(model: &TypedModel, node: &TypedNode, i: usize) -> TractResult<Option<Self>> {
        if node.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<HardSwish>()) {
            return Ok(Some(Self::Activation(Activation::HardSwish)));
        }
        let [_, _] = &*node.inputs else { return Ok(None) };
        let other = node.inputs[1 - i];
        if let Some(Own(Pointwise(Inside { max, bound }))) = node.op_as::<Own<Pointwise<Inside>>>() {
            let bound = *bound as f32;
            let (low, high) = if *max { (bound, f32::INFINITY) } else { (f32::NEG_INFINITY, bound) };
            return Ok((i == 0).then_some(Self::Mask(other, low, high)));
        }
        let Some(TypedBinOp(op, _)) = node.op_as::<TypedBinOp>() else { return Ok(None) };
        let fact = model.outlet_fact(other)?;
        if op.is::<math::Add>() {
            return Ok((fact.shape == model.outlet_fact(node.inputs[i])?.shape).then_some(Self::Add(other)));
        }
        let Some(bound) = fact.konst.as_ref().filter(|k| k.len() == 1) else { return Ok(None) };
        let bound = bound.cast_to_scalar::<f32>()?;
        if bound.is_nan() {
            return Ok(None);
        }
        Ok(match () {
            () if op.is::<math::Max>() => Some(Self::Activation(Activation::Clamp(bound, f32::INFINITY))),
            () if op.is::<math::Min>() => Some(Self::Activation(Activation::Clamp(f32::NEG_INFINITY, bound))),
            () => None,
        })
    }
}

impl Fast {
    /// Takes an activation in; `false` where it cannot any more, since sums come first, then activations, then masks.
    fn take_activation(&mut self, activation: Activation) -> bool {
        let both = match (self.activation, activation) {
            (None, activation) => Some(activation),
            // One bound after the other is both at once only where they leave something between.
            (Some(Activation::Clamp(own_low, own_high)), Activation::Clamp(low, high)) => {
                let both = (own_low.max(low), own_high.min(high));
                (both.0 <= both.1).then_some(Activation::Clamp(both.0, both.1))
            }
            _ => None,
        };
        let takes = self.mask.is_none() && both.is_some();
        if takes {
            self.activation = both;
        }
        takes
    }

    /// The same for a mask, which may narrow one that is the `same`.
    fn take_mask(&mut self, low: f32, high: f32, same: bool) -> bool {
        let takes = self.mask.is_none() || same;
        if takes {
            let (own_low, own_high) = self.mask.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            self.mask = Some((own_low.max(low), own_high.min(high)));
        }
        takes
    }
}

impl Layout<'_> {
    /// Notes that `wire` gives what a node and those `behind` it gave.
    pub(super) fn stands_for(&mut self, node: &TypedNode, behind: &[usize], wire: OutletId, blocks: bool) {
        let last = behind.last().copied().unwrap_or(node.id);
        if blocks { &mut self.blocks } else { &mut self.plain }.insert(last.into(), wire);
        self.done.extend(behind);
    }

    /// Wires it in place of a node and of those `behind`.
    pub(super) fn wire_fast(
        &mut self,
        node: &TypedNode,
        fast: Fast,
        x: OutletId,
        behind: &[usize],
    ) -> TractResult<bool> {
        let gives_blocks = fast.gives_blocks;
        let wire = self.new.wire_node(&node.name, Own(fast), &[x])?[0];
        self.stands_for(node, behind, wire, gives_blocks);
        Ok(true)
    }

    /// The sums and products with constants behind a node that nobody else reads, along these axes of its output.
    pub(super) fn constants(&self, node: &TypedNode, axes: &Range<usize>) -> TractResult<(Affine, Vec<usize>)> {
        let (mut after, mut behind) = (Affine::default(), Vec::new());
        let mut last = node.id;
        while let Some(next) = self.lone_successor(last.into()) {
            let same = next.outputs[0].fact.shape == self.old.outlet_fact(last.into())?.shape;
            if !same || !after.take(self.old, next, axes)? {
                break;
            }
            last = next.id;
            behind.push(last);
        }
        Ok((after, behind))
    }

    /// The only node that reads an outlet.
    fn lone_successor(&self, outlet: OutletId) -> Option<&TypedNode> {
        match &*self.old.node(outlet.node).outputs[outlet.slot].successors {
            [lone] if !self.old.outputs.contains(&outlet) => Some(self.old.node(lone.node)),
            _ => None,
        }
    }

    /// Lets the convolution or product in front of a node do its work, if nobody else wants what it gives without.
    pub(super) fn fuse(&mut self, node: &TypedNode) -> TractResult<bool> {
        for (i, input) in node.inputs.iter().enumerate() {
            if self.lone_successor(*input).is_none() {
                continue;
            }
            let (blocks, plain) = (self.blocks.get(input).copied(), self.plain.get(input).copied());
            let ((Some(wire), None) | (None, Some(wire))) = (blocks, plain) else { continue };
            let Some(Own(mut fast)) = self.new.node(wire.node).op_as::<Own<Fast>>().cloned() else { continue };
            let Some(follow) = Follow::of(self.old, node, i)? else { continue };
            if self.give(&mut fast, wire.node, follow)? {
                self.new.node_mut(wire.node).op = Box::new(Own(fast));
                if blocks.is_some() { &mut self.blocks } else { &mut self.plain }.insert(node.id.into(), wire);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives `fast`, the operator of a node of the new graph, something more to do.
    fn give(&mut self, fast: &mut Fast, id: usize, follow: Follow) -> TractResult<bool> {
        let inputs = &self.new.node(id).inputs;
        let (slot, last) = (inputs.len(), inputs.last().copied());
        let (takes, other) = match follow {
            Follow::Add(other) if !fast.add && fast.activation.is_none() && fast.mask.is_none() => {
                fast.add = true;
                (true, Some(other))
            }
            Follow::Add(_) => (false, None),
            Follow::Activation(activation) => (fast.take_activation(activation), None),
            Follow::Mask(other, low, high) => {
                let known = if fast.gives_blocks { self.blocks.get(&other) } else { self.plain.get(&other) };
                let same = fast.mask.is_some() && known.copied() == last;
                (fast.take_mask(low, high, same), Some(other).filter(|_| !same))
            }
        };
        if let Some(other) = other.filter(|_| takes) {
            let other = if fast.gives_blocks { self.blocks(other)? } else { self.plain(other)? };
            self.new.add_edge(other, InletId::new(id, slot))?;
        }
        Ok(takes)
    }
}

//! The rewriting: every node once, in order, on blocks where it can.

use std::collections::{HashMap, HashSet};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::MaxPool;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::channels::{PerChannel, PlaneSum};
use super::copies::{FromBlocks, ToBlocks};
use super::pool::{MaxBlocks, MaxBlocksAdjoint, Pool};
use super::{LANES, blocked};
use crate::engine::ops::conv::Conv;
use crate::engine::ops::pool::MaxPoolAdjoint;
use crate::engine::ops::{Own, concrete};

/// A graph after the rewriting.
pub(in crate::engine) struct Laid {
    pub(in crate::engine) graph: TypedModel,
    /// Which outputs are in blocks.
    pub(in crate::engine) blocks: Vec<bool>,
}

/// Rewrites a decluttered graph of fixed shapes. `given` says which of its inputs come in blocks (none beyond its end),
/// and outputs from number `free` on may leave in blocks.
pub(in crate::engine) fn lay(model: &TypedModel, given: &[bool], free: usize) -> TractResult<Laid> {
    let new = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
    let mut layout = Layout { old: model, new, plain: HashMap::new(), blocks: HashMap::new(), done: HashSet::new() };
    for (i, source) in model.inputs.iter().enumerate() {
        layout.source(*source, given.get(i).copied().unwrap_or(false))?;
    }
    for id in model.eval_order()? {
        let node = model.node(id);
        let done = layout.done.contains(&id) || model.inputs.contains(&id.into());
        if !done && !layout.fast(node)? {
            layout.as_it_is(node)?;
        }
    }
    let mut outputs = TVec::new();
    let mut blocks = Vec::new();
    for (i, output) in model.outputs.iter().enumerate() {
        let own = layout.blocks.get(output).copied().filter(|_| i >= free);
        blocks.push(own.is_some());
        outputs.push(own.map_or_else(|| layout.plain(*output), Ok)?);
    }
    let mut graph = layout.new;
    graph.select_output_outlets(&outputs)?;
    Ok(Laid { graph, blocks })
}

pub(super) struct Layout<'m> {
    pub(super) old: &'m TypedModel,
    pub(super) new: TypedModel,
    /// Outlets of the new graph by those of the old one, as they are and in blocks; some are known in both ways.
    pub(super) plain: HashMap<OutletId, OutletId>,
    pub(super) blocks: HashMap<OutletId, OutletId>,
    /// Nodes that others do the work of.
    pub(super) done: HashSet<usize>,
}

impl Layout<'_> {
    fn source(&mut self, outlet: OutletId, given: bool) -> TractResult<()> {
        let (name, fact) = (&self.old.node(outlet.node).name, self.old.outlet_fact(outlet)?);
        let fact = if given { f32::fact(&*blocked(&concrete(fact)?)) } else { fact.clone() };
        let source = self.new.add_source(name, fact)?;
        if given { &mut self.blocks } else { &mut self.plain }.insert(outlet, source);
        Ok(())
    }

    /// The node as it was, on what it was made for.
    fn as_it_is(&mut self, node: &TypedNode) -> TractResult<()> {
        let inputs = node.inputs.iter().map(|input| self.plain(*input)).collect::<TractResult<TVec<_>>>()?;
        let outlets = self.new.wire_node(&node.name, node.op.clone(), &inputs)?;
        self.plain.extend(outlets.into_iter().enumerate().map(|(slot, new)| (OutletId::new(node.id, slot), new)));
        Ok(())
    }

    /// An outlet of the old graph as it was.
    pub(super) fn plain(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(known) = self.plain.get(&outlet) {
            return Ok(*known);
        }
        let blocks = *self.blocks.get(&outlet).context("an outlet was not laid")?;
        let channels = self.shape(outlet)?[1];
        let name = format!("{}.{}.plain", self.old.node(outlet.node).name, outlet.slot);
        let plain = self.new.wire_node(name, Own(FromBlocks { channels }), &[blocks])?[0];
        self.plain.insert(outlet, plain);
        Ok(plain)
    }

    /// An outlet of the old graph in blocks; a constant of one number in five axes.
    pub(super) fn blocks(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(known) = self.blocks.get(&outlet) {
            return Ok(*known);
        }
        let name = format!("{}.{}.blocks", self.old.node(outlet.node).name, outlet.slot);
        let constant = self.old.outlet_fact(outlet)?.konst.clone();
        let blocks = if let Some(constant) = constant {
            let number = constant.len() == 1;
            let constant = constant.into_tensor();
            let laid = if number { constant.into_shape(&[1; 5])? } else { ToBlocks::of(&constant)? };
            self.new.add_const(name, laid)?
        } else {
            let plain = self.plain(outlet)?;
            self.new.wire_node(name, Own(ToBlocks), &[plain])?[0]
        };
        self.blocks.insert(outlet, blocks);
        Ok(blocks)
    }

    pub(super) fn shape(&self, outlet: OutletId) -> TractResult<TVec<usize>> {
        concrete(self.old.outlet_fact(outlet)?)
    }

    /// Whether an outlet is float32 with four axes, the only ones that blocks are made of.
    fn fits(&self, outlet: OutletId) -> TractResult<bool> {
        let fact = self.old.outlet_fact(outlet)?;
        Ok(fact.datum_type == f32::datum_type() && fact.rank() == 4)
    }

    /// Wires the node in a faster way, if there is one.
    fn fast(&mut self, node: &TypedNode) -> TractResult<bool> {
        if let Some(product) = node.op_as::<EinSum>() {
            return self.product(node, product);
        }
        Ok(self.on_blocks(node)? || self.fuse(node)?)
    }

    /// Wires the node on blocks; `false` if it cannot be, or not with profit.
    fn on_blocks(&mut self, node: &TypedNode) -> TractResult<bool> {
        let fits = node.outputs.len() == 1 && !node.inputs.is_empty() && self.fits(node.id.into())?;
        if !fits || !self.fits(node.inputs[0])? {
            return Ok(false);
        }
        if let Some(Own(conv)) = node.op_as::<Own<Conv>>() {
            return self.convolution(node, conv);
        }
        let whole = self.shape(node.id.into())?;
        if let Some(broadcast) = node.op_as::<MultiBroadcastTo>() {
            return self.broadcast(node, broadcast, &whole);
        }
        if !node.inputs.iter().any(|input| self.blocks.contains_key(input)) {
            return Ok(false);
        }
        let pointwise = node.op_is::<ElementWiseOp>() || node.op_is::<TypedBinOp>() || node.op.name() == "Pointwise";
        if pointwise {
            return self.pointwise(node, &whole);
        }
        if let Some(reduce) = node.op_as::<Reduce>() {
            if *reduce.axes == [2, 3] && reduce.reducer == Reducer::Sum {
                return self.wire(node, Own(PlaneSum));
            }
            let within = reduce.axes.iter().all(|axis| matches!(axis, 2 | 3));
            return if within { self.wire(node, node.op.clone()) } else { Ok(false) };
        }
        if let Some(pool) = node.op_as::<MaxPool>() {
            let pool = Pool { spec: pool.pool_spec.clone(), shape: self.shape(node.inputs[0])? };
            return if pool.serves() { self.wire(node, Own(MaxBlocks(pool))) } else { Ok(false) };
        }
        if let Some(Own(MaxPoolAdjoint(spec))) = node.op_as::<Own<MaxPoolAdjoint>>() {
            let pool = Pool { spec: spec.clone(), shape: self.shape(node.inputs[1])? };
            return if pool.serves() { self.wire(node, Own(MaxBlocksAdjoint(pool))) } else { Ok(false) };
        }
        Ok(false)
    }

    /// Wires an op on the node's inputs in blocks.
    fn wire(&mut self, node: &TypedNode, op: impl Into<Box<dyn TypedOp>>) -> TractResult<bool> {
        self.wire_on(&node.inputs, node, op)
    }

    /// Wires an op in the node's place.
    fn wire_on(&mut self, inputs: &[OutletId], node: &TypedNode, op: impl Into<Box<dyn TypedOp>>) -> TractResult<bool> {
        let inputs = inputs.iter().map(|input| self.blocks(*input)).collect::<TractResult<TVec<_>>>()?;
        let wire = self.new.wire_node(&node.name, op, &inputs)?[0];
        self.blocks.insert(node.id.into(), wire);
        Ok(true)
    }

    /// Repeats channels over a plane, as the way back from a mean does.
    fn broadcast(&mut self, node: &TypedNode, op: &MultiBroadcastTo, whole: &[usize]) -> TractResult<bool> {
        let from = self.shape(node.inputs[0])?;
        let over_plane = from[..2] == whole[..2] && from[2..] == [1, 1] && whole[1] >= LANES;
        if !over_plane || !op.shape.is_concrete() {
            return Ok(false);
        }
        let shape: TVec<TDim> = blocked(whole).iter().map(|d| d.to_dim()).collect();
        self.wire(node, MultiBroadcastTo { shape: shape.into() })
    }

    /// A function of each element, or of two tensors' elements; of blocks, one number, or a number a channel.
    fn pointwise(&mut self, node: &TypedNode, whole: &[usize]) -> TractResult<bool> {
        for input in &node.inputs {
            let shape = self.shape(*input)?;
            let number = shape.iter().all(|d| *d == 1) && self.old.outlet_fact(*input)?.konst.is_some();
            let channels = whole[1] > 1 && shape[1] == whole[1] && shape[2..] == [1, 1];
            if !self.fits(*input)? || !(number || channels || *shape == *whole) {
                return Ok(false);
            }
        }
        Ok(self.fuse(node)? || self.per_channel(node, whole)? || self.wire(node, node.op.clone())?)
    }

    /// A picture and a number a channel, where one of a few operators does it.
    fn per_channel(&mut self, node: &TypedNode, whole: &[usize]) -> TractResult<bool> {
        let Some(op) = node.op_as::<TypedBinOp>().and_then(PerChannel::of) else { return Ok(false) };
        let [a, b] = *node.inputs else { return Ok(false) };
        let [of_a, of_b] = [self.shape(a)?, self.shape(b)?];
        let a_channel = |shape: &[usize]| shape[1] == whole[1] && whole[1] > 1 && shape[2..] == [1, 1];
        match () {
            () if *of_a == *whole && a_channel(&of_b) => self.wire_on(&[a, b], node, Own(op)),
            () if *of_b == *whole && a_channel(&of_a) => self.wire_on(&[b, a], node, Own(op)),
            () => Ok(false),
        }
    }
}

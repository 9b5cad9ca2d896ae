//! The backward graph while it is written.

use std::collections::{HashMap, HashSet};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use crate::engine::ops::concrete;

/// What a rule gives back: a cotangent for each input of the node, or none.
pub(super) type Cotangents = TVec<Option<OutletId>>;

/// The backward graph, and the node of the forward graph whose rule is at work.
///
/// A rule asks for values of the forward pass ([`Self::input`], [`Self::output`]); each that it asks for becomes a
/// residual, which the forward graph keeps.
pub(super) struct Tape<'m> {
    forward: &'m TypedModel,
    node: usize,
    pub(super) backward: TypedModel,
    /// Forward outlets whose values the backward graph wants, in the order of its sources after the seeds.
    pub(super) residuals: Vec<OutletId>,
    /// Backward outlets of forward values.
    primals: HashMap<OutletId, OutletId>,
    /// Backward outlets of cotangents, by forward outlet.
    cotangents: HashMap<OutletId, OutletId>,
    /// Forward outlets that depend on what is differentiated with respect to.
    pub(super) active: HashSet<OutletId>,
    /// Nodes that round, differentiated as if they did not.
    pub(super) straight_through: Vec<String>,
    names: usize,
}

impl<'m> Tape<'m> {
    pub(super) fn new(forward: &'m TypedModel) -> Self {
        let backward = TypedModel { symbols: forward.symbols.clone(), ..TypedModel::default() };
        Self {
            forward,
            node: 0,
            backward,
            residuals: Vec::new(),
            primals: HashMap::new(),
            cotangents: HashMap::new(),
            active: HashSet::new(),
            straight_through: Vec::new(),
            names: 0,
        }
    }

    /// Turns to the next node.
    pub(super) fn turn_to(&mut self, node: usize) {
        self.node = node;
    }

    /// The node whose rule is at work.
    pub(super) fn node(&self) -> &'m TypedNode {
        self.forward.node(self.node)
    }

    // The forward pass.

    /// Whether the cotangent of input `i` is asked for.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.active.contains(&self.node().inputs[i])
    }

    /// Type and shape of input `i`, and its value if it is a constant.
    pub(super) fn fact(&self, i: usize) -> TractResult<&'m TypedFact> {
        self.forward.outlet_fact(self.node().inputs[i])
    }

    /// Lengths of the axes of input `i`.
    pub(super) fn shape(&self, i: usize) -> TractResult<TVec<usize>> {
        concrete(self.fact(i)?)
    }

    /// Lengths of the axes of output `slot`.
    pub(super) fn output_shape(&self, slot: usize) -> TractResult<TVec<usize>> {
        concrete(&self.node().outputs[slot].fact)
    }

    /// The value of input `i`, where the graph fixes it.
    pub(super) fn constant(&self, i: usize) -> TractResult<Option<Arc<Tensor>>> {
        Ok(self.fact(i)?.konst.clone())
    }

    /// The value of input `i` in the backward graph.
    pub(super) fn input(&mut self, i: usize) -> TractResult<OutletId> {
        self.primal(self.node().inputs[i])
    }

    /// The value of output `slot` in the backward graph.
    pub(super) fn output(&mut self, slot: usize) -> TractResult<OutletId> {
        self.primal(OutletId::new(self.node, slot))
    }

    /// The only node that reads output 0, if there is one.
    pub(super) fn successor(&self) -> Option<&'m TypedNode> {
        let outlet = OutletId::new(self.node, 0);
        match &*self.node().outputs[0].successors {
            [lone] if !self.forward.outputs.contains(&outlet) => Some(self.forward.node(lone.node)),
            _ => None,
        }
    }

    /// The number that a node of two inputs compares with or adds, where the graph fixes one.
    pub(super) fn bound_of(&self, node: &TypedNode) -> TractResult<Option<f64>> {
        let constants = node.inputs.iter().map(|input| Ok(self.forward.outlet_fact(*input)?.konst.as_ref()));
        let mut numbers = constants.collect::<TractResult<Vec<_>>>()?.into_iter().flatten().filter(|c| c.len() == 1);
        numbers.next().map(|c| c.cast_to_scalar::<f64>()).transpose()
    }

    /// A forward value in the backward graph: a constant, or else a residual.
    pub(super) fn primal(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(known) = self.primals.get(&outlet) {
            return Ok(*known);
        }
        let fact = self.forward.outlet_fact(outlet)?;
        let name = self.name("residual");
        let primal = if let Some(constant) = &fact.konst {
            self.backward.add_const(name, constant.clone())?
        } else {
            self.residuals.push(outlet);
            self.backward.add_source(name, fact.datum_type.fact(&*concrete(fact)?))?
        };
        self.primals.insert(outlet, primal);
        Ok(primal)
    }

    // Cotangents.

    /// The cotangent of output 0.
    pub(super) fn cotangent(&self) -> TractResult<OutletId> {
        self.cotangent_of(0)?.context("output 0 has no cotangent")
    }

    /// The cotangent of output `slot`, unless nothing depends on it.
    #[allow(clippy::unnecessary_wraps)]
    pub(super) fn cotangent_of(&self, slot: usize) -> TractResult<Option<OutletId>> {
        Ok(self.cotangents.get(&OutletId::new(self.node, slot)).copied())
    }

    /// What has come together for a forward outlet.
    pub(super) fn collected(&self, outlet: OutletId) -> Option<OutletId> {
        self.cotangents.get(&outlet).copied()
    }

    /// Adds to the cotangent of a forward outlet, in that outlet's shape.
    pub(super) fn collect(&mut self, outlet: OutletId, cotangent: OutletId) -> TractResult<()> {
        let shape = concrete(self.forward.outlet_fact(outlet)?)?;
        let fitted = self.fit(cotangent, &shape)?;
        let sum = match self.collected(outlet) {
            Some(other) => self.binary(math::Add, other, fitted)?,
            None => fitted,
        };
        self.cotangents.insert(outlet, sum);
        Ok(())
    }

    /// The cotangent `of` for input `i` alone.
    pub(super) fn only(&self, i: usize, of: OutletId) -> Cotangents {
        (0..self.node().inputs.len()).map(|j| (j == i).then_some(of)).collect()
    }

    /// A cotangent for each input that wants one.
    pub(super) fn each(
        &mut self,
        mut of: impl FnMut(&mut Self, usize) -> TractResult<OutletId>,
    ) -> TractResult<Cotangents> {
        (0..self.node().inputs.len()).map(|i| self.wants(i).then(|| of(self, i)).transpose()).collect()
    }

    /// Notes that the node rounds and is differentiated as if it did not (the straight-through estimator; Bengio,
    /// Leonard and Courville 2013, arXiv:1308.3432).
    pub(super) fn passes_straight_through(&mut self) {
        self.straight_through.push(self.node().name.clone());
    }

    // Writing.

    /// Wires an op with one output.
    pub(super) fn wire(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        Ok(self.wire_all(op, inputs)?[0])
    }

    /// Wires an op with several outputs.
    pub(super) fn wire_all(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let name = self.name("adjoint");
        self.backward.wire_node(name, op, inputs)
    }

    pub(super) fn binary(&mut self, op: impl BinMiniOp, a: OutletId, b: OutletId) -> TractResult<OutletId> {
        self.wire(TypedBinOp(Box::new(op), None), &[a, b])
    }

    pub(super) fn mul(&mut self, a: OutletId, b: OutletId) -> TractResult<OutletId> {
        self.binary(math::Mul, a, b)
    }

    pub(super) fn neg(&mut self, a: OutletId) -> TractResult<OutletId> {
        self.wire(math::neg(), &[a])
    }

    /// A constant of the backward graph.
    pub(super) fn tensor(&mut self, tensor: impl IntoArcTensor) -> TractResult<OutletId> {
        let name = self.name("constant");
        self.backward.add_const(name, tensor)
    }

    /// A number that broadcasts against `like`, in its type.
    pub(super) fn number(&mut self, value: f64, like: OutletId) -> TractResult<OutletId> {
        let fact = self.backward.outlet_fact(like)?;
        let (rank, dtype) = (fact.rank(), fact.datum_type);
        self.tensor(tensor0(value).cast_to_dt(dtype)?.into_owned().broadcast_into_rank(rank)?)
    }

    /// Zeros of this shape, in the type of `like`.
    pub(super) fn zeros(&mut self, shape: &[usize], like: OutletId) -> TractResult<OutletId> {
        let dtype = self.backward.outlet_fact(like)?.datum_type;
        self.tensor(Tensor::zero_dt(dtype, shape)?)
    }

    /// `a` in the element type of `like`.
    pub(super) fn in_type_of(&mut self, a: OutletId, like: OutletId) -> TractResult<OutletId> {
        let dtype = self.backward.outlet_fact(like)?.datum_type;
        if self.backward.outlet_fact(a)?.datum_type == dtype { Ok(a) } else { self.wire(cast(dtype), &[a]) }
    }

    /// Undoes broadcasting: sums over the axes that `shape` does not have, and repeats along those that only it has.
    pub(super) fn fit(&mut self, cotangent: OutletId, shape: &[usize]) -> TractResult<OutletId> {
        let own = concrete(self.backward.outlet_fact(cotangent)?)?;
        ensure!(own.len() == shape.len(), "a cotangent of shape {own:?} was found for a value of shape {shape:?}");
        let axes: TVec<usize> = (0..shape.len()).filter(|&i| shape[i] == 1 && own[i] != 1).collect();
        let mut fitted = cotangent;
        if !axes.is_empty() {
            fitted = self.wire(Reduce { axes, reducer: Reducer::Sum }, &[fitted])?;
        }
        if *concrete(self.backward.outlet_fact(fitted)?)? != *shape {
            let shape: TVec<TDim> = shape.iter().map(|d| d.to_dim()).collect();
            fitted = self.wire(MultiBroadcastTo { shape: shape.into() }, &[fitted])?;
        }
        Ok(fitted)
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{}.{kind}.{}", self.node().name, self.names)
    }
}

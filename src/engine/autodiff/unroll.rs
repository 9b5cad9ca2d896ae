//! Recurrences as chains of their steps: what is no loop needs no rule of its own.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::scan::{InputMapping, Scan, iteration_count};
use tract_onnx::tract_core::ops::source::TypedSource;

/// Most nodes that unrolling may make; declutter's time grows with them.
const NODES_MAX: usize = 20_000;

/// Unrolls every recurrence of the graph. Fails where that would make too many nodes.
pub(super) fn recurrences(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let steps = if let Some(scan) = node.op_as::<Scan>() {
            Steps::of(model, node, |steps| steps.scan(scan))?
        } else if let Some(gru) = node.op_as::<GruSeq>() {
            Steps::of(model, node, |steps| steps.gru(gru))?
        } else {
            continue;
        };
        steps.apply(model)?;
    }
    model.compact()
}

/// The chain that a recurrence becomes.
struct Steps<'m> {
    model: &'m TypedModel,
    node: &'m TypedNode,
    patch: TypedModelPatch,
    inputs: TVec<OutletId>,
}

impl<'m> Steps<'m> {
    fn of(
        model: &'m TypedModel,
        node: &'m TypedNode,
        wire: impl FnOnce(&mut Self) -> TractResult<HashMap<usize, OutletId>>,
    ) -> TractResult<TypedModelPatch> {
        let mut patch = TypedModelPatch::default();
        let inputs = patch.taps(model, &node.inputs)?;
        let mut steps = Self { model, node, patch, inputs };
        let outputs = wire(&mut steps)?;
        for (slot, wire) in outputs {
            steps.patch.shunt_outside(model, OutletId::new(node.id, slot), wire)?;
        }
        Ok(steps.patch)
    }

    fn wire(&mut self, name: &str, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        let name = format!("{}.{name}", self.node.name);
        let name = self.patch.model.unique_name(name).into_owned();
        Ok(self.patch.model.wire_node(name, op, inputs)?[0])
    }

    /// Part `i` of an axis.
    fn part(&mut self, of: OutletId, axis: usize, length: usize, i: usize) -> TractResult<OutletId> {
        self.wire(&format!("part.{i}"), Slice::new(axis, i * length, (i + 1) * length), &[of])
    }

    fn scan(&mut self, scan: &Scan) -> TractResult<HashMap<usize, OutletId>> {
        let count = iteration_count(&scan.input_mapping, &self.model.node_input_facts(self.node.id)?);
        let count = count.context("a recurrence over nothing")?.to_usize()?;
        self.limit(count, scan.body.nodes.len())?;
        ensure!(scan.skip == 0, "a recurrence that skips steps has no gradient");
        let mut state: TVec<OutletId> = self.inputs.clone();
        let mut collected: HashMap<usize, (usize, bool, Vec<OutletId>)> = HashMap::new();
        let mut last = HashMap::new();
        let constants = self.constants(&scan.body)?;
        for step in 0..count {
            let outputs = self.step(scan, step, count, &state, &constants)?;
            let mut next = Vec::new();
            for (value, mapping) in outputs.iter().zip(&scan.output_mapping) {
                next.extend(mapping.state.then_some(*value));
                last.extend(mapping.last_value_slot.map(|slot| (slot, *value)));
                if let Some((slot, info)) = mapping.scan {
                    collected.entry(slot).or_insert((info.axis, info.chunk < 0, Vec::new())).2.push(*value);
                }
            }
            let slots = scan.input_mapping.iter().enumerate().filter(|(_, mapping)| mapping.is_state());
            slots.zip(next).for_each(|((slot, _), value)| state[slot] = value);
        }
        for (slot, (axis, reversed, mut values)) in collected {
            if reversed {
                values.reverse();
            }
            last.insert(slot, self.wire("all", TypedConcat::new(axis), &values)?);
        }
        Ok(last)
    }

    /// The constants of a body, once for all steps.
    fn constants(&mut self, body: &TypedModel) -> TractResult<HashMap<OutletId, OutletId>> {
        let mut constants = HashMap::new();
        for node in &body.nodes {
            if let Some(constant) = node.op_as::<Const>() {
                let name = format!("{}.{}", self.node.name, node.name);
                constants.insert(node.id.into(), self.patch.model.add_const(name, constant.val().clone())?);
            }
        }
        Ok(constants)
    }

    /// One pass through the body: its outputs.
    fn step(
        &mut self,
        scan: &Scan,
        step: usize,
        count: usize,
        state: &[OutletId],
        constants: &HashMap<OutletId, OutletId>,
    ) -> TractResult<Vec<OutletId>> {
        let mut wires = constants.clone();
        for (i, (source, mapping)) in scan.body.inputs.iter().zip(&scan.input_mapping).enumerate() {
            let wire = match mapping {
                InputMapping::Full => self.inputs[i],
                InputMapping::State => state[i],
                InputMapping::Scan(info) => {
                    let place = if info.chunk > 0 { step } else { count - 1 - step };
                    self.part(self.inputs[i], info.axis, info.chunk.unsigned_abs(), place)?
                }
            };
            wires.insert(*source, wire);
        }
        for id in scan.body.eval_order()? {
            let node = scan.body.node(id);
            if node.op_is::<TypedSource>() || node.op_is::<Const>() {
                continue;
            }
            let inputs: TVec<OutletId> = node.inputs.iter().map(|i| wires[i]).collect();
            let name = format!("{}.step{step}.{}", self.node.name, node.name);
            let outputs = self.patch.model.wire_node(name, node.op.clone(), &inputs)?;
            wires.extend(outputs.into_iter().enumerate().map(|(slot, o)| (OutletId::new(id, slot), o)));
        }
        Ok(scan.body.outputs.iter().map(|output| wires[output]).collect())
    }

    /// tract's GRU over a whole sequence: X `[batch, steps, features]`, W, R, bias `[1, 6 hidden]`, first state.
    fn gru(&mut self, op: &GruSeq) -> TractResult<HashMap<usize, OutletId>> {
        ensure!(!op.projected, "a decluttered GRU was found");
        let h = op.hidden;
        let shape = crate::engine::ops::concrete(self.model.outlet_fact(self.node.inputs[0])?)?;
        self.limit(shape[1], 8)?;
        let (x, w, r) = (self.inputs[0], self.inputs[1], self.inputs[2]);
        let bias = if op.has_bias {
            let mut bias = self.inputs[3];
            if self.patch.model.outlet_fact(bias)?.rank() == 1 {
                bias = self.wire("bias", AxisOp::Add(0), &[bias])?;
            }
            Some([self.part(bias, 1, 3 * h, 0)?, self.part(bias, 1, 3 * h, 1)?])
        } else {
            None
        };
        let product = EinSum::new("mk,nk->mn".parse()?, DatumType::F32);
        let mut state = self.wire("state", AxisOp::Rm(1), &[self.inputs[self.inputs.len() - 1]])?;
        let mut all = Vec::new();
        for step in 0..shape[1] {
            let place = if op.chunk < 0 { shape[1] - 1 - step } else { step };
            let input = self.part(x, 1, 1, place)?;
            let input = self.wire("row", AxisOp::Rm(1), &[input])?;
            let mut gates =
                [self.wire("xw", product.clone(), &[input, w])?, self.wire("hr", product.clone(), &[state, r])?];
            for (gates, bias) in gates.iter_mut().zip(bias.iter().flatten()) {
                *gates = self.wire("biased", math::add(), &[*gates, *bias])?;
            }
            state = self.wire("cell", GruEpilogue { hidden: h }, &[gates[0], gates[1], state])?;
            all.push(self.wire("y", AxisOp::Add(1), &[state])?);
        }
        let last = all[all.len() - 1];
        if op.chunk < 0 {
            all.reverse();
        }
        Ok(HashMap::from([(0, self.wire("all", TypedConcat::new(1), &all)?), (1, last)]))
    }

    fn limit(&self, count: usize, nodes: usize) -> TractResult<()> {
        let found = count.saturating_mul(nodes);
        ensure!(
            (1..=NODES_MAX).contains(&found),
            "{} runs {count} steps of {nodes} nodes; recurrences up to {NODES_MAX} nodes in all have a gradient",
            self.node.name
        );
        Ok(())
    }
}

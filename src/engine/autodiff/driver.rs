//! Reverse mode: from the outputs back to what is differentiated with respect to, one rule a node.

use tract_onnx::tract_core::internal::*;

use super::rules::{RULES, Rule};
use super::tape::Tape;

/// A graph that was differentiated.
pub(super) struct Derivative {
    /// The outputs of the graph, then the residuals.
    pub(super) forward: TypedModel,
    /// From the cotangents of `outputs`, then the residuals, to the cotangents of `wrt`. `None` stands for a cotangent
    /// of zero, where no output depends on it.
    pub(super) backward: TypedModel,
    pub(super) reached: Vec<bool>,
    /// Nodes that round, differentiated as if they did not.
    pub(super) straight_through: Vec<String>,
    /// Nodes that the gradient would have to pass, but that have no rule; where there is one, the graphs are not whole.
    pub(super) missing: Vec<Missing>,
}

/// A node that a gradient cannot pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As tract calls it.
    pub operator: String,
    pub node: String,
    /// Why not, where it is not for the operator as a whole.
    pub why: Option<String>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ({})", self.operator, self.node)?;
        self.why.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// Differentiates `outputs` of a decluttered graph of fixed shapes with respect to `wrt`.
pub(super) fn differentiate(model: &TypedModel, outputs: &[OutletId], wrt: &[OutletId]) -> TractResult<Derivative> {
    for outlet in wrt {
        let dtype = model.outlet_fact(*outlet)?.datum_type;
        ensure!(dtype.is_float(), "a tensor to be differentiated to holds {dtype:?}; only floats have a gradient");
    }
    let mut tape = Tape::new(model);
    let order = model.eval_order()?;
    mark(&mut tape, model, &order, wrt);
    for (i, output) in outputs.iter().enumerate() {
        let fact = model.outlet_fact(*output)?;
        ensure!(fact.datum_type.is_float(), "output {i} holds {:?}; only floats have a gradient", fact.datum_type);
        let seed = tape.backward.add_source(format!("seed.{i}"), fact.without_value())?;
        tape.collect(*output, seed)?;
    }
    let mut missing = Vec::new();
    for &id in order.iter().rev() {
        let node = model.node(id);
        let reached = (0..node.outputs.len()).any(|slot| tape.collected(OutletId::new(id, slot)).is_some());
        if reached && node.inputs.iter().any(|input| tape.active.contains(input)) {
            tape.turn_to(id);
            let missed = |why| Missing { operator: node.op.name().into_owned(), node: node.name.clone(), why };
            match RULES.of(&*node.op).map(|rule| pull(&mut tape, node, rule)) {
                Some(Ok(())) => {}
                Some(Err(e)) => missing.push(missed(Some(format!("{e:#}")))),
                None => missing.push(missed(None)),
            }
        }
    }
    finish(tape, model, wrt, missing)
}

/// Finds what depends on `wrt`; truth values do so in steps only.
fn mark(tape: &mut Tape, model: &TypedModel, order: &[usize], wrt: &[OutletId]) {
    tape.active.extend(wrt);
    for &id in order {
        let node = model.node(id);
        if node.inputs.iter().any(|input| tape.active.contains(input)) {
            let outlets = node.outputs.iter().enumerate().filter(|(_, o)| o.fact.datum_type != DatumType::Bool);
            tape.active.extend(outlets.map(|(slot, _)| OutletId::new(id, slot)));
        }
    }
}

/// Applies the rule of a node.
fn pull(tape: &mut Tape, node: &TypedNode, rule: &Rule) -> TractResult<()> {
    let cotangents = rule(tape, &*node.op)?;
    let (found, inputs) = (cotangents.len(), node.inputs.len());
    ensure!(found == inputs, "its rule gives {found} cotangents for {inputs} inputs");
    for (input, cotangent) in node.inputs.iter().zip(cotangents) {
        if let (Some(cotangent), true) = (cotangent, tape.active.contains(input)) {
            tape.collect(*input, cotangent)?;
        }
    }
    Ok(())
}

fn finish(tape: Tape, model: &TypedModel, wrt: &[OutletId], missing: Vec<Missing>) -> TractResult<Derivative> {
    let found: Vec<_> = wrt.iter().map(|w| tape.collected(*w)).collect();
    let reached = found.iter().map(Option::is_some).collect();
    let Tape { mut backward, residuals, straight_through, .. } = tape;
    backward.select_output_outlets(&found.into_iter().flatten().collect::<Vec<_>>())?;
    let mut forward = model.clone();
    let outputs = [model.output_outlets()?, &residuals].concat();
    forward.select_output_outlets(&outputs)?;
    Ok(Derivative { forward, backward, reached, straight_through, missing })
}

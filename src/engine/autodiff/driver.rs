//! Reverse mode: from the outputs back to what is differentiated with respect to, one rule a node.

use tract_onnx::tract_core::internal::*;

use super::rules::RULES;
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

/// A node without a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub operator: String,
    pub node: String,
    pub why: String,
}

/// Differentiates `outputs` of a decluttered graph of fixed shapes with respect to `wrt`.
pub(super) fn differentiate(
    model: &TypedModel,
    outputs: &[OutletId],
    wrt: &[OutletId],
) -> TractResult<Derivative> {
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
            if let Err(e) = pull(&mut tape, node) {
                let (operator, node) = (node.op.name().into_owned(), node.name.clone());
                missing.push(Missing { operator, node, why: format!("{e:#}") });
            }
        }
    }
    finish(tape, model, wrt, missing)
}

/// Finds what depends on `wrt`.
fn mark(tape: &mut Tape, model: &TypedModel, order: &[usize], wrt: &[OutletId]) {
    tape.active.extend(wrt);
    for &id in order {
        let node = model.node(id);
        if node.inputs.iter().any(|input| tape.active.contains(input)) {
            tape.active.extend((0..node.outputs.len()).map(|slot| OutletId::new(id, slot)));
        }
    }
}

/// Applies the rule of a node.
fn pull(tape: &mut Tape, node: &TypedNode) -> TractResult<()> {
    let rule = RULES.of(&*node.op).context("it has no gradient here")?;
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

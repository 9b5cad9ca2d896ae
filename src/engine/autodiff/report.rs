//! Whether a model has a gradient, and what it costs to run.

use tract_onnx::prelude::TypedModel;
use tract_onnx::tract_core::ops::Cost;

use super::driver::{Missing, differentiate};
use super::prepare::{Asked, Prepared, Wish};
use crate::engine::{Graph, Signature, model};
use crate::error::Result;

/// What stands between a model and its gradient. Its operators and parameters are in [`Graph`].
#[derive(Clone, Debug, Default)]
pub struct Differentiability {
    /// Nodes on the way from the inputs to the judged output that a gradient cannot pass.
    pub missing: Vec<Missing>,
    /// Nodes on that way that round, so that the gradient is the straight-through estimator's.
    pub straight_through: Vec<String>,
    /// Whether the judged output depends on a float input at all; of tokens, only inner tensors have a gradient.
    pub reached: bool,
    /// Floating-point operations of one sample, a multiplication with an addition counted as two; what only moves values
    /// counts as none.
    pub flops: u64,
}

impl Differentiability {
    /// Looks at a model under the signature in effect. Nothing is compiled or run.
    ///
    /// Fails with [`crate::Error::Invalid`] on the field `model` where the graph cannot be built, and on `wrt` or `of` as
    /// [`super::Differentiated::of`] does, save for a model without float inputs.
    pub fn of(graph: &Graph, signature: &Signature, wish: &Wish) -> Result<Self> {
        let tokens = !signature.inputs.iter().any(|i| i.dtype.is_float()) && wish.wrt.is_empty();
        let names: Vec<String> = signature.inputs.iter().take(1).map(|i| i.name.clone()).collect();
        let wrt = if tokens { names } else { wish.wrt.clone() };
        let asked = Asked::new(graph, signature, &Wish { batch: 1, wrt, ..wish.clone() })?;
        model::guard("cannot be differentiated", || {
            let Prepared { graph, of, wrt } = Prepared::new(graph, signature, &asked)?;
            let flops = flops(&graph)?;
            if tokens {
                return Ok(Self { flops, ..Self::default() });
            }
            let derivative = differentiate(&graph, &of, &wrt)?;
            let (missing, straight_through) = (derivative.missing, derivative.straight_through);
            Ok(Self { missing, straight_through, reached: derivative.reached.contains(&true), flops })
        })
    }

    /// Whether gradients with respect to the inputs can be computed.
    pub fn differentiable(&self) -> bool {
        self.reached && self.missing.is_empty()
    }
}

fn flops(graph: &TypedModel) -> anyhow::Result<u64> {
    let mut flops = 0u64;
    for id in graph.eval_order()? {
        let node = graph.node(id);
        for (cost, count) in node.op.cost(&graph.node_input_facts(id)?)? {
            let each = match cost {
                Cost::FMA(_) => 2,
                Cost::Div(_) => 1,
                _ => 0,
            };
            flops = flops.saturating_add(each * u64::try_from(count.to_i64()?).unwrap_or(0));
        }
    }
    Ok(flops)
}

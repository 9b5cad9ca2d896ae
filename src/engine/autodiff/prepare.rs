//! From an ONNX file to the graph that is differentiated.

use tract_onnx::prelude::{OutletId, TypedModel};

use super::unroll;
use crate::engine::{Axis, Graph, Signature, model};
use crate::error::{Error, Result};

/// What is differentiated with respect to what, and how many rows go through at once.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Rows of a batch; where the file fixes a batch, that one is taken. 0 stands for 1.
    pub batch: usize,
    /// Outputs or inner tensors, as in the ONNX graph; empty for the judged output.
    pub of: Vec<String>,
    /// Inputs or inner tensors, as in the ONNX graph; empty for all float inputs.
    pub wrt: Vec<String>,
}

/// An inner tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// What comes of the last convolution, in the order of the file, behind its activation.
    LastConvolution,
    /// As in the ONNX graph.
    Named(String),
}

impl Wish {
    /// The same with respect to an inner tensor too, after the inputs.
    pub fn beside(mut self, graph: &Graph, signature: &Signature, layer: Option<&Layer>) -> Result<Self> {
        let name = match layer {
            None => return Ok(self),
            Some(Layer::Named(name)) => name.clone(),
            Some(Layer::LastConvolution) => graph.last_convolution().ok_or_else(|| {
                Error::invalid("params.layer", "the model has no convolution; name an inner tensor of the ONNX graph")
            })?,
        };
        if self.wrt.is_empty() {
            self.wrt = signature.inputs.iter().filter(|i| i.dtype.is_float()).map(|i| i.name.clone()).collect();
        }
        self.wrt.push(name);
        Ok(self)
    }
}

/// A wish in the terms of a model: every name, the batch, the shapes.
pub(super) struct Asked {
    /// The graph's outputs, then inner tensors that are not among them.
    pub(super) outputs: Vec<String>,
    pub(super) of: Vec<String>,
    pub(super) wrt: Vec<String>,
    pub(super) batch: usize,
    /// Whether the graph has a sample axis; else each sample is a run of its own.
    pub(super) sample_axis: bool,
    /// Shapes of the graph's own inputs, all axes.
    pub(super) shapes: Vec<Vec<usize>>,
}

impl Asked {
    pub(super) fn new(graph: &Graph, signature: &Signature, wish: &Wish) -> Result<Self> {
        let sample_axis = graph.has_sample_axis();
        let free = sample_axis && graph.inputs[0].axes.first().and_then(Axis::fixed).is_none();
        let batch = if free { wish.batch.max(1) } else { model::compute_batch(graph, &signature.inputs)? };
        let samples = if sample_axis { vec![batch] } else { Vec::new() };
        let shapes = signature.inputs.iter().map(|i| [samples.as_slice(), &i.shape].concat()).collect();
        let of = if wish.of.is_empty() { vec![signature.output.name.clone()] } else { wish.of.clone() };
        let floats = signature.inputs.iter().filter(|i| i.dtype.is_float());
        let wrt = if wish.wrt.is_empty() { floats.map(|i| i.name.clone()).collect() } else { wish.wrt.clone() };
        if wrt.is_empty() {
            let advice = "name an inner tensor that holds floats, such as the output of an embedding";
            return Err(Error::invalid("wrt", format!("the model has no float input; {advice}")));
        }
        let mut outputs: Vec<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
        for name in of.iter().chain(&wrt) {
            if !outputs.contains(name) && !signature.inputs.iter().any(|i| i.name == *name) {
                outputs.push(name.clone());
            }
        }
        Ok(Self { outputs, of, wrt, batch, sample_axis, shapes })
    }
}

/// A graph ready to be differentiated.
pub(super) struct Prepared {
    /// Decluttered, with inner tensors among its outputs and own convolutions.
    pub(super) graph: TypedModel,
    pub(super) of: Vec<OutletId>,
    pub(super) wrt: Vec<OutletId>,
}

impl Prepared {
    pub(super) fn new(graph: &Graph, signature: &Signature, asked: &Asked) -> anyhow::Result<Self> {
        let inner = &asked.outputs[graph.outputs.len()..];
        let mut typed = model::typed(graph, &signature.inputs, &asked.shapes, inner)?;
        unroll::recurrences(&mut typed)?;
        let typed = model::settled(typed)?;
        let find = |name: &String| {
            let input = signature.inputs.iter().position(|i| i.name == *name).map(|i| typed.inputs[i]);
            let output = || asked.outputs.iter().position(|o| o == name).map(|i| typed.outputs[i]);
            input.or_else(output).ok_or_else(|| anyhow::anyhow!("no tensor is called `{name}`"))
        };
        let of = asked.of.iter().map(find).collect::<anyhow::Result<_>>()?;
        let wrt = asked.wrt.iter().map(find).collect::<anyhow::Result<_>>()?;
        Ok(Self { graph: typed, of, wrt })
    }
}

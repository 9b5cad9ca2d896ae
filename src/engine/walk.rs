//! What is checked of an ONNX file before anything of it is built: every place where a tensor or a node can stand.

use std::collections::BTreeSet;

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

use super::onnx::refuse;
use super::opsets::Operators;
use crate::error::{Error, Result};

/// Most nodes of a model, those of subgraphs and functions included. What is built of them takes some kilobytes each, and
/// what the graph is made into looks through all of them many times.
const NODES_MAX: usize = 100_000;

/// Longest name of a tensor, a node, an attribute or an operator, in bytes. Exporters write some hundred at most, and
/// names stand in messages, in records, and at every node.
const NAME_MAX: usize = 4096;

/// Most axes of a tensor, as in numpy. Each costs its share of every index that is computed.
const AXES_MAX: usize = 64;

/// Walks the file. How deep its graphs may be nested is limited where it is decoded, to 100 messages in each other, so
/// that no walk exhausts the stack.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) operators: Operators,
    nodes: usize,
    /// Elements of all initializers.
    pub(super) parameters: u64,
}

impl Walk {
    pub(super) fn model(&mut self, model: &ModelProto) -> Result<()> {
        model.graph.iter().try_for_each(|g| self.graph(g))?;
        model.functions.iter().try_for_each(|f| self.function(f))?;
        let training = model.training_info.iter().flat_map(|t| t.initialization.iter().chain(&t.algorithm));
        // What only training needs is not run, so its operators do not count; its tensors are checked all the same.
        let mut aside = Self { nodes: self.nodes, ..Self::default() };
        training.into_iter().try_for_each(|g| aside.graph(g))
    }

    fn function(&mut self, function: &FunctionProto) -> Result<()> {
        function.node.iter().try_for_each(|n| self.node(n))
    }

    fn graph(&mut self, graph: &GraphProto) -> Result<()> {
        for tensor in &graph.initializer {
            self.parameters = self.parameters.saturating_add(checked(tensor)?);
        }
        graph.sparse_initializer.iter().try_for_each(sparse)?;
        graph.input.iter().chain(&graph.output).try_for_each(|port| name("tensor", &port.name))?;
        graph.node.iter().try_for_each(|n| self.node(n))?;
        edges(graph)
    }

    fn node(&mut self, node: &NodeProto) -> Result<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let what = "the number of nodes in the model".to_owned();
            return Err(Error::Exhausted { limit: "model_nodes".to_owned(), value: NODES_MAX as u64, what });
        }
        [&node.op_type, &node.domain].into_iter().try_for_each(|text| name("operator", text))?;
        name("node", &node.name)?;
        node.input.iter().chain(&node.output).try_for_each(|text| name("tensor", text))?;
        *self.operators.entry((node.domain.clone(), node.op_type.clone())).or_default() += 1;
        for attribute in &node.attribute {
            name("attribute", &attribute.name)?;
            attribute.t.iter().chain(&attribute.tensors).try_for_each(|t| checked(t).map(drop))?;
            attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).try_for_each(sparse)?;
            attribute.g.iter().chain(&attribute.graphs).try_for_each(|g| self.graph(g))?;
        }
        Ok(())
    }
}

/// Refuses what no graph can mean: a tensor that two nodes make, an output that nothing makes.
fn edges(graph: &GraphProto) -> Result<()> {
    let given = graph.input.iter().map(|i| &i.name).chain(graph.initializer.iter().map(|t| &t.name));
    let given: BTreeSet<&String> = given.collect();
    let mut made = BTreeSet::new();
    for output in graph.node.iter().flat_map(|node| &node.output).filter(|output| !output.is_empty()) {
        if given.contains(output) || !made.insert(output) {
            return Err(refuse(&format!("makes the tensor `{output}` twice; each has one source")));
        }
    }
    match graph.output.iter().find(|output| !made.contains(&output.name) && !given.contains(&output.name)) {
        Some(output) => Err(refuse(&format!("has the output `{}`, which no node makes", output.name))),
        None => Ok(()),
    }
}

/// Refuses a name that is too long.
fn name(what: &str, text: &str) -> Result<()> {
    if text.len() <= NAME_MAX {
        return Ok(());
    }
    let begin: String = text.chars().take(40).collect();
    let found = format!("has the name `{begin}...` of a {what} with {} bytes", text.len());
    Err(refuse(&format!("{found}; {NAME_MAX} are the most")))
}

/// Elements of a tensor that lies in the file, all of it.
fn checked(tensor: &TensorProto) -> Result<u64> {
    within(tensor)?;
    name("tensor", &tensor.name)?;
    let TensorProto { name, dims, .. } = tensor;
    if dims.len() > AXES_MAX {
        let found = format!("declares the tensor `{name}` with {} axes", dims.len());
        return Err(refuse(&format!("{found}; {AXES_MAX} are the most")));
    }
    let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(u64::try_from(d).ok()?));
    match elements {
        Some(n) if n <= held(tensor) => Ok(n),
        _ => Err(refuse(&format!("declares the tensor `{name}` with shape {dims:?}, but holds less"))),
    }
}

/// Most elements that the bytes of a tensor can stand for (4-bit types hold two a byte), so that a declared shape
/// cannot ask for memory that the file does not fill.
fn held(tensor: &TensorProto) -> u64 {
    let typed = [tensor.float_data.len(), tensor.double_data.len(), tensor.int32_data.len(), tensor.int64_data.len()];
    let other = [tensor.uint64_data.len(), tensor.string_data.len(), 2 * tensor.raw_data.len()];
    typed.into_iter().chain(other).sum::<usize>() as u64
}

/// Refuses a tensor of another file: which one would be the file's own choice.
fn within(tensor: &TensorProto) -> Result<()> {
    let external = tensor.data_location == Some(DataLocation::External.into());
    if external || !tensor.external_data.is_empty() {
        let advice = "external data is never read; save the model as one file";
        let begin: String = tensor.name.chars().take(NAME_MAX).collect();
        return Err(refuse(&format!("keeps the tensor `{begin}` outside of itself: {advice}")));
    }
    Ok(())
}

/// Refuses a sparse tensor: no operator takes one, and its dense form may be of any size.
fn sparse(sparse: &SparseTensorProto) -> Result<()> {
    sparse.values.iter().chain(&sparse.indices).try_for_each(within)?;
    let name = sparse.values.as_ref().map_or("", |values| &values.name);
    let begin: String = name.chars().take(NAME_MAX).collect();
    Err(refuse(&format!("holds the sparse tensor `{begin}`, which is not read; save it as a dense one")))
}

//! What an ONNX file says of itself, read without running anything.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

use super::walk::Walk;
use super::{half, ml, opsets, quantize};
use crate::error::{Error, Result};
use crate::tensor::DType;

/// Operators that belong to the convolution before them.
const BEHIND: [&str; 9] =
    ["BatchNormalization", "Clip", "Elu", "Gelu", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu"];

/// An axis of an input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    Fixed(usize),
    /// A symbol such as `batch`, or nothing at all.
    Open(String),
}

impl Axis {
    /// The length, where the file fixes it.
    pub fn fixed(&self) -> Option<usize> {
        if let Self::Fixed(n) = self { Some(*n) } else { None }
    }
}

/// An input or output of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None` where the type is one that assay does not carry, such as a map; float16 counts as float32.
    pub dtype: Option<DType>,
    pub axes: Vec<Axis>,
}

/// A checked ONNX file.
pub struct Graph {
    pub(super) proto: ModelProto,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Operators with their number of nodes, by name; subgraphs included.
    pub operators: BTreeMap<String, u32>,
    /// Opset versions by domain.
    pub opsets: BTreeMap<String, i64>,
    /// Elements of all initializers.
    pub parameters: u64,
}

impl Graph {
    /// Reads `onnx`; refuses what is not an ONNX file, external data wherever it can stand, operators that cannot be run.
    pub fn read(onnx: &[u8]) -> Result<Self> {
        if onnx.is_empty() {
            return Err(refuse("is empty; an ONNX file was expected"));
        }
        let reader = reader();
        let mut proto = reader
            .proto_model_for_read(&mut &onnx[..])
            .map_err(|e| refuse(&format!("is not an ONNX file, or is cut off: {e:#}")))?;
        let mut walk = Walk::default();
        walk.model(&proto)?;
        let opsets = opsets::read(&proto, &reader, &walk.operators)?;
        half::widen(&mut proto);
        proto.graph.iter_mut().for_each(name_apart);
        let Some(graph) = &proto.graph else { return Err(refuse("holds no graph; is it an ONNX file?")) };
        let given = |name: &str| graph.initializer.iter().any(|t| t.name == name);
        let inputs: Vec<Port> = graph.input.iter().filter(|i| !given(&i.name)).map(port).collect();
        let outputs: Vec<Port> = graph.output.iter().map(|o| scores_of_map(port(o), graph)).collect();
        if inputs.is_empty() || outputs.is_empty() {
            let found = format!("has {} inputs and {} outputs; one of each is the least", inputs.len(), outputs.len());
            return Err(refuse(&found));
        }
        let mut operators = BTreeMap::new();
        for ((_, operator), count) in walk.operators {
            *operators.entry(operator).or_default() += count;
        }
        Ok(Self { inputs, outputs, operators, opsets, parameters: walk.parameters, proto })
    }

    /// What comes of the last convolution, in the order of the file: its output behind the normalisation and the
    /// activation that follow it alone.
    pub(super) fn last_convolution(&self) -> Option<String> {
        let nodes = || self.proto.graph.iter().flat_map(|graph| &graph.node);
        let mut output = nodes().rfind(|node| node.op_type == "Conv")?.output.first()?;
        // No more than there are operators, so that a graph in a circle ends too.
        for _ in BEHIND {
            let mut users = nodes().filter(|node| node.input.contains(output));
            match (users.next(), users.next()) {
                (Some(user), None) if BEHIND.contains(&user.op_type.as_str()) => output = user.output.first()?,
                _ => break,
            }
        }
        Some(output.clone())
    }

    /// Whether axis 0 of every input is the sample axis: open under one name (or under none), or fixed to one length.
    /// Where the inputs differ there (a sequence beside a state, a scalar), no axis is known to be the samples', so one
    /// sample is one run of the whole graph.
    pub fn has_sample_axis(&self) -> bool {
        let mut fixed = None;
        let mut name: Option<&str> = None;
        let open = self.inputs.iter().filter(|i| matches!(i.axes.first(), Some(Axis::Open(_)))).count();
        (open == 0 || open == self.inputs.len())
            && self.inputs.iter().all(|input| match input.axes.first() {
                Some(Axis::Fixed(n)) => *fixed.get_or_insert(*n) == *n,
                Some(Axis::Open(own)) => own.is_empty() || *name.get_or_insert(own) == own,
                None => false,
            })
    }
}

/// Gives nodes that would have the same name as another or as a tensor names of their own. tract calls a node without a
/// name after its first output, makes a node of every tensor, and refuses a graph in which two are called the same.
fn name_apart(graph: &mut GraphProto) {
    let tensors = graph.input.iter().map(|i| &i.name).chain(graph.initializer.iter().map(|t| &t.name));
    let mut taken: BTreeSet<String> = tensors.cloned().collect();
    for (i, node) in graph.node.iter_mut().enumerate() {
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        if !name.is_some_and(|name| taken.insert(name.clone())) {
            let mut others = (i..).map(|i| format!("{}.node{i}", node.name));
            node.name = others.find(|name| taken.insert(name.clone())).unwrap_or_default();
        }
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(name_apart);
        }
    }
}

/// tract's reader with assay's operators. What a file says of shapes inside of it is left aside: it names a batch that
/// the compute batch would contradict.
pub(super) fn reader() -> Onnx {
    let mut reader = tract_onnx::onnx().with_ignore_value_info(true);
    ml::register(&mut reader);
    quantize::register(&mut reader);
    reader
}

/// A list of maps from class to score, which a ZipMap makes, is read as the table of the scores.
fn scores_of_map(mut port: Port, graph: &GraphProto) -> Port {
    if graph.node.iter().any(|n| n.op_type == "ZipMap" && n.output.contains(&port.name)) {
        port.dtype = Some(DType::F32);
        port.axes = vec![Axis::Open(String::new()); 2];
    }
    port
}

/// An error of the file.
pub(super) fn refuse(message: &str) -> Error {
    Error::invalid("model", format!("the file {message}"))
}

fn port(info: &ValueInfoProto) -> Port {
    let tensor = info.r#type.as_ref().and_then(|t| t.value.as_ref()).map(|TypeValue::TensorType(t)| t);
    let axis = |dim: Option<&Dim>| match dim {
        Some(Dim::DimValue(n)) => usize::try_from(*n).map_or(Axis::Open(String::new()), Axis::Fixed),
        Some(Dim::DimParam(name)) => Axis::Open(name.clone()),
        None => Axis::Open(String::new()),
    };
    let shape = tensor.and_then(|t| t.shape.as_ref());
    let axes = shape.map_or(Vec::new(), |s| s.dim.iter().map(|d| axis(d.value.as_ref())).collect());
    Port { name: info.name.clone(), dtype: tensor.and_then(|t| dtype(t.elem_type)), axes }
}

fn dtype(code: i32) -> Option<DType> {
    Some(match DataType::try_from(code).ok()? {
        DataType::Float => DType::F32,
        DataType::Double => DType::F64,
        DataType::Int32 => DType::I32,
        DataType::Int64 => DType::I64,
        DataType::Uint8 => DType::U8,
        DataType::Bool => DType::Bool,
        DataType::String => DType::Text,
        _ => return None,
    })
}

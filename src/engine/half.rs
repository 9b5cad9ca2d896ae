//! float16 and bfloat16 models: read as the float32 model of the same weights, which is how onnxruntime computes them
//! on a CPU. Inputs and outputs are float32 at the border, and gradients need no second set of rules.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::f16;

const FLOAT: i32 = DataType::Float as i32;

/// Attributes that hold an element type.
const TYPES: &[&str] = &["to", "dtype", "output_dtype", "stash_type"];

/// Replaces every 16-bit float type and tensor of the model.
pub(super) fn widen(model: &mut ModelProto) {
    model.graph.iter_mut().for_each(graph);
    model.functions.iter_mut().flat_map(|f| &mut f.node).for_each(node);
}

fn graph(graph: &mut GraphProto) {
    graph.initializer.iter_mut().for_each(tensor);
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().for_each(tensor);
    }
    graph.node.iter_mut().for_each(node);
    graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(info);
}

fn node(node: &mut NodeProto) {
    node.attribute.iter_mut().for_each(attribute);
}

fn attribute(attribute: &mut AttributeProto) {
    if TYPES.contains(&attribute.name.as_str()) && i32::try_from(attribute.i).is_ok_and(is_half) {
        attribute.i = FLOAT.into();
    }
    attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(tensor);
    attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(graph);
}

fn info(info: &mut ValueInfoProto) {
    if let Some(TypeValue::TensorType(t)) = info.r#type.as_mut().and_then(|t| t.value.as_mut())
        && is_half(t.elem_type)
    {
        t.elem_type = FLOAT;
    }
}

fn is_half(code: i32) -> bool {
    matches!(DataType::try_from(code), Ok(DataType::Float16 | DataType::Bfloat16))
}

/// The same numbers as float32; both formats are subsets of it. Without raw bytes the bits stand in `int32_data`.
fn tensor(tensor: &mut TensorProto) {
    if !is_half(tensor.data_type) {
        return;
    }
    let brain = tensor.data_type == DataType::Bfloat16 as i32;
    let wide = |bits: u16| if brain { f32::from_bits(u32::from(bits) << 16) } else { f16::from_bits(bits).to_f32() };
    let raw = tensor.raw_data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let listed = tensor.int32_data.iter().map(|&v| v as u16);
    tensor.float_data = raw.chain(listed).map(wide).collect();
    tensor.raw_data = Vec::default();
    tensor.int32_data = Vec::new();
    tensor.data_type = FLOAT;
}

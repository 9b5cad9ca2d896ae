//! Changes to a graph after which it is still an ONNX file. Each gives nothing where there is nothing for it to change.

use assay::tensor::Rng;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto,
    TensorProto,
};

pub(super) type Change = fn(&mut ModelProto, &mut Rng) -> Option<()>;

/// Changes by name, and how often each is made: those that mostly leave a model that runs more often than the others.
pub(super) const CHANGES: [(&str, usize, Change); 21] = [
    ("attribute", 12, attribute),
    ("attribute dropped", 4, attribute_dropped),
    ("dimension", 6, dimension),
    ("rank", 2, rank),
    ("initializer dims", 6, initializer_dims),
    ("initializer type", 4, initializer_type),
    ("initializer length", 4, initializer_length),
    ("initializer values", 6, initializer_values),
    ("edge renamed", 2, edge_renamed),
    ("edge swapped", 6, edge_swapped),
    ("node doubled", 1, node_doubled),
    ("node dropped", 2, node_dropped),
    ("nodes reordered", 2, nodes_reordered),
    ("circle", 1, circle),
    ("operator", 4, operator),
    ("domain", 1, domain),
    ("opset", 2, opset),
    ("names", 3, names),
    ("nesting", 1, nesting),
    ("external data", 2, external_data),
    ("input type", 3, input_type),
];

/// Lengths and counts that nobody means.
const LENGTHS: [i64; 10] = [0, -1, 1, 2, 7, 1 << 16, 1 << 31, 1 << 40, i64::MAX, i64::MIN];

fn one<'a, T>(of: &'a mut [T], rng: &mut Rng) -> Option<&'a mut T> {
    if of.is_empty() { None } else { Some(&mut of[rng.below(of.len())]) }
}

/// A graph: mostly the model's own, else one inside of a node.
fn graph<'a>(model: &'a mut ModelProto, rng: &mut Rng) -> Option<&'a mut GraphProto> {
    let own = model.graph.as_mut()?;
    let nests = |node: &NodeProto| node.attribute.iter().any(|a| a.g.is_some());
    if rng.below(2) == 0 && own.node.iter().any(nests) {
        let nodes = own.node.iter_mut().filter(|node| nests(node));
        return nodes.flat_map(|node| node.attribute.iter_mut().filter_map(|a| a.g.as_mut())).next();
    }
    Some(own)
}

fn node<'a>(model: &'a mut ModelProto, rng: &mut Rng) -> Option<&'a mut NodeProto> {
    one(&mut graph(model, rng)?.node, rng)
}

fn tensor<'a>(model: &'a mut ModelProto, rng: &mut Rng) -> Option<&'a mut TensorProto> {
    one(&mut graph(model, rng)?.initializer, rng)
}

fn attribute(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let attribute = one(&mut node(model, rng)?.attribute, rng)?;
    let length = LENGTHS[rng.below(LENGTHS.len())];
    match rng.below(4) {
        0 if !attribute.ints.is_empty() => *one(&mut attribute.ints, rng)? = length,
        1 if !attribute.ints.is_empty() => attribute.ints.push(length),
        0 if !attribute.floats.is_empty() => {
            *one(&mut attribute.floats, rng)? = [f32::NAN, f32::INFINITY, f32::MIN, 1e-40][rng.below(4)];
        }
        1 if !attribute.floats.is_empty() => attribute.floats.truncate(1),
        0 | 1 if !attribute.s.is_empty() => attribute.s = b"\xffmystery".to_vec(),
        2 => attribute.r#type = if rng.below(2) == 0 { AttributeType::Floats } else { AttributeType::Tensor }.into(),
        _ => (attribute.i, attribute.f) = (length, f32::INFINITY),
    }
    Some(())
}

fn attribute_dropped(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let attributes = &mut node(model, rng)?.attribute;
    (!attributes.is_empty()).then(|| drop(attributes.remove(rng.below(attributes.len()))))
}

fn axes<'a>(model: &'a mut ModelProto, rng: &mut Rng) -> Option<&'a mut Vec<Dimension>> {
    let graph = graph(model, rng)?;
    let info = one(if rng.below(3) == 0 { &mut graph.output } else { &mut graph.input }, rng)?;
    let TypeValue::TensorType(tensor) = info.r#type.as_mut()?.value.as_mut()?;
    Some(&mut tensor.shape.as_mut()?.dim)
}

fn dimension(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let axis = one(axes(model, rng)?, rng)?;
    axis.value = match rng.below(8) {
        0 => None,
        1 => Some(Dim::DimParam("batch * (".to_owned())),
        _ => Some(Dim::DimValue(LENGTHS[rng.below(LENGTHS.len())])),
    };
    Some(())
}

fn rank(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let axes = axes(model, rng)?;
    match rng.below(3) {
        0 => axes.clear(),
        1 => drop(axes.pop()),
        _ => axes.resize(axes.len() + 30, Dimension { value: Some(Dim::DimValue(2)), ..Default::default() }),
    }
    Some(())
}

fn initializer_dims(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let dims = &mut tensor(model, rng)?.dims;
    match rng.below(4) {
        0 => dims.reverse(),
        1 => dims.push(1),
        2 => dims.extend([1 << 32, 1 << 32]),
        _ => *one(dims, rng)? = LENGTHS[rng.below(LENGTHS.len())],
    }
    Some(())
}

fn initializer_type(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let other = rng.below(30) as i32 - 2;
    tensor(model, rng).map(|tensor| tensor.data_type = other)
}

fn initializer_length(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let tensor = tensor(model, rng)?;
    match rng.below(3) {
        0 => tensor.raw_data.push(1),
        1 => drop(tensor.raw_data.pop()),
        _ => (tensor.raw_data, tensor.float_data) = (Vec::new(), vec![1.0; 3]),
    }
    Some(())
}

fn initializer_values(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let byte = [0, 0x7f, 0x80, 0xff][rng.below(4)];
    let tensor = tensor(model, rng)?;
    tensor.raw_data.fill(byte);
    tensor.float_data.fill(f32::from_bits(u32::from_le_bytes([byte; 4])));
    tensor.int64_data.fill(i64::from_le_bytes([byte; 8]));
    Some(())
}

fn edge_renamed(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let node = node(model, rng)?;
    let edges = if rng.below(2) == 0 { &mut node.input } else { &mut node.output };
    *one(edges, rng)? = ["", "nowhere"][rng.below(2)].to_owned();
    Some(())
}

fn edge_swapped(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let graph = graph(model, rng)?;
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.iter().chain(&n.input)).cloned().collect();
    let node = one(&mut graph.node, rng)?;
    *one(&mut node.input, rng)? = names[rng.below(names.len())].clone();
    Some(())
}

fn node_doubled(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let nodes = &mut graph(model, rng)?.node;
    let copy = one(nodes, rng)?.clone();
    nodes.insert(rng.below(nodes.len() + 1), copy);
    Some(())
}

fn node_dropped(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let nodes = &mut graph(model, rng)?.node;
    (!nodes.is_empty()).then(|| drop(nodes.remove(rng.below(nodes.len()))))
}

fn nodes_reordered(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let nodes = &mut graph(model, rng)?.node;
    (nodes.len() > 1).then(|| nodes.reverse())
}

fn circle(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let nodes = &mut graph(model, rng)?.node;
    let later = nodes.last()?.output.first()?.clone();
    *nodes.first_mut()?.input.first_mut()? = later;
    Some(())
}

fn operator(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    const OPERATORS: [&str; 14] = [
        "Loop",
        "If",
        "Scan",
        "Conv",
        "Reshape",
        "Expand",
        "Tile",
        "Range",
        "Pad",
        "Resize",
        "Gather",
        "ConstantOfShape",
        "LSTM",
        "TreeEnsembleClassifier",
    ];
    OPERATORS[rng.below(OPERATORS.len())].clone_into(&mut node(model, rng)?.op_type);
    Some(())
}

fn domain(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    node(model, rng).map(|node| node.domain = "com.example".to_owned())
}

fn opset(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let version = [i64::MIN, -1, 0, 1, 6, 13, 22, 99, i64::MAX][rng.below(9)];
    match rng.below(3) {
        0 => model.opset_import.clear(),
        1 => model.opset_import.push(OperatorSetIdProto { domain: String::new(), version }),
        _ => one(&mut model.opset_import, rng)?.version = version,
    }
    Some(())
}

fn names(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let name = ["a\0b", "../../etc/passwd", "", "{}%s"].map(str::to_owned)[rng.below(4)].clone();
    let name = if rng.below(3) == 0 { "n".repeat(1 << 20) } else { name };
    let graph = graph(model, rng)?;
    match rng.below(4) {
        0 => one(&mut graph.input, rng)?.name = name,
        1 => one(&mut graph.output, rng)?.name = name,
        2 => one(&mut graph.initializer, rng)?.name = name,
        _ => one(&mut graph.node, rng)?.name = name,
    }
    Some(())
}

/// The graph inside of an `If` inside of an `If`, and so on.
fn nesting(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let own = model.graph.as_mut()?;
    let depth = [2, 20, 60][rng.below(3)];
    let mut inner = GraphProto { output: own.output.clone(), node: own.node.clone(), ..Default::default() };
    for _ in 0..depth {
        let branch = |name: &str| AttributeProto {
            name: name.to_owned(),
            r#type: AttributeType::Graph.into(),
            g: Some(inner.clone()),
            ..Default::default()
        };
        // One branch is full: with two, the file would double at every level.
        let nested =
            NodeProto { op_type: "If".to_owned(), attribute: vec![branch("then_branch")], ..Default::default() };
        inner = GraphProto { node: vec![nested], output: own.output.clone(), ..Default::default() };
    }
    own.node.extend(inner.node);
    Some(())
}

fn outside() -> TensorProto {
    let entry = StringStringEntryProto { key: "location".to_owned(), value: "../../etc/passwd".to_owned() };
    TensorProto {
        dims: vec![1],
        data_type: 1,
        name: "outside".to_owned(),
        data_location: Some(DataLocation::External.into()),
        external_data: vec![entry],
        ..Default::default()
    }
}

/// A tensor that lies in another file, at each place where a tensor can stand.
fn external_data(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let sparse = || SparseTensorProto { values: Some(outside()), indices: Some(outside()), dims: vec![1] };
    let constant = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor.into(),
        t: Some(outside()),
        ..Default::default()
    };
    let graph = graph(model, rng)?;
    match rng.below(5) {
        0 => graph.initializer.push(outside()),
        1 => graph.sparse_initializer.push(sparse()),
        2 => one(&mut graph.node, rng)?.attribute.push(constant),
        3 => {
            let sparse = AttributeProto { t: None, sparse_tensor: Some(sparse()), ..constant };
            one(&mut graph.node, rng)?.attribute.push(sparse);
        }
        _ => {
            let tensor = one(&mut graph.initializer, rng)?;
            let TensorProto { data_location, external_data, .. } = outside();
            (tensor.data_location, tensor.external_data) = (data_location, external_data);
        }
    }
    Some(())
}

fn input_type(model: &mut ModelProto, rng: &mut Rng) -> Option<()> {
    let other = rng.below(30) as i32 - 2;
    let info = one(&mut graph(model, rng)?.input, rng)?;
    let TypeValue::TensorType(tensor) = info.r#type.as_mut()?.value.as_mut()?;
    tensor.elem_type = other;
    Some(())
}

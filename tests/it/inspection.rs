//! What an ONNX file may not hold, refused when it is read and before anything of it is built.

use assay::engine::Graph;
use assay::error::Error;
use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, StringStringEntryProto,
    TensorProto, TrainingInfoProto,
};

use crate::server::MODEL;

/// The error of the digits' network with a change.
fn refused(change: impl FnOnce(&mut ModelProto, &mut GraphProto)) -> Error {
    let mut model = ModelProto::decode(MODEL).unwrap();
    let mut graph = model.graph.take().unwrap();
    change(&mut model, &mut graph);
    model.graph = Some(graph);
    Graph::read(&model.encode_to_vec()).err().unwrap()
}

fn words(change: impl FnOnce(&mut ModelProto, &mut GraphProto)) -> String {
    match refused(change) {
        Error::Invalid(violations) => {
            assert!(violations.iter().all(|v| v.field == "model"), "{violations:?}");
            violations.into_iter().map(|v| v.message).collect()
        }
        other => other.to_string(),
    }
}

/// Ones of a shape, in bytes enough for so many.
fn ones(dims: &[i64], count: usize) -> TensorProto {
    TensorProto {
        name: "ones".to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        float_data: vec![1.0; count],
        ..Default::default()
    }
}

/// A tensor that lies in another file, as one of both marks says.
fn outside(by_location: bool) -> TensorProto {
    let entry = StringStringEntryProto { key: "location".to_owned(), value: "../../etc/passwd".to_owned() };
    let mut tensor = ones(&[1], 1);
    if by_location {
        tensor.data_location = Some(DataLocation::External.into());
    } else {
        tensor.external_data.push(entry);
    }
    tensor
}

/// A node that holds an attribute.
fn holder(attribute: AttributeProto) -> NodeProto {
    NodeProto { op_type: "Constant".to_owned(), attribute: vec![attribute], ..Default::default() }
}

#[test]
fn external_data_is_refused_wherever_a_tensor_can_stand() {
    for by_location in [true, false] {
        let tensor = || outside(by_location);
        let values = || SparseTensorProto { values: Some(tensor()), ..Default::default() };
        let indices =
            || SparseTensorProto { values: Some(ones(&[1], 1)), indices: Some(tensor()), ..Default::default() };
        let inner = || GraphProto { initializer: vec![tensor()], ..Default::default() };
        let attribute = |fill: &dyn Fn(&mut AttributeProto)| {
            let mut attribute = AttributeProto::default();
            fill(&mut attribute);
            holder(attribute)
        };
        let nodes = [
            attribute(&|a| a.t = Some(tensor())),
            attribute(&|a| a.tensors = vec![ones(&[1], 1), tensor()]),
            attribute(&|a| a.sparse_tensor = Some(values())),
            attribute(&|a| a.sparse_tensor = Some(indices())),
            attribute(&|a| a.sparse_tensors = vec![values()]),
            attribute(&|a| a.g = Some(inner())),
            attribute(&|a| a.graphs = vec![GraphProto::default(), inner()]),
        ];
        let training = |t: TrainingInfoProto| words(|m, _| m.training_info.push(t));
        let mut found: Vec<String> = nodes.into_iter().flat_map(everywhere).collect();
        found.extend([
            words(|_, g| g.initializer.push(tensor())),
            words(|_, g| g.sparse_initializer.push(values())),
            words(|_, g| g.sparse_initializer.push(indices())),
            training(TrainingInfoProto { initialization: Some(inner()), ..Default::default() }),
            training(TrainingInfoProto { algorithm: Some(inner()), ..Default::default() }),
        ]);
        for (place, message) in found.iter().enumerate() {
            assert!(message.contains("keeps the tensor `ones` outside of itself"), "{place}: {message}");
            assert!(!message.contains("passwd"), "{place}: {message}");
        }
    }
}

/// The words about a node in the graph, in a graph inside of it, in a function, and in what trains the model.
fn everywhere(node: NodeProto) -> [String; 4] {
    let inner = || GraphProto { node: vec![node.clone()], ..Default::default() };
    let branch = || holder(AttributeProto { g: Some(inner()), ..Default::default() });
    let function = || FunctionProto { node: vec![node.clone()], ..Default::default() };
    [
        words(|_, g| g.node.push(node.clone())),
        words(|_, g| g.node.push(branch())),
        words(|m, _| m.functions.push(function())),
        words(|m, _| m.training_info.push(TrainingInfoProto { algorithm: Some(inner()), ..Default::default() })),
    ]
}

#[test]
fn what_a_graph_may_have_is_limited() {
    let long = "n".repeat(5000);
    let constant = |t: TensorProto| holder(AttributeProto { t: Some(t), ..Default::default() });
    for (found, expected) in [
        (words(|_, g| g.node[0].name.clone_from(&long)), "of a node with 5000 bytes; 4096 are the most"),
        (words(|_, g| g.input[0].name.clone_from(&long)), "of a tensor with 5000 bytes"),
        (words(|_, g| g.node.push(constant(ones(&[1 << 32, 1 << 32], 1)))), "but holds less"),
        (words(|_, g| g.node.push(constant(ones(&[-1], 1)))), "with shape [-1], but holds less"),
        (words(|_, g| g.initializer.push(ones(&[1 << 40], 1))), "with shape [1099511627776], but holds less"),
        (words(|_, g| g.initializer.push(ones(&[1; 65], 1))), "with 65 axes; 64 are the most"),
        (words(|_, g| g.sparse_initializer.push(SparseTensorProto::default())), "holds the sparse tensor"),
        (words(|_, g| g.node.push(g.node[0].clone())), "twice; each has one source"),
        (words(|_, g| g.output[0].name = "nowhere".to_owned()), "has the output `nowhere`, which no node makes"),
        (words(|m, _| m.opset_import[0].version = 99), "states opset 99 of ai.onnx; 7 to 24 were expected"),
        (words(|m, _| m.opset_import.clear()), "states no opset of ai.onnx"),
        (words(|_, g| g.node.push(nested(60))), "recursion limit reached"),
        (words(|_, g| g.node[0].domain = "com.example".to_owned()), "cannot be run: com.example."),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn too_many_nodes_are_a_limit() {
    let idle = NodeProto { op_type: "Identity".to_owned(), ..Default::default() };
    let many = vec![idle; 100_001];
    let inner = GraphProto { node: many.clone(), ..Default::default() };
    let branch = holder(AttributeProto { g: Some(inner.clone()), ..Default::default() });
    let training = TrainingInfoProto { algorithm: Some(inner), ..Default::default() };
    for error in [
        refused(|_, g| g.node.extend(many.clone())),
        refused(|_, g| g.node.push(branch)),
        refused(|m, _| m.functions.push(FunctionProto { node: many.clone(), ..Default::default() })),
        refused(|m, _| m.training_info.push(training)),
    ] {
        assert!(matches!(&error, Error::Exhausted { limit, .. } if limit == "model_nodes"), "{error}");
    }
}

/// Graphs in nodes in graphs.
fn nested(depth: usize) -> NodeProto {
    (0..depth).fold(NodeProto::default(), |inner, _| {
        let graph = GraphProto { node: vec![inner], ..Default::default() };
        holder(AttributeProto { g: Some(graph), ..Default::default() })
    })
}

/// Text that means far more than it says, and text that is nested beyond all reason.
#[test]
fn signatures_that_would_blow_up_are_refused_at_once() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs += &format!("a{level}: &a{level} [{below}]\n");
    }
    let graph = Graph::read(MODEL).unwrap();
    for yaml in [laughs, "[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        let begin = std::time::Instant::now();
        let error = assay::engine::Model::of(&graph, &yaml).err().unwrap().to_string();
        assert!(error.starts_with("signature: ") && error.len() < 1000, "{error}");
        assert!(begin.elapsed().as_secs() < 20, "{error}: {:?}", begin.elapsed());
    }
}

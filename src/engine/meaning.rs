//! What a file says of its outputs: the operator behind one, the labels of its classes.

use std::collections::{HashMap, HashSet, VecDeque};

use tract_onnx::pb::{NodeProto, TensorProto};

use super::onnx::Graph;
use super::signature::OutputKind;

/// The classes of a classifier as its file calls them, in the order of its scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Names(Vec<String>),
}

impl Graph {
    /// The node that makes `output`, looking through operators that only move values.
    fn last_node(&self, output: &str) -> Option<&NodeProto> {
        let graph = self.proto.graph.as_ref()?;
        let mut name = output;
        // A graph without cycles ends the walk; a malicious one is cut off by its own number of nodes.
        for _ in 0..=graph.node.len() {
            let node = graph.node.iter().find(|n| n.output.iter().any(|o| o == name))?;
            match node.op_type.as_str() {
                "Identity" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "ZipMap" => {
                    name = node.input.first()?;
                }
                _ => return Some(node),
            }
        }
        None
    }

    /// What `output` holds by the operator that makes it; `None` where the operator leaves it open.
    pub(super) fn kind_of(&self, output: &str) -> Option<OutputKind> {
        let node = self.last_node(output)?;
        let text = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| a.s.as_slice());
        let post = text("post_transform").unwrap_or(b"NONE");
        match node.op_type.as_str() {
            "Softmax" => Some(OutputKind::Probabilities),
            "Gemm" | "MatMul" | "LogSoftmax" | "Conv" => Some(OutputKind::Logits),
            "Normalizer" if text("norm") == Some(b"L1") => Some(OutputKind::Probabilities),
            "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier"
                if matches!(post, b"LOGISTIC" | b"SOFTMAX" | b"SOFTMAX_ZERO") =>
            {
                Some(OutputKind::Probabilities)
            }
            "LinearClassifier" => Some(OutputKind::Logits),
            "SVMClassifier" => {
                let platt = node.attribute.iter().any(|a| a.name == "prob_a" && !a.floats.is_empty());
                Some(if platt { OutputKind::Probabilities } else { OutputKind::Logits })
            }
            "LinearRegressor" | "SVMRegressor" | "TreeEnsembleRegressor" => Some(OutputKind::Value),
            _ => None,
        }
    }

    /// The labels of `size` classes nearest to `output`, else to any other output: a classifier's own, those that a
    /// ZipMap writes beside the scores, or the table that the winning index is looked up in.
    pub(super) fn labels(&self, output: &str, size: usize) -> Option<Labels> {
        let graph = self.proto.graph.as_ref()?;
        let makers: HashMap<&str, &NodeProto> =
            graph.node.iter().flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n))).collect();
        let tables: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        let others = self.outputs.iter().map(|p| p.name.as_str());
        let mut seen = HashSet::new();
        for start in std::iter::once(output).chain(others) {
            let mut queue = VecDeque::from([start]);
            while let Some(name) = queue.pop_front() {
                let Some(node) = makers.get(name).filter(|_| seen.insert(name)) else { continue };
                let table = node.input.first().and_then(|name| tables.get(name.as_str()));
                let listed = listed(node).or_else(|| {
                    let looked_up = node.op_type == "ArrayFeatureExtractor";
                    table.filter(|_| looked_up).and_then(|table| stored(table))
                });
                match listed {
                    Some(Labels::Ints(found)) if found.len() == size => return Some(Labels::Ints(found)),
                    Some(Labels::Names(found)) if found.len() == size => return Some(Labels::Names(found)),
                    _ => queue.extend(node.input.iter().map(String::as_str)),
                }
            }
        }
        None
    }
}

/// The labels in a node's attributes.
fn listed(node: &NodeProto) -> Option<Labels> {
    let list = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let encoder = node.op_type == "LabelEncoder";
    let names = list(if encoder { "values_strings" } else { "classlabels_strings" });
    if let Some(names) = names.filter(|a| !a.strings.is_empty()) {
        return Some(Labels::Names(names.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()));
    }
    let ints = list("classlabels_ints").or_else(|| list("classlabels_int64s"))?;
    (!ints.ints.is_empty()).then(|| Labels::Ints(ints.ints.clone()))
}

/// The labels in a tensor of the file.
fn stored(tensor: &TensorProto) -> Option<Labels> {
    if !tensor.string_data.is_empty() {
        let names = tensor.string_data.iter().map(|s| String::from_utf8_lossy(s).into_owned());
        return Some(Labels::Names(names.collect()));
    }
    let wide = tensor.raw_data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()));
    let narrow = tensor.raw_data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap_or_default()));
    match tensor.data_type {
        7 => Some(Labels::Ints(wide.chain(tensor.int64_data.iter().copied()).collect())),
        6 => Some(Labels::Ints(narrow.chain(tensor.int32_data.iter().copied()).map(i64::from).collect())),
        _ => None,
    }
}

//! A model that is one tree ensemble, shown as such.

use tract_onnx::pb::NodeProto;

use super::ml::Own;
use super::ml::ensemble::{Ensemble, Node, Sum};
use super::model::Plan;
use super::onnx::Graph;
use super::signature::Signature;

/// Most features on a way from a root to a leaf: a set of them is a number of 64 bits.
const FEATURES_MAX: usize = 64;

/// Most steps from a root to a leaf, so that a walk may call itself at each.
const DEPTH_MAX: u32 = 1024;

/// Most ways from the roots to leaves. Where nodes share children there are more of them than leaves.
const WAYS_MAX: u32 = 1 << 22;

/// A tree ensemble whose leaves, one of each tree, add up to the scores before the post transform, save a constant. Ways
/// down its trees are bounded in number, in length, and in the features that they ask about.
#[derive(Clone, Debug)]
pub struct Trees {
    sum: Sum,
    widest: usize,
}

impl Trees {
    /// The ensemble that a model is, or what is in the way.
    pub(super) fn of(graph: &Graph, plan: &Plan, signature: &Signature) -> Result<Self, String> {
        graph.lone_ensemble(&signature.output.name)?;
        if signature.inputs.iter().any(|input| !input.preprocess.is_empty()) {
            return Err("its signature's preprocessing stands before it".to_owned());
        }
        let sums = plan.model().nodes.iter().filter_map(|node| node.op_as::<Own>()?.0.trees());
        let [sum] = &sums.collect::<Vec<_>>()[..] else { return Err("its trees are not added up".to_owned()) };
        if signature.output.size != sum.ensemble.targets {
            let (scores, values) = (signature.output.size, sum.ensemble.targets);
            return Err(format!("it has {scores} scores, its trees give {values} values"));
        }
        Self::new(sum.clone())
    }

    /// Checks the bounds.
    pub(crate) fn new(sum: Sum) -> Result<Self, String> {
        let deepest = sum.ensemble.trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
        if deepest > DEPTH_MAX {
            return Err(format!("a tree of its has {deepest} levels, {DEPTH_MAX} are the most"));
        }
        let mut survey = Survey { nodes: &sum.ensemble.nodes, features: Vec::new(), ways: 0, widest: 0 };
        sum.ensemble.trees.iter().try_for_each(|tree| survey.visit(tree.root))?;
        let widest = survey.widest;
        Ok(Self { sum, widest })
    }

    /// Trees of one target with these values at their leaves.
    #[cfg(test)]
    pub(crate) fn grown(nodes: Vec<Node>, roots: &[u32], values: &[f64], features: usize) -> Result<Self, String> {
        use super::ml::ensemble::{Tree, Weight};
        let trees = roots.iter().map(|root| Tree { root: *root, depth: 0 }).collect();
        let weights = values.iter().map(|value| Weight { target: 0, value: *value }).collect();
        let starts = (0..).take(nodes.len() + 1).collect();
        let ensemble = Ensemble { trees, nodes, starts, weights, targets: 1, features };
        Self::new(Sum { ensemble: std::sync::Arc::new(ensemble), factor: 1.0, folded: None })
    }

    pub(crate) fn ensemble(&self) -> &Ensemble {
        &self.sum.ensemble
    }

    /// Most features on a way from a root to a leaf.
    pub(crate) fn widest(&self) -> usize {
        self.widest
    }

    /// The target whose weights make the score of a class, and what each of them counts. Where the first class's score
    /// stands for both, its own is the opposite; a score that only the second has is its alone.
    pub(crate) fn score(&self, class: usize) -> (u32, f64) {
        match self.sum.folded {
            Some(target) => (target, if class == 0 { -self.sum.factor } else { self.sum.factor }),
            None => (u32::try_from(class).unwrap_or(u32::MAX), self.sum.factor),
        }
    }
}

/// A walk of all ways down.
struct Survey<'a> {
    nodes: &'a [Node],
    /// On the way to a node, each once.
    features: Vec<u32>,
    ways: u32,
    widest: usize,
}

impl Survey<'_> {
    /// It calls itself no deeper than the trees are.
    fn visit(&mut self, at: u32) -> Result<(), String> {
        let node = self.nodes[at as usize];
        if node.is_leaf(at) {
            self.ways += 1;
            self.widest = self.widest.max(self.features.len());
            let many = self.ways > WAYS_MAX;
            return if many { Err(format!("its trees have more than {WAYS_MAX} leaves")) } else { Ok(()) };
        }
        let fresh = !self.features.contains(&node.feature);
        if fresh && self.features.len() == FEATURES_MAX {
            return Err(format!("a way down its trees asks about more than {FEATURES_MAX} features"));
        }
        self.features.extend(fresh.then_some(node.feature));
        self.visit(node.left)?;
        self.visit(node.right)?;
        if fresh {
            self.features.pop();
        }
        Ok(())
    }
}

impl Graph {
    /// Finds one tree ensemble between the input and `output`, with nothing before it that changes a number and nothing
    /// behind it but what makes scores of its values; or says what else there is.
    fn lone_ensemble(&self, output: &str) -> Result<(), String> {
        let named = |operator: &&String| operator.starts_with("TreeEnsemble");
        let count: u32 = self.operators.keys().filter(named).map(|operator| self.operators[operator]).sum();
        match (count, self.inputs.as_slice()) {
            (0, _) => return Err("it has no tree ensemble".to_owned()),
            (1, [_]) => {}
            (1, inputs) => return Err(format!("it has {} inputs", inputs.len())),
            _ => return Err(format!("it has {count} tree ensembles")),
        }
        let behind = |node: &NodeProto| {
            matches!(
                node.op_type.as_str(),
                "Identity" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "ZipMap"
            ) || matches!(node.op_type.as_str(), "Softmax" | "Sigmoid" | "Normalizer")
        };
        let (name, ensemble) = self.back(output, behind);
        let ensemble = ensemble.ok_or("its scores are not the tree ensemble's")?;
        if !ensemble.op_type.starts_with("TreeEnsemble") {
            return Err(format!("{} stands behind it", ensemble.op_type));
        }
        if ensemble.op_type == "TreeEnsembleClassifier" && ensemble.output.first().is_some_and(|label| label == name) {
            return Err("its judged output is the class alone".to_owned());
        }
        let input = ensemble.input.first().map_or("", String::as_str);
        match self.back(input, |node| node.op_type == "Identity" || widens(node)) {
            (name, None) if name == self.inputs[0].name => Ok(()),
            (_, Some(node)) => Err(format!("{} stands before it", node.op_type)),
            (name, None) => Err(format!("`{name}` stands before it")),
        }
    }

    /// The first tensor on the way back from `name`, by first inputs, that no node that is `passed` makes; and its node.
    fn back<'g>(&'g self, name: &'g str, passed: impl Fn(&NodeProto) -> bool) -> (&'g str, Option<&'g NodeProto>) {
        let nodes = self.proto.graph.as_ref().map_or(&[][..], |graph| &graph.node);
        let (mut name, mut maker) = (name, None);
        // A graph without cycles ends the walk; a malicious one is cut off by its own number of nodes.
        for _ in 0..=nodes.len() {
            maker = nodes.iter().find(|node| node.output.iter().any(|o| o == name));
            match maker {
                Some(node) if passed(node) => name = node.input.first().map_or("", String::as_str),
                _ => break,
            }
        }
        (name, maker)
    }
}

/// Whether a node only writes a float of 32 bits as one of 32 or 64, in which rows are read.
fn widens(node: &NodeProto) -> bool {
    const FLOAT: i64 = 1;
    const DOUBLE: i64 = 11;
    let to = node.attribute.iter().find(|attribute| attribute.name == "to").map(|attribute| attribute.i);
    node.op_type == "Cast" && matches!(to, Some(FLOAT | DOUBLE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tract_onnx::pb::{GraphProto, ModelProto};

    use super::*;
    use crate::engine::ml::ensemble::Tree;
    use crate::engine::onnx::Port;

    #[test]
    fn what_would_take_too_long_is_refused() {
        // Every node goes to the next one whatever the row says: 2^30 ways down 31 nodes.
        let last = 30;
        let node = |i: u32| {
            let next = if i == last { i } else { i + 1 };
            Node { threshold: 0.0, feature: i % 5, left: next, right: next, equal: false, nan_left: false }
        };
        let values = vec![1.0; 31];
        let refused = Trees::grown((0..=last).map(node).collect(), &[0], &values, 5).unwrap_err();
        assert!(refused.contains("more than 4194304 leaves"), "{refused}");
        let deep = Tree { root: 0, depth: 1025 };
        let nodes = vec![Node { left: 0, right: 0, ..node(0) }];
        let ensemble =
            Ensemble { trees: vec![deep], nodes, starts: vec![0, 0], weights: Vec::new(), targets: 1, features: 1 };
        let refused = Trees::new(Sum { ensemble: Arc::new(ensemble), factor: 1.0, folded: None }).unwrap_err();
        assert!(refused.contains("1025 levels"), "{refused}");
    }

    /// What is said of a graph from `x` to `y` of nodes with an operator, an input and an output.
    fn said(nodes: &[(&str, &str, &str)]) -> String {
        let node = |(operator, input, output): &(&str, &str, &str)| NodeProto {
            op_type: (*operator).to_owned(),
            input: vec![(*input).to_owned()],
            output: vec![(*output).to_owned()],
            ..NodeProto::default()
        };
        let port = |name: &str| Port { name: name.to_owned(), dtype: None, axes: Vec::new() };
        let mut operators = BTreeMap::new();
        nodes.iter().for_each(|(operator, ..)| *operators.entry((*operator).to_owned()).or_default() += 1);
        let graph = GraphProto { node: nodes.iter().map(node).collect(), ..GraphProto::default() };
        let graph = Graph {
            proto: ModelProto { graph: Some(graph), ..ModelProto::default() },
            inputs: vec![port("x")],
            outputs: vec![port("y")],
            operators,
            opsets: BTreeMap::new(),
            parameters: 0,
        };
        graph.lone_ensemble("y").err().unwrap_or_default()
    }

    #[test]
    fn what_stands_beside_the_trees_is_named() {
        let trees = "TreeEnsembleRegressor";
        for (nodes, expect) in [
            (&[(trees, "x", "y")][..], ""),
            (&[("Identity", "x", "a"), (trees, "a", "b"), ("Softmax", "b", "y")], ""),
            (&[("Scaler", "x", "a"), (trees, "a", "y")], "Scaler stands before it"),
            (&[("Cast", "x", "a"), (trees, "a", "y")], "Cast stands before it"),
            (&[(trees, "x", "a"), ("Mul", "a", "y")], "Mul stands behind it"),
            (&[(trees, "x", "a"), ("Gemm", "x", "y")], "Gemm stands behind it"),
            (&[(trees, "weights", "y")], "`weights` stands before it"),
            (&[(trees, "x", "a"), (trees, "a", "y")], "it has 2 tree ensembles"),
            (&[("TreeEnsembleClassifier", "x", "y")], "its judged output is the class alone"),
            (&[("Gemm", "x", "y")], "it has no tree ensemble"),
            // A circle ends.
            (&[(trees, "x", "a"), ("Cast", "y", "y")], "Cast stands behind it"),
        ] {
            assert_eq!(said(nodes), expect, "{nodes:?}");
        }
    }
}

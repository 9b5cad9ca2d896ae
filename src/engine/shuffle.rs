//! A model that has learnt nothing: the same graph with its weights in another order.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::ml;
use super::onnx::Graph;
use crate::tensor::Rng;

/// Attributes of the operators of ai.onnx.ml that hold weights: of linear models, of support vectors, of leaves.
const WEIGHTS: [&str; 7] = [
    "coefficients",
    "support_vectors",
    "class_weights",
    "class_weights_as_tensor",
    "target_weights",
    "target_weights_as_tensor",
    "leaf_weights",
];

impl Graph {
    /// The graph with the entries of every weight in a random order, all layers at once (Adebayo and others 2018,
    /// arXiv:1810.03292). Their distribution stays, so that scores keep about the size they had.
    ///
    /// Weights are float and 8-bit tensors of two axes or more, and what trees, linear models and support vectors
    /// hold; biases and figures of normalisation stay.
    #[must_use]
    pub fn randomised(mut self, seed: u64) -> Self {
        let mut rng = Rng::new(seed, "randomised", "", 0);
        self.proto.graph.iter_mut().for_each(|g| graph(g, &mut rng));
        self.proto.functions.iter_mut().flat_map(|f| &mut f.node).for_each(|n| node(n, &mut rng));
        self
    }
}

fn graph(graph: &mut GraphProto, rng: &mut Rng) {
    graph.initializer.iter_mut().filter(|t| t.dims.len() > 1).for_each(|t| tensor(t, rng));
    graph.node.iter_mut().for_each(|n| node(n, rng));
}

fn node(node: &mut NodeProto, rng: &mut Rng) {
    let classical = node.domain == ml::DOMAIN;
    for attribute in &mut node.attribute {
        let AttributeProto { name, t, floats, g, graphs, .. } = attribute;
        let weight = classical && WEIGHTS.contains(&name.as_str());
        t.iter_mut().filter(|t| weight || (!classical && t.dims.len() > 1)).for_each(|t| tensor(t, rng));
        if weight {
            shuffle(floats, 1, rng);
        }
        g.iter_mut().chain(graphs).for_each(|g| graph(g, rng));
    }
}

fn tensor(tensor: &mut TensorProto, rng: &mut Rng) {
    let bytes = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => 4,
        Ok(DataType::Double) => 8,
        Ok(DataType::Int8 | DataType::Uint8) => 1,
        _ => return,
    };
    shuffle(&mut tensor.raw_data, bytes, rng);
    shuffle(&mut tensor.float_data, 1, rng);
    shuffle(&mut tensor.double_data, 1, rng);
    shuffle(&mut tensor.int32_data, 1, rng);
}

/// Fisher and Yates' shuffle of entries that take `width` places each.
fn shuffle<T>(places: &mut [T], width: usize, rng: &mut Rng) {
    for last in (1..places.len() / width).rev() {
        let other = rng.below(last + 1);
        (0..width).filter(|_| other != last).for_each(|i| places.swap(last * width + i, other * width + i));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_shuffled_whole() {
        let mut rng = Rng::new(0, "", "", 0);
        let mut entries: Vec<u32> = (0..40).flat_map(|i| [i, i + 100]).collect();
        shuffle(&mut entries, 2, &mut rng);
        assert!(entries.chunks(2).all(|pair| pair[1] == pair[0] + 100));
        let moved = entries.chunks(2).zip(0..).filter(|(pair, i)| pair[0] != *i).count();
        entries.sort_unstable();
        assert!(moved > 30 && entries == (0..40).chain(100..140).collect::<Vec<_>>(), "{moved} of 40 moved");
        shuffle(&mut [0u8; 0], 4, &mut rng);
    }

    #[test]
    fn weights_change_and_all_else_stays() {
        let onnx = include_bytes!("../../tests/models/mnist_cnn.onnx");
        let graph = |seed| Graph::read(onnx).unwrap().randomised(seed).proto.graph.unwrap();
        let (own, shuffled) = (Graph::read(onnx).unwrap().proto.graph.unwrap(), graph(1));
        assert!(graph(1) == shuffled && graph(2) != shuffled);
        let mut weights = 0;
        for (before, after) in own.initializer.iter().zip(&shuffled.initializer) {
            let weight = before.dims.len() > 1 && before.data_type == DataType::Float as i32;
            assert_eq!(before != after, weight, "{}", before.name);
            weights += usize::from(weight);
        }
        assert!(weights > 1 && own.node == shuffled.node);
    }
}

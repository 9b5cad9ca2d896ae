//! Gradients: of whole models against torch in float64, of each rule against finite differences.

use std::path::Path;

use assay::engine::{Differentiated, Graph, Model, Wish};
use assay::tensor::{Tensor, Tensors};
use ndarray::ArrayD;

use super::models::array;

/// Cross-entropy's gradient in the logits, in float64: from float32 probabilities it would be mostly rounding where a
/// model is sure.
fn cross_entropy(logits: &Tensor, labels: &[f64]) -> Tensor {
    let width = logits.shape()[1];
    let mut rows = Vec::new();
    for (row, &label) in logits.to_f64().chunks(width).zip(labels) {
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
        // p - 1 of the label is minus the sum of the others.
        let p: Vec<f64> = row.iter().map(|v| (v - top).exp() / sum).collect();
        let others = |label: usize| (0..width).filter(|i| *i != label).map(|i| p[i]).sum::<f64>();
        rows.extend((0..width).map(|i| if i as f64 == label { -others(i) } else { p[i] }));
    }
    Tensor::F64(ArrayD::from_shape_vec(logits.shape().to_vec(), rows).unwrap())
}

/// A model with its plain forward pass and its gradient.
struct Pair {
    plain: Model,
    differentiated: Differentiated,
}

impl Pair {
    fn load(onnx: &[u8], signature: &str, wish: &Wish) -> Self {
        let graph = Graph::read(onnx).unwrap();
        let plain = Model::of(&graph, signature).unwrap();
        let differentiated = Differentiated::of(&graph, plain.signature(), wish).unwrap();
        Self { plain, differentiated }
    }

    /// The gradient of cross-entropy in the first input; the forward outputs are those of the plain model.
    fn gradient(&self, x: &Tensor, labels: &[f64]) -> Tensor {
        let signature = self.plain.signature();
        let (input, output) = (&signature.inputs[0].name, &signature.output.name);
        let x = Tensors::from([(input.clone(), x.clone())]);
        let linearized = self.differentiated.linearize(&x).unwrap();
        let scores = self.plain.scores(&x).unwrap();
        let apart = apart(&linearized.outputs()[output].to_f64(), &scores.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        assert!(apart < 1e-5, "the outputs differ by {apart} of their norm");
        let seed = cross_entropy(&linearized.outputs()[output], labels);
        linearized.pull(&Tensors::from([(output.clone(), seed)])).unwrap().remove(input).unwrap()
    }
}

fn norm(a: &[f64]) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The norm of a - b over that of b.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b).max(f64::MIN_POSITIVE)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (norm(a) * norm(b)).max(f64::MIN_POSITIVE)
}

/// Largest relative error and smallest cosine over the rows.
fn worst(found: &Tensor, expected: &Tensor) -> (f64, f64) {
    let rows = found.shape()[0];
    assert_eq!(found.shape(), expected.shape());
    let (found, expected) = (found.to_f64(), expected.to_f64());
    let width = found.len() / rows;
    let each = found.chunks(width).zip(expected.chunks(width)).map(|(f, e)| (apart(f, e), cosine(f, e)));
    each.fold((0.0, 1.0), |(error, cos), (e, c)| (f64::max(error, e), f64::min(cos, c)))
}

fn labels(file: &Path) -> Vec<f64> {
    array(file, "y").unwrap().to_f64()
}

/// The preprocessing of the photo model, and the figure that it divides by.
const PHOTOS: &str = "input: {preprocess: [{normalize: {mean: 0.4980392156862745, std: 0.5019607843137255}}]}";
const STD: f64 = 0.501_960_784_313_725_5;

#[test]
fn corpus_gradients_are_those_of_torch_in_float64() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | relative error | cosine | torch's float32 |\n|---|---|---|---|");
    for name in [
        "bc_mlp",
        "digits_cnn",
        "mnist_cnn",
        "mnist_cnn_at",
        "mnist_mlp_fixed1",
        "mnist_mlp_leaky",
        "mnist_mlp_overfit",
        "efficientnet_lite0",
    ] {
        let photos = name == "efficientnet_lite0";
        let signature = if photos { PHOTOS } else { "" };
        let onnx = std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap();
        let pair = Pair::load(&onnx, signature, &Wish { batch: 4, ..Wish::default() });
        let file = corpus.join(format!("golden/gradients_{name}.npz"));
        let x = array(&file, if photos { "pixels" } else { "x" }).unwrap();
        let gradient = pair.gradient(&x, &labels(&file));
        let mut expected = array(&file, "grad64").unwrap();
        if let (true, Tensor::F32(a)) = (photos, &expected) {
            // Recorded with respect to what comes out of the preprocessing.
            expected = Tensor::F64(a.mapv(|v| f64::from(v) / STD));
        }
        let (error, cosine) = worst(&gradient, &expected);
        let torch = array(&file, "grad").map(|grad| worst(&grad, &expected).0);
        println!("| {name} | {error:.1e} | {cosine:.8} | {} |", torch.map_or("-".into(), |t| format!("{t:.1e}")));
        assert!(error <= 1e-3 && cosine >= 0.9999, "{name}: {error} {cosine}");
        assert!(torch.is_none_or(|torch| error <= torch.max(1e-6)), "{name}: {error}, torch {torch:?}");
    }
}

//! Tests on the development corpus, where `ASSAY_CORPUS` names its folder.

use std::path::PathBuf;

use assay::data::{self, Value};
use assay::engine::Model;
use assay::tensor::Tensor;
use ndarray::{ArrayD, IxDyn};

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("ASSAY_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ASSAY_CORPUS is not set");
    }
    folder
}

/// The array `name` of the golden outputs, as [n, ...] values.
fn golden(file: &std::path::Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let cases = data::read(&format!("{}#{name}", file.display())).unwrap();
    let mut shape = vec![cases.len()];
    let mut values = Vec::new();
    for case in &cases {
        match &case.inputs[name] {
            Value::Tensor(tensor @ Tensor::F32(row)) => {
                shape.splice(1.., tensor.shape().iter().copied());
                values.extend(row.iter());
            }
            other => panic!("{name} is not float32: {other:?}"),
        }
    }
    (shape, values)
}

#[test]
fn float_networks_answer_as_onnxruntime_does() {
    let Some(folder) = corpus() else { return };
    let file = folder.join("golden/outputs.npz");
    for (name, output) in [
        ("bc_mlp", "logits"),
        ("digits_cnn", "logits"),
        ("mnist_cnn", "logits"),
        ("mnist_cnn_at", "logits"),
        ("mnist_mlp_fixed1", "logits"),
        ("mnist_mlp_leaky", "logits"),
        ("mnist_mlp_overfit", "logits"),
    ] {
        let (shape, x) = golden(&file, &format!("{name}__input"));
        let (_, expected) = golden(&file, &format!("{name}__{output}"));
        let model = Model::load(&std::fs::read(folder.join(format!("models/{name}.onnx"))).unwrap()).unwrap();
        let scores = model.predict(&ArrayD::from_shape_vec(IxDyn(&shape), x).unwrap()).unwrap();
        assert_eq!(scores.len(), expected.len(), "{name}");
        let worst = scores.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: largest difference {worst:e}");
        assert!(worst <= 1e-4, "{name}: {worst}");
    }
}

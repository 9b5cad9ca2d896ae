//! A real network on real digits, both in the repository.

use assay::data::{self, Case, Class, Expected, Value};
use assay::engine::Model;
use assay::metric::rate;
use assay::tensor::{Tensor, Tensors};
use ndarray::{ArrayD, Axis};

const MODEL: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

fn digits() -> Vec<Case> {
    data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap().map(Result::unwrap).collect()
}

/// The pictures as [n, 1, 28, 28] in probe space, uint8 as value / 255.
fn rows(cases: &[Case]) -> ArrayD<f32> {
    let rows: Vec<ArrayD<f32>> = cases
        .iter()
        .map(|case| match &case.inputs["x"] {
            Value::Tensor(Tensor::U8(pixels)) => pixels.mapv(|v| f32::from(v) / 255.0),
            other => panic!("digits are uint8, not {other:?}"),
        })
        .collect();
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    ndarray::stack(Axis(0), &views).unwrap()
}

fn named(x: ArrayD<f32>) -> Tensors {
    Tensors::from([("input".to_owned(), Tensor::F32(x))])
}

fn predicted(scores: &ndarray::Array2<f32>) -> Vec<usize> {
    let best = |row: ndarray::ArrayView1<'_, f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    scores.rows().into_iter().map(best).collect()
}

#[test]
fn mnist_cnn_has_its_recorded_accuracy() {
    let cases = digits();
    let scores = Model::load(MODEL, "").unwrap().scores(&named(rows(&cases))).unwrap();
    let right = predicted(&scores).into_iter().zip(&cases).filter(|(predicted, case)| {
        matches!(&case.expected, Expected::Class { label: Class::Index(label), .. } if *label == *predicted as u64)
    });
    let accuracy = rate(right.count() as u64, cases.len() as u64);
    // Measured with onnxruntime on the same 1500 digits: 0.988.
    assert_eq!((accuracy.count, accuracy.n), (Some(1482), 1500));
    assert!(accuracy.low < 0.988 && 0.988 < accuracy.high);
}

#[test]
fn a_row_has_the_same_bits_in_any_company() {
    let x = rows(&digits()[..12]);
    let model = Model::load(MODEL, "").unwrap();
    let together = model.scores(&named(x.clone())).unwrap();
    for i in (0..12).rev() {
        let alone = model.scores(&named(x.slice_axis(Axis(0), (i..=i).into()).to_owned())).unwrap();
        assert_eq!(alone.row(0), together.row(i));
    }
}

#[test]
fn damaged_models_are_errors_and_never_panics() {
    let mut rng = assay::tensor::Rng::new(7, "damage", "mnist_cnn", 0);
    for _ in 0..60 {
        let mut bytes = MODEL.to_vec();
        if rng.below(2) == 0 {
            bytes.truncate(rng.below(bytes.len()));
        } else {
            // Most bytes are weights; damage is aimed at the first kilobyte too, where the structure is.
            let at = if rng.below(2) == 0 { rng.below(1024) } else { rng.below(bytes.len()) };
            bytes[at] ^= 1 << rng.below(8);
        }
        // A flipped weight is still a model; what matters is that the answer is a value or an error.
        if let Err(error) = Model::load(&bytes, "") {
            assert!(matches!(error, assay::Error::Invalid(_)), "{error}");
        }
    }
}

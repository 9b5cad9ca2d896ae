//! Rows, and models of rows with reference rows.

use std::collections::BTreeMap;
use std::path::Path;

use assay::data::{Case, Expected, Value};
use assay::engine::Model;
use assay::suite::{Check, Chunk, Evidence, Subject, run};
use assay::tensor::Tensor;
use ndarray::Axis;

use super::models::array;

/// Rows of a table without answers.
pub(super) fn table(rows: &Tensor) -> Vec<Case> {
    let Tensor::F32(rows) = rows else { panic!("{:?}", rows.dtype()) };
    let case = |(i, row): (usize, ndarray::ArrayViewD<'_, f32>)| Case {
        id: i.to_string(),
        inputs: BTreeMap::from([("input".to_owned(), Value::Tensor(Tensor::F32(row.to_owned())))]),
        expected: Expected::Nothing,
        tags: BTreeMap::new(),
    };
    rows.axis_iter(Axis(0)).enumerate().map(case).collect()
}

/// The rows that a model of the corpus was trained on.
pub(super) fn train(corpus: &Path, data: &str) -> Tensor {
    let rows = array(&corpus.join(format!("data/{data}.npz")), "x_train").unwrap();
    let Tensor::F64(rows) = rows else { panic!("{:?}", rows.dtype()) };
    Tensor::F32(rows.mapv(|v| v as f32))
}

/// The file of a model of the corpus.
pub(super) fn onnx(corpus: &Path, name: &str) -> Vec<u8> {
    std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap()
}

/// An array of the golden explanations of a model of the corpus.
pub(super) fn explained(corpus: &Path, name: &str, what: &str) -> Tensor {
    array(&corpus.join(format!("golden/explain_tabular_{name}.npz")), what).unwrap()
}

/// A model of rows with reference rows.
pub(super) struct Tabular {
    pub(super) model: Model,
    pub(super) background: Vec<Vec<f32>>,
}

impl Tabular {
    pub(super) fn new(onnx: &[u8], background: &Tensor) -> Self {
        let model = Model::load(onnx, "").unwrap();
        let background = assay::suite::background(&model, &table(background)).unwrap();
        Self { model, background }
    }

    /// With the reference rows of its golden explanations, and the cases that these explain.
    pub(super) fn golden(corpus: &Path, name: &str) -> (Self, Vec<Case>) {
        let subject = Self::new(&onnx(corpus, name), &explained(corpus, name, "background"));
        (subject, table(&explained(corpus, name, "x")))
    }

    pub(super) fn explain(&self, cases: &[Case], spec: &str) -> Evidence {
        let chunk = Chunk::new(&self.model, cases, 0).unwrap();
        let subject = Subject { background: &self.background, ..Subject::new(&self.model) };
        run(&subject, &chunk, &Check::parse(spec).unwrap(), 0, 0, true).unwrap()
    }
}

//! A model that is elsewhere: it takes rows and gives scores, and shows nothing else of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tract_onnx::pb::ModelProto;

use super::model::{Model, guard};
use super::onnx::{Graph, Port};
use super::rows;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor, Tensors};

/// Why a model elsewhere has no gradient and no trees.
pub const NO_GRADIENT: &str = "a remote model has no gradient";
pub const NO_TREES: &str = "a remote model shows no trees";

/// Who passes questions on to a model elsewhere.
pub trait Oracle: Send + Sync {
    /// The output that is asked for: of the type and with the rows that the question names, and without NaN.
    fn ask(&self, question: Question) -> Result<Tensor>;
}

/// What a model elsewhere is asked, after preprocessing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Every input in its own type.
    pub inputs: Tensors,
    /// The output that is wanted, and its type.
    pub output: String,
    pub dtype: DType,
    /// Rows of it; `None` where the model has no sample axis.
    pub rows: Option<usize>,
}

impl Graph {
    /// What is known of a model elsewhere: its inputs and outputs, at least one of each. Types are those that travel, and
    /// never text.
    pub fn elsewhere(inputs: Vec<Port>, outputs: Vec<Port>) -> Result<Self> {
        if inputs.is_empty() || outputs.is_empty() {
            let found = format!("{} inputs and {} outputs", inputs.len(), outputs.len());
            return Err(Error::invalid("model", format!("the endpoint tells of {found}; one of each is the least")));
        }
        let (operators, opsets) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { proto: ModelProto::default(), inputs, outputs, operators, opsets, parameters: 0 })
    }
}

impl Model {
    /// The judged output of a model elsewhere for rows of every input.
    pub(super) fn asked(&self, oracle: &dyn Oracle, inputs: &[Tensor], rows: usize) -> Result<Tensors> {
        let output = &self.signature().output.name;
        let dtype = self.output_type(output)?;
        let mut parts = Vec::new();
        for start in (0..rows).step_by(self.batch()) {
            let here = self.batch().min(rows - start);
            // Where the batch is fixed it is filled up; else no row is asked twice.
            let sent = if self.fills() { self.batch() } else { here };
            let question = Question {
                inputs: self.prepared(inputs, start, sent)?,
                output: output.clone(),
                dtype,
                rows: self.has_sample_axis().then_some(sent),
            };
            let answer = oracle.ask(question)?;
            parts.push(if self.has_sample_axis() {
                answer.select(&(0..here).collect::<Vec<_>>())
            } else {
                Tensor::stack(&[&answer])?
            });
        }
        Ok(Tensors::from([(output.clone(), Tensor::concat(&parts)?)]))
    }

    /// So many rows from `start` on as the model elsewhere takes them.
    fn prepared(&self, inputs: &[Tensor], start: usize, sent: usize) -> Result<Tensors> {
        let outputs = self.pass(inputs, start)?;
        let named = self.signature().inputs.iter().zip(outputs).map(|(input, value)| {
            let tensor = guard("cannot be asked", || rows::gather(&[value], sent, &input.shape))?;
            let tensor = if self.has_sample_axis() { tensor } else { tensor.row(0) };
            Ok((input.name.clone(), tensor))
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use ndarray::ArrayD;

    use super::*;
    use crate::engine::Axis;

    const DIGITS: &[u8] = include_bytes!("../../tests/models/mnist_cnn.onnx");

    /// The file as an endpoint has it, which notes how many rows it is asked at once.
    struct Far(Model, Arc<Mutex<Vec<usize>>>);

    impl Oracle for Far {
        fn ask(&self, question: Question) -> Result<Tensor> {
            let rows = question.inputs["input"].shape()[0];
            assert_eq!((question.rows, question.dtype), (Some(rows), DType::F32));
            self.1.lock().unwrap().push(rows);
            Ok(self.0.predict(&question.inputs)?.remove(&question.output).unwrap())
        }
    }

    #[test]
    fn what_is_asked_is_preprocessed_and_in_batches_that_the_endpoint_takes() {
        let signature = "input: {range: [0, 1], preprocess: [{normalize: {mean: 0.1, std: [0.3]}}, {scale: 2}]}";
        let file = Graph::read(DIGITS).unwrap();
        let near = Model::of(&file, signature).unwrap();
        #[allow(clippy::cast_precision_loss)]
        let x = ArrayD::from_shape_fn(vec![40, 1, 28, 28], |i| ((i[0] + 3 * i[2] + i[3]) % 10) as f32 / 10.0);
        let x = Tensors::from([("input".to_owned(), Tensor::F32(x))]);
        let expected = near.scores(&x).unwrap();
        for (batch, asked) in [(Axis::Open(String::new()), vec![4, 32, 8]), (Axis::Fixed(16), vec![16; 4])] {
            let port = |port: &Port| {
                let mut port = port.clone();
                port.axes[0] = batch.clone();
                port
            };
            let ports = |of: &[Port]| of.iter().map(port).collect();
            let graph = Graph::elsewhere(ports(&file.inputs), ports(&file.outputs)).unwrap();
            let seen = Arc::<Mutex<Vec<usize>>>::default();
            let far = Box::new(Far(Model::bare(&file, "").unwrap(), seen.clone()));
            let model = Model::elsewhere(&graph, signature, far).unwrap();
            let found = model.scores(&x).unwrap();
            assert_eq!(found.dim(), (40, 10));
            let apart = (&found - &expected).iter().fold(0.0f32, |worst, v| worst.max(v.abs()));
            assert!(apart < 1e-4, "{apart}");
            assert_eq!((seen.lock().unwrap().clone(), model.signature()), (asked, near.signature()));
            assert!(model.is_elsewhere() && model.trees().err() == Some(NO_TREES));
        }
    }

    /// Adds all numbers of a run, which has no sample axis.
    struct Adder;

    impl Oracle for Adder {
        fn ask(&self, question: Question) -> Result<Tensor> {
            assert_eq!((question.inputs["a"].shape(), question.inputs["b"].shape()), (&[2][..], &[3][..]));
            assert_eq!(question.rows, None);
            let sum: f32 = question.inputs.values().flat_map(Tensor::to_f32).sum();
            Ok(Tensor::F32(ArrayD::from_shape_vec(vec![2], vec![sum, -sum]).unwrap()))
        }
    }

    #[test]
    fn a_case_is_a_run_where_there_is_no_sample_axis() {
        let port = |name: &str, length| Port {
            name: name.to_owned(),
            dtype: Some(DType::F32),
            axes: vec![Axis::Fixed(length)],
        };
        let graph = Graph::elsewhere(vec![port("a", 2), port("b", 3)], vec![port("y", 2)]).unwrap();
        let model = Model::elsewhere(&graph, "", Box::new(Adder)).unwrap();
        let rows = |length, value| Tensor::F32(ArrayD::from_elem(vec![3, length], value));
        let x = Tensors::from([("a".to_owned(), rows(2, 1.0)), ("b".to_owned(), rows(3, 0.5))]);
        assert_eq!(model.scores(&x).unwrap(), ndarray::array![[3.5, -3.5], [3.5, -3.5], [3.5, -3.5]]);
        assert!(Graph::elsewhere(Vec::new(), vec![port("y", 2)]).is_err());
    }
}

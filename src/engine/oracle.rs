//! A model that is elsewhere: it takes rows and gives scores, and shows nothing else of itself.

use serde::{Deserialize, Serialize};

use super::model::Model;
use super::onnx::{Graph, Port, refuse};
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
    /// What is known of a model elsewhere: its inputs and outputs, at least one of each.
    pub fn elsewhere(inputs: Vec<Port>, outputs: Vec<Port>) -> Result<Self> {
        let (found, wanted) = ((inputs.len(), outputs.len()), "inputs and outputs; one of each is the least");
        if found.0 == 0 || found.1 == 0 {
            return Err(Error::invalid("model", format!("the endpoint tells of {} and {} {wanted}", found.0, found.1)));
        }
        let text = inputs.iter().find(|port| port.dtype == Some(DType::Text));
        text.map_or(Ok(()), |port| {
            Err(refuse(&format!("wants text in `{}`, which is not asked of others", port.name)))
        })?;
        let (operators, opsets) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        Ok(Self { proto: Default::default(), inputs, outputs, operators, opsets, parameters: 0 })
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
            let tensor = super::model::guard("cannot be asked", || rows::gather(&[value], sent, &input.shape))?;
            let tensor = if self.has_sample_axis() { tensor } else { tensor.row(0) };
            Ok((input.name.clone(), tensor))
        });
        named.collect()
    }
}

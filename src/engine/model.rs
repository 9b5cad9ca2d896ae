//! An ONNX file as a function from rows to rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ndarray::{Array2, ArrayD, Axis};
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, RunnableModel, Tensor, TypedFact, TypedOp,
    tvec,
};

use tract_onnx::tract_hir::infer::Factoid;

use crate::error::{Error, Result};

type Plan = Arc<RunnableModel<TypedFact, Box<dyn TypedOp>>>;

/// A model with one float32 input, run row by row, so that a row's answer is the same bits in any company.
pub struct Model {
    plan: Plan,
    /// Input axes with the sample axis, which is 1.
    shape: Vec<usize>,
}

impl Model {
    /// Loads an ONNX file from memory; sibling files are never read. A panic inside tract becomes an error.
    pub fn load(onnx: &[u8]) -> Result<Self> {
        guard("cannot be loaded", || load(onnx))
    }

    /// Axes of one row, without the sample axis.
    pub fn row_shape(&self) -> &[usize] {
        &self.shape[1..]
    }

    /// First output for rows `x` `[n, ..]`, flattened to `[n, scores]`. A row of another shape is refused.
    pub fn predict(&self, x: &ArrayD<f32>) -> Result<Array2<f32>> {
        if x.ndim() == 0 || &x.shape()[1..] != self.row_shape() {
            let message = format!("shape {:?} was found, rows of {:?} were expected", x.shape(), self.row_shape());
            return Err(Error::invalid("input", message));
        }
        let mut scores = Vec::new();
        for row in x.axis_iter(Axis(0)) {
            let values: Vec<f32> = row.iter().copied().collect();
            scores.extend(guard("cannot be run", || run(&self.plan, &self.shape, &values))?);
        }
        let (rows, width) = (x.shape()[0], scores.len() / x.shape()[0].max(1));
        Array2::from_shape_vec((rows, width), scores).map_err(|e| Error::internal("output rows differ in length", e))
    }
}

fn load(onnx: &[u8]) -> anyhow::Result<Model> {
    let model = tract_onnx::onnx().model_for_read(&mut &onnx[..])?;
    let [input] = model.input_outlets()? else { anyhow::bail!("one input was expected") };
    let fact = model.outlet_fact(*input)?;
    let mut shape = Vec::new();
    for (axis, dim) in fact.shape.dims().enumerate() {
        match dim.concretize().and_then(|d| d.to_i64().ok()).and_then(|d| usize::try_from(d).ok()) {
            _ if axis == 0 => shape.push(1),
            Some(d) => shape.push(d),
            None => anyhow::bail!("axis {axis} of the input has no fixed length"),
        }
    }
    let fact = InferenceFact::dt_shape(DatumType::F32, &shape);
    let plan = model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()?;
    Ok(Model { plan, shape })
}

fn run(plan: &Plan, shape: &[usize], values: &[f32]) -> anyhow::Result<Vec<f32>> {
    let outputs = plan.run(tvec!(Tensor::from_shape(shape, values)?.into()))?;
    let output = outputs.first().ok_or_else(|| anyhow::anyhow!("the graph has no output"))?;
    Ok(output.to_plain_array_view::<f32>()?.iter().copied().collect())
}

/// Runs `work`; failures and panics of tract become one clear error of the field `model`.
fn guard<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(Error::invalid("model", format!("{what}: {e:#}"))),
        Err(_) => Err(Error::invalid("model", format!("{what}: the graph is malformed"))),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;

    #[test]
    fn rubbish_is_refused_without_a_panic() {
        for bytes in [&b""[..], b"not a model", &[0xff; 64]] {
            assert!(matches!(Model::load(bytes), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn wrong_rows_are_named() {
        let model = Model::load(include_bytes!("../../tests/models/mnist_cnn.onnx")).unwrap();
        assert_eq!(model.row_shape(), [1, 28, 28]);
        let error = model.predict(&ArrayD::zeros(IxDyn(&[2, 5]))).unwrap_err().to_string();
        assert!(error.contains("[2, 5]") && error.contains("[1, 28, 28]"), "{error}");
    }
}

//! What a probe sees of a model: metered, limited, and interruptible.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ndarray::{Array2, ArrayD};

use super::autodiff::{Differentiated, Linearized};
use super::model::Model;
use super::signature::{Input, Output, OutputKind};
use super::trees::Trees;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor, Tensors};

/// Where a probe is stopped.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Rows that may be asked about one case, forward and gradient together.
    pub budget: Option<u64>,
    pub cancel: Option<&'a AtomicBool>,
    pub deadline: Option<Instant>,
}

/// Rows that were asked about a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub forward: u64,
    /// Pullbacks; the forward pass before them is counted with the first.
    pub gradient: u64,
}

impl Spent {
    /// Both together.
    pub fn all(self) -> u64 {
        self.forward + self.gradient
    }
}

/// A question: the probed input of a case with other values, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub case: usize,
    pub x: Vec<f32>,
}

/// A model as it shows itself to a probe: scores, and gradients if it has any. Questions are about cases, whose inputs
/// beside the probed one stay as they are.
pub struct Target<'a> {
    model: &'a Model,
    gradient: Option<&'a Differentiated>,
    /// By case: a row of every input.
    cases: Vec<&'a Tensors>,
    limits: Limits<'a>,
    ledger: RefCell<Vec<Spent>>,
}

impl<'a> Target<'a> {
    /// A target over cases in probe space, each a row of every input.
    pub fn new(
        model: &'a Model,
        gradient: Option<&'a Differentiated>,
        cases: Vec<&'a Tensors>,
        limits: Limits<'a>,
    ) -> Self {
        let ledger = RefCell::new(vec![Spent::default(); cases.len()]);
        Self { model, gradient, cases, limits, ledger }
    }

    /// What the scores are.
    pub fn kind(&self) -> OutputKind {
        self.model.signature().output.kind
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.model.signature().output.size
    }

    /// The output that is judged.
    pub fn output(&self) -> &Output {
        &self.model.signature().output
    }

    /// The probed input.
    pub fn input(&self) -> &Input {
        self.model.signature().probed()
    }

    /// Channels, height and width with their strides, if the probed input is a picture.
    pub fn grid(&self) -> Option<([usize; 3], [usize; 3])> {
        self.model.signature().probed().grid()
    }

    /// The tree ensemble that the model is, or why it is none.
    pub fn trees(&self) -> std::result::Result<&'a Trees, &'a str> {
        self.model.trees()
    }

    /// Whether gradients can be asked for.
    pub fn has_gradient(&self) -> bool {
        self.gradient.is_some()
    }

    /// Whether the gradient is that of the straight-through estimator, because the graph rounds.
    pub fn straight_through(&self) -> bool {
        self.gradient.is_some_and(|g| !g.straight_through().is_empty())
    }

    /// Rows that are differentiated at once.
    pub fn gradient_batch(&self) -> usize {
        self.gradient.map_or(1, Differentiated::batch)
    }

    /// What was asked about a case so far.
    pub fn spent(&self, case: usize) -> Spent {
        self.ledger.borrow()[case]
    }

    /// Whether one more row about a case is within the budget.
    pub fn affords(&self, case: usize) -> bool {
        self.limits.budget.is_none_or(|budget| self.spent(case).all() < budget)
    }

    /// Scores `[rows, classes]`, by the same plan that judges.
    pub fn scores(&self, rows: &[&Row]) -> Result<Array2<f64>> {
        let cases: Vec<usize> = rows.iter().map(|row| row.case).collect();
        self.ask(&cases, flat(rows))
    }

    /// The same of many rows about one case, which lie one after the other.
    pub fn scores_of(&self, case: usize, rows: Vec<f32>) -> Result<Array2<f64>> {
        self.ask(&vec![case; rows.len() / self.input().len().max(1)], rows)
    }

    fn ask(&self, cases: &[usize], values: Vec<f32>) -> Result<Array2<f64>> {
        self.enter(cases)?;
        cases.iter().for_each(|case| self.ledger.borrow_mut()[*case].forward += 1);
        if cases.is_empty() {
            return Ok(Array2::zeros((0, self.classes())));
        }
        Ok(self.model.scores(&self.inputs(cases, values)?)?.mapv(f64::from))
    }

    /// Scores, and what it takes to pull cotangents back through them. Memory grows with the rows: come with
    /// [`Self::gradient_batch`] at a time.
    pub fn linearize<'t>(&'t self, rows: &[&Row]) -> Result<Local<'t>> {
        let cases: Vec<usize> = rows.iter().map(|row| row.case).collect();
        self.enter(&cases)?;
        let missing = || Error::internal("target", "gradients were asked of a model that was not differentiated");
        let linearized = self.gradient.ok_or_else(missing)?.linearize(&self.inputs(&cases, flat(rows))?)?;
        let output = &self.model.signature().output.name;
        let found = linearized.outputs().get(output).ok_or_else(|| Error::internal("judged output", output))?;
        let shape = found.shape().to_vec();
        let values = found.to_f64();
        let width = values.len() / rows.len().max(1);
        let scores = Array2::from_shape_vec((rows.len(), width), values).map_err(|e| Error::internal("scores", e))?;
        Ok(Local { target: self, linearized, shape, scores, cases })
    }

    /// Refuses where the caller has given up, the time is over, or a case's budget is spent.
    fn enter(&self, cases: &[usize]) -> Result<()> {
        if self.limits.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        if self.limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Deadline("probing".to_owned()));
        }
        match (self.limits.budget, cases.iter().any(|case| !self.affords(*case))) {
            (Some(value), true) => {
                let what = "the number of queries of a case".to_owned();
                Err(Error::Exhausted { limit: "query_budget".to_owned(), value, what })
            }
            _ => Ok(()),
        }
    }

    /// Rows of every input: of the probed one `values`, of the others what the cases have.
    fn inputs(&self, cases: &[usize], mut values: Vec<f32>) -> Result<Tensors> {
        let mut inputs = Tensors::new();
        for input in &self.model.signature().inputs {
            let tensor = if input.name == self.model.signature().probed().name {
                let shape: Vec<usize> = std::iter::once(cases.len()).chain(input.shape.iter().copied()).collect();
                let values = std::mem::take(&mut values);
                let array = ArrayD::from_shape_vec(shape, values).map_err(|e| Error::internal("a probed row", e))?;
                match input.dtype {
                    DType::F64 => Tensor::F64(array.mapv(f64::from)),
                    // Tokens are whole numbers below 2^24, of which float32 loses none.
                    #[allow(clippy::cast_possible_truncation)]
                    DType::I64 => Tensor::I64(array.mapv(|v| v.round() as i64)),
                    #[allow(clippy::cast_possible_truncation)]
                    DType::I32 => Tensor::I32(array.mapv(|v| v.round() as i32)),
                    _ => Tensor::F32(array),
                }
            } else {
                let missing = || Error::internal("a probed case", format!("it has no input {}", input.name));
                let own = |case: &usize| self.cases[*case].get(&input.name).cloned().ok_or_else(missing);
                Tensor::concat(&cases.iter().map(own).collect::<Result<Vec<_>>>()?)?
            };
            inputs.insert(input.name.clone(), tensor);
        }
        Ok(inputs)
    }
}

/// The values of rows one after the other.
fn flat(rows: &[&Row]) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.iter().map(|row| row.x.len()).sum());
    rows.iter().for_each(|row| values.extend_from_slice(&row.x));
    values
}

/// A target around a few rows.
pub struct Local<'t> {
    target: &'t Target<'t>,
    linearized: Linearized<'t>,
    /// Of the judged output.
    shape: Vec<usize>,
    scores: Array2<f64>,
    cases: Vec<usize>,
}

impl Local<'_> {
    /// `[rows, classes]`. They may differ from [`Target::scores`] in the last bits.
    pub fn scores(&self) -> &Array2<f64> {
        &self.scores
    }

    /// The gradients with respect to the probed input, of each row's scores weighted by its cotangent.
    pub fn pull(&self, cotangents: Array2<f64>) -> Result<Vec<Vec<f32>>> {
        let gradients = self.gradients(cotangents)?;
        let name = &self.target.input().name;
        let gradient = gradients.get(name).ok_or_else(|| Error::internal("gradient", format!("none of {name}")))?;
        Ok(rows(gradient, self.cases.len()))
    }

    /// The inner tensor that is differentiated with respect to: its shape without the sample axis, its values and their
    /// gradients, of each row's scores weighted by its cotangent.
    pub fn layer(&self, cotangents: Array2<f64>) -> Result<Inner> {
        let missing = || Error::internal("target", "the model was not differentiated with respect to an inner tensor");
        let name = self.target.gradient.and_then(Differentiated::layer).ok_or_else(missing)?;
        let gradients = self.gradients(cotangents)?;
        let values = self.linearized.outputs().get(name).ok_or_else(missing)?;
        let gradients = gradients.get(name).ok_or_else(missing)?;
        let shape = values.shape().get(1..).unwrap_or_default().to_vec();
        let count = self.cases.len();
        Ok(Inner { shape, values: rows(values, count), gradients: rows(gradients, count) })
    }

    /// By what is differentiated with respect to.
    fn gradients(&self, cotangents: Array2<f64>) -> Result<Tensors> {
        self.cases.iter().for_each(|case| self.target.ledger.borrow_mut()[*case].gradient += 1);
        let signature = self.target.model.signature();
        let (values, _) = cotangents.into_raw_vec_and_offset();
        let seed = ArrayD::from_shape_vec(self.shape.clone(), values).map_err(|e| Error::internal("cotangents", e))?;
        self.linearized.pull(&Tensors::from([(signature.output.name.clone(), Tensor::F64(seed))]))
    }
}

/// An inner tensor of a few rows.
pub struct Inner {
    /// Without the sample axis.
    pub shape: Vec<usize>,
    /// By row.
    pub values: Vec<Vec<f32>>,
    pub gradients: Vec<Vec<f32>>,
}

/// The values of each of so many rows.
fn rows(tensor: &Tensor, count: usize) -> Vec<Vec<f32>> {
    let values = tensor.to_f32();
    let width = values.len() / count.max(1);
    values.chunks(width.max(1)).map(<[f32]>::to_vec).collect()
}

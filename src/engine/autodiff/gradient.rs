//! A model that was differentiated, for batches of one size.

use ndarray::ArrayD;
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{IntoRunnable, OutletId};

use super::driver::{Derivative, differentiate};
use super::prepare::{Asked, Prepared, Wish};
use crate::engine::model::{self, Plan};
use crate::engine::{Graph, Signature, blocks, rows};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor, Tensors};

/// A model and its gradient, compiled for batches of one size. It holds no state: threads share it.
///
/// Preprocessing is part of the graph, so inputs and gradients are in probe space.
pub struct Differentiated {
    signature: Signature,
    asked: Asked,
    forward: Plan,
    backward: Plan,
    /// Which outputs are differentiated.
    of: Vec<usize>,
    wrt: Vec<Wrt>,
    straight_through: Vec<String>,
}

/// What is differentiated with respect to.
struct Wrt {
    name: String,
    /// All axes, the batch too.
    shape: Vec<usize>,
    /// Whether anything depends on it; else its gradient is zero.
    reached: bool,
}

impl Differentiated {
    /// Differentiates and compiles. `signature` is the one in effect, from [`crate::engine::Model::signature`].
    ///
    /// Fails with [`Error::Invalid`] on the field `model` where an operator on the way has no gradient, which it names,
    /// and on `wrt` or `of` where a name is unknown or does not hold floats.
    pub fn of(graph: &Graph, signature: &Signature, wish: &Wish) -> Result<Self> {
        let asked = Asked::new(graph, signature, wish)?;
        let (prepared, derivative) = model::guard("cannot be differentiated", || {
            let prepared = Prepared::new(graph, signature, &asked)?;
            let derivative = differentiate(&prepared.graph, &prepared.of, &prepared.wrt)?;
            Ok((prepared, derivative))
        })?;
        if !derivative.missing.is_empty() {
            let list: Vec<_> = derivative.missing.iter().map(ToString::to_string).collect();
            return Err(Error::invalid("model", format!("has operators without a gradient: {}", list.join("; "))));
        }
        model::guard("cannot be differentiated", || Self::compile(signature, asked, &prepared, derivative))
    }

    fn compile(
        signature: &Signature,
        asked: Asked,
        prepared: &Prepared,
        derivative: Derivative,
    ) -> anyhow::Result<Self> {
        let Derivative { forward, backward, reached, straight_through, .. } = derivative;
        let shape = |outlet: &OutletId| {
            let fact = prepared.graph.outlet_fact(*outlet)?;
            Ok(fact.shape.as_concrete().ok_or_else(|| anyhow::anyhow!("{fact:?} has no fixed shape"))?.to_vec())
        };
        let shapes = prepared.wrt.iter().map(shape).collect::<anyhow::Result<Vec<_>>>()?;
        let each = asked.wrt.iter().cloned().zip(shapes).zip(reached);
        let wrt = each.map(|((name, shape), reached)| Wrt { name, shape, reached }).collect();
        let of = asked.of.iter().filter_map(|name| asked.outputs.iter().position(|o| o == name)).collect();
        // Residuals pass from one graph to the other as they lie.
        let forward = blocks::lay(&forward, &[], asked.outputs.len())?;
        let seeds = vec![false; asked.of.len()];
        let given = [&seeds[..], &forward.blocks[asked.outputs.len()..]].concat();
        let backward = blocks::lay(&backward.into_decluttered()?, &given, usize::MAX)?;
        Ok(Self {
            signature: signature.clone(),
            forward: forward.graph.into_optimized()?.into_runnable()?,
            backward: backward.graph.into_optimized()?.into_runnable()?,
            asked,
            of,
            wrt,
            straight_through,
        })
    }

    /// Rows that go through the graph at once.
    pub fn batch(&self) -> usize {
        self.asked.batch
    }

    /// The inner tensor that it is differentiated with respect to beside the inputs, if there is one.
    pub fn layer(&self) -> Option<&str> {
        let input = |name: &str| self.signature.inputs.iter().any(|input| input.name == name);
        self.wrt.iter().map(|wrt| wrt.name.as_str()).find(|name| !input(name))
    }

    /// The nodes that round, which were differentiated as if they did not. Where there are any, the gradient is that of
    /// the straight-through estimator.
    pub fn straight_through(&self) -> &[String] {
        &self.straight_through
    }

    /// The outputs for rows `[n, ..]` of every input in probe space, `n` any number, and what it takes to pull cotangents
    /// back through them. Memory grows with `n`: callers with many rows come with [`Self::batch`] at a time.
    pub fn linearize(&self, x: &Tensors) -> Result<Linearized<'_>> {
        let (inputs, rows) = model::bind(&self.signature.inputs, x)?;
        let mut residuals = Vec::new();
        let mut columns: Vec<tract::TVec<tract::TValue>> = vec![tract::TVec::new(); self.asked.outputs.len()];
        for start in (0..rows).step_by(self.asked.batch) {
            let mut outputs = model::guard("cannot be run", || {
                let batch = inputs.iter().zip(&self.asked.shapes);
                let batch = batch.map(|(t, shape)| rows::feed(t, start, self.asked.batch, shape));
                self.forward.run(batch.collect::<anyhow::Result<_>>()?)
            })?;
            residuals.push(outputs.drain(self.asked.outputs.len()..).collect());
            columns.iter_mut().zip(outputs).for_each(|(column, output)| column.push(output));
        }
        let mut outputs = Tensors::new();
        if rows > 0 {
            for (name, column) in self.asked.outputs.iter().zip(&columns) {
                let shape = self.row_shape(column[0].shape())?;
                let tensor = model::guard("cannot be read", || rows::gather(column, rows, shape))?;
                outputs.insert(name.clone(), tensor);
            }
        }
        let shapes = self.of.iter().map(|i| columns[*i].first().map_or_else(Vec::new, |t| t.shape().to_vec()));
        Ok(Linearized { model: self, rows, outputs, seeds: shapes.collect(), residuals })
    }

    /// The shape of one row.
    fn row_shape<'s>(&self, whole: &'s [usize]) -> Result<&'s [usize]> {
        let shape = if self.asked.sample_axis { whole.get(1..) } else { Some(whole) };
        let shape = shape.filter(|_| !self.asked.sample_axis || whole[0] == self.asked.batch);
        shape.ok_or_else(|| {
            let message = format!("a tensor has shape {whole:?}, {} rows were expected", self.asked.batch);
            Error::invalid("model", message)
        })
    }
}

/// A forward pass that can be pulled back through, as often as wanted.
pub struct Linearized<'m> {
    model: &'m Differentiated,
    rows: usize,
    /// All outputs of the graph and the inner tensors that were asked for.
    outputs: Tensors,
    /// Shapes of the outputs that are differentiated, all axes.
    seeds: Vec<Vec<usize>>,
    /// By batch.
    residuals: Vec<tract::TVec<tract::TValue>>,
}

impl Linearized<'_> {
    /// All outputs of the graph, and the inner tensors that were asked for, by name.
    pub fn outputs(&self) -> &Tensors {
        &self.outputs
    }

    /// The gradient with respect to each of the asked inputs, by name, of the sum of the outputs weighted by
    /// `cotangents`: rows in the shape of the outputs, float64 or float32, by the name of the output; what is not given
    /// counts as zero. Rows do not mix: row `i` of a gradient belongs to row `i` of the input.
    pub fn pull(&self, cotangents: &Tensors) -> Result<Tensors> {
        let model = self.model;
        let mut seeds = Vec::new();
        for (index, shape) in model.of.iter().zip(&self.seeds) {
            seeds.push((self.seed(&model.asked.outputs[*index], cotangents)?, shape));
        }
        let known = |name: &String| model.of.iter().any(|i| model.asked.outputs[*i] == *name);
        if let Some(name) = cotangents.keys().find(|name| !known(name)) {
            return Err(Error::invalid(format!("cotangents.{name}"), "is none of the differentiated outputs"));
        }
        let mut columns: Vec<tract::TVec<tract::TValue>> = vec![tract::TVec::new(); model.wrt.len()];
        for (i, residuals) in self.residuals.iter().enumerate() {
            let pulled = model::guard("cannot be pulled back through", || {
                let seeds = seeds.iter().map(|(t, shape)| feed(t, i * model.asked.batch, model.asked.batch, shape));
                let mut inputs = seeds.collect::<anyhow::Result<tract::TVec<_>>>()?;
                inputs.extend(residuals.iter().cloned());
                model.backward.run(inputs)
            })?;
            let reached = model.wrt.iter().zip(&mut columns).filter(|(wrt, _)| wrt.reached);
            reached.zip(pulled).for_each(|((_, column), pulled)| column.push(pulled));
        }
        let mut gradients = Tensors::new();
        for (wrt, column) in model.wrt.iter().zip(&columns) {
            let row = model.row_shape(&wrt.shape)?;
            let gradient = if column.is_empty() {
                let shape: Vec<usize> = std::iter::once(self.rows).chain(row.iter().copied()).collect();
                Tensor::F32(ArrayD::zeros(shape))
            } else {
                model::guard("cannot be read", || rows::gather(column, self.rows, row))?
            };
            gradients.insert(wrt.name.clone(), gradient);
        }
        Ok(gradients)
    }

    /// The cotangent of an output, in its type.
    fn seed(&self, name: &str, cotangents: &Tensors) -> Result<Tensor> {
        let output = self.outputs.get(name).ok_or_else(|| Error::internal("differentiated output", name))?;
        let Some(given) = cotangents.get(name) else { return Ok(zeros(output)) };
        let field = format!("cotangents.{name}");
        if given.shape() != output.shape() {
            let message = format!("shape {:?} was found, {:?} was expected", given.shape(), output.shape());
            return Err(Error::invalid(field, message));
        }
        #[allow(clippy::cast_possible_truncation)]
        match (given, output.dtype()) {
            (same, dtype) if same.dtype() == dtype => Ok(same.clone()),
            (Tensor::F64(a), DType::F32) => Ok(Tensor::F32(a.mapv(|v| v as f32))),
            (Tensor::F32(a), DType::F64) => Ok(Tensor::F64(a.mapv(f64::from))),
            (other, _) => {
                Err(Error::invalid(field, format!("{} was found, floats were expected", other.dtype().name())))
            }
        }
    }
}

fn zeros(like: &Tensor) -> Tensor {
    match like {
        Tensor::F64(a) => Tensor::F64(ArrayD::zeros(a.raw_dim())),
        other => Tensor::F32(ArrayD::zeros(other.shape().to_vec())),
    }
}

/// Rows `start..start + batch`, zeros where there are fewer.
fn feed(tensor: &Tensor, start: usize, batch: usize, shape: &[usize]) -> anyhow::Result<tract::TValue> {
    let rows = tensor.shape()[0];
    let short = (start + batch).saturating_sub(rows);
    if short == 0 || rows == 0 {
        return rows::feed(tensor, start, batch, shape);
    }
    let taken = tensor.select(&(start..rows).collect::<Vec<_>>());
    let blank = zeros(&taken.select(&vec![0; short]));
    rows::feed(&Tensor::concat(&[taken, blank])?, 0, batch, shape)
}

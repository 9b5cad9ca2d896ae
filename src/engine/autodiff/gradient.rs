//! A model that was differentiated, for batches of one size.

use ndarray::ArrayD;
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{IntoRunnable, OutletId, TypedModel};

use super::driver::{Derivative, differentiate};
use super::{adopt, unroll};
use crate::engine::model::{self, Plan};
use crate::engine::{Graph, Signature, rows, softmax};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor, Tensors};

/// What is differentiated with respect to what, and how many rows go through at once.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Rows of a batch; where the file fixes a batch, that one is taken. 0 stands for 1.
    pub batch: usize,
    /// Outputs or inner tensors, as in the ONNX graph; empty for the judged output.
    pub of: Vec<String>,
    /// Inputs or inner tensors, as in the ONNX graph; empty for all float inputs.
    pub wrt: Vec<String>,
}

/// A model and its gradient, compiled for batches of one size. It holds no state: threads share it.
///
/// Preprocessing is part of the graph, so inputs and gradients are in probe space.
pub struct Differentiated {
    signature: Signature,
    /// Shapes of the graph's own inputs, all axes.
    shapes: Vec<Vec<usize>>,
    batch: usize,
    sample_axis: bool,
    forward: Plan,
    backward: Plan,
    /// Outputs of the graph and inner tensors that were asked for, in the order of the forward plan.
    outputs: Vec<String>,
    /// Which of `outputs` are differentiated.
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
        let (fixed, sample_axis) = (model::compute_batch(graph)?, graph.has_sample_axis());
        let free = sample_axis && graph.inputs[0].axes.first().and_then(super::super::Axis::fixed).is_none();
        let batch = if free { wish.batch.max(1) } else { fixed };
        let samples = if sample_axis { vec![batch] } else { Vec::new() };
        let shapes: Vec<_> = signature.inputs.iter().map(|i| [samples.as_slice(), &i.shape].concat()).collect();
        let names = Names::new(graph, signature, wish);
        model::guard("cannot be differentiated", || {
            let (typed, wanted) = prepare(graph, signature, &shapes, &names)?;
            let derivative = differentiate(&typed, &wanted.of, &wanted.wrt)?;
            Ok((typed, wanted, derivative))
        })
        .and_then(|(typed, wanted, derivative)| {
            Self::compile(signature, names, shapes, batch, sample_axis, &typed, &wanted, derivative)
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn compile(
        signature: &Signature,
        names: Names,
        shapes: Vec<Vec<usize>>,
        batch: usize,
        sample_axis: bool,
        typed: &TypedModel,
        wanted: &Wanted,
        derivative: Derivative,
    ) -> Result<Self> {
        let Derivative { forward, backward, reached, straight_through, missing } = derivative;
        if !missing.is_empty() {
            let list: Vec<_> = missing.iter().map(|m| format!("{} ({}): {}", m.operator, m.node, m.why)).collect();
            return Err(Error::invalid("model", format!("has no gradient: {}", list.join("; "))));
        }
        let (forward, backward, wrt) = model::guard("cannot be differentiated", || {
            let shape = |outlet: &OutletId| {
                let fact = typed.outlet_fact(*outlet)?;
                Ok(fact.shape.as_concrete().ok_or_else(|| anyhow::anyhow!("{fact:?} has no fixed shape"))?.to_vec())
            };
            let shapes = wanted.wrt.iter().map(shape).collect::<anyhow::Result<Vec<_>>>()?;
            let each = names.wrt.iter().cloned().zip(shapes).zip(reached);
            let wrt = each.map(|((name, shape), reached)| Wrt { name, shape, reached }).collect();
            let forward = forward.into_optimized()?.into_runnable()?;
            Ok((forward, backward.into_decluttered()?.into_optimized()?.into_runnable()?, wrt))
        })?;
        let of = names.of.iter().filter_map(|name| names.outputs.iter().position(|o| o == name)).collect();
        let (signature, outputs) = (signature.clone(), names.outputs);
        Ok(Self { signature, shapes, batch, sample_axis, forward, backward, outputs, of, wrt, straight_through })
    }

    /// Rows that go through the graph at once.
    pub fn batch(&self) -> usize {
        self.batch
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
        let mut columns: Vec<tract::TVec<tract::TValue>> = vec![tract::TVec::new(); self.outputs.len()];
        for start in (0..rows).step_by(self.batch) {
            let mut outputs = model::guard("cannot be run", || {
                let batch = inputs.iter().zip(&self.shapes);
                let batch = batch.map(|(t, shape)| rows::feed(t, start, self.batch, shape));
                self.forward.run(batch.collect::<anyhow::Result<_>>()?)
            })?;
            residuals.push(outputs.drain(self.outputs.len()..).collect());
            columns.iter_mut().zip(outputs).for_each(|(column, output)| column.push(output));
        }
        let mut outputs = Tensors::new();
        if rows > 0 {
            for (name, column) in self.outputs.iter().zip(&columns) {
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
        let shape = if self.sample_axis { whole.get(1..) } else { Some(whole) };
        let shape = shape.filter(|_| !self.sample_axis || whole[0] == self.batch);
        shape.ok_or_else(|| {
            let message = format!("a tensor has shape {whole:?}, {} rows were expected", self.batch);
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
            seeds.push((self.seed(&model.outputs[*index], cotangents)?, shape));
        }
        let known = |name: &String| model.of.iter().any(|i| model.outputs[*i] == *name);
        if let Some(name) = cotangents.keys().find(|name| !known(name)) {
            return Err(Error::invalid(format!("cotangents.{name}"), "is none of the differentiated outputs"));
        }
        let mut columns: Vec<tract::TVec<tract::TValue>> = vec![tract::TVec::new(); model.wrt.len()];
        for (i, residuals) in self.residuals.iter().enumerate() {
            let pulled = model::guard("cannot be pulled back through", || {
                let seeds = seeds.iter().map(|(t, shape)| feed(t, i * model.batch, model.batch, shape));
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
            (other, _) => Err(Error::invalid(field, format!("{} was found, floats were expected", other.dtype().name()))),
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

/// Names in the ONNX graph.
struct Names {
    /// The graph's outputs, then inner tensors that are not among them.
    outputs: Vec<String>,
    of: Vec<String>,
    wrt: Vec<String>,
}

impl Names {
    fn new(graph: &Graph, signature: &Signature, wish: &Wish) -> Self {
        let of = if wish.of.is_empty() { vec![signature.output.name.clone()] } else { wish.of.clone() };
        let floats = signature.inputs.iter().filter(|i| matches!(i.dtype, DType::F32 | DType::F64));
        let wrt = if wish.wrt.is_empty() { floats.map(|i| i.name.clone()).collect() } else { wish.wrt.clone() };
        let mut outputs: Vec<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
        for name in of.iter().chain(&wrt) {
            if !outputs.contains(name) && !signature.inputs.iter().any(|i| i.name == *name) {
                outputs.push(name.clone());
            }
        }
        Self { outputs, of, wrt }
    }
}

/// Outlets by what they are for.
struct Wanted {
    of: Vec<OutletId>,
    wrt: Vec<OutletId>,
}

/// The graph as it is differentiated: inner tensors among its outputs, own convolutions, decluttered.
fn prepare(
    graph: &Graph,
    signature: &Signature,
    shapes: &[Vec<usize>],
    names: &Names,
) -> anyhow::Result<(TypedModel, Wanted)> {
    let inner = &names.outputs[graph.outputs.len()..];
    let mut typed = model::typed(graph, &signature.inputs, shapes, inner)?;
    unroll::recurrences(&mut typed)?;
    adopt::convolutions(&mut typed)?;
    let mut typed = typed.into_decluttered()?;
    softmax::settle(&mut typed)?;
    let find = |name: &String| {
        let input = signature.inputs.iter().position(|i| i.name == *name).map(|i| typed.inputs[i]);
        let output = || names.outputs.iter().position(|o| o == name).map(|i| typed.outputs[i]);
        input.or_else(output).ok_or_else(|| anyhow::anyhow!("no tensor is called `{name}`"))
    };
    let of = names.of.iter().map(find).collect::<anyhow::Result<_>>()?;
    let wrt = names.wrt.iter().map(find).collect::<anyhow::Result<_>>()?;
    Ok((typed, Wanted { of, wrt }))
}

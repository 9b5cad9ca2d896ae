//! Scaler, LinearRegressor, LinearClassifier: wired as tract's own arithmetic, so that gradients pass through them.

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::{cast, einsum::EinSum, math, nn};

use super::node::{Kind, Labels, Operator, floats, table, wide, wire};
use super::post::{Post, Second, argmax, fold};

pub(super) fn scaler(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let (offset, scale) = (floats(node, "offset")?, floats(node, "scale")?);
    let (offsets, scales) = (offset.len(), scale.len());
    ensure!(offsets == scales && scales > 0, "Scaler: {offsets} offsets and {scales} scales were found");
    Ok(expand(Scaler { offset, scale }))
}

/// (x - offset) * scale, a figure a column or one for all.
#[derive(Clone, Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Expansion for Scaler {
    fn name(&self) -> StaticName {
        "Scaler".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, DatumType::F32)?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let columns = fact.shape.last().and_then(|d| d.to_usize().ok());
        let (rank, found) = (fact.rank(), self.scale.len());
        ensure!(columns.is_none_or(|c| found == 1 || found == c), "Scaler: {found} figures for {columns:?} columns");
        let x = float(prefix, model, inputs[0])?;
        let offset = constant(model, format!("{prefix}.offset"), &self.offset, rank)?;
        let scale = constant(model, format!("{prefix}.scale"), &self.scale, rank)?;
        let centred = model.wire_node(format!("{prefix}.centre"), math::sub(), &[x, offset])?;
        model.wire_node(prefix, math::mul(), &[centred[0], scale])
    }
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let targets = node.get_attr_opt::<usize>("targets")?.unwrap_or(1);
    let (weights, bias) = (floats(node, "coefficients")?, floats(node, "intercepts")?);
    Ok(expand(Linear { map: Map::new(node, weights, bias, targets)?, post: Post::read(node)?, labels: None }))
}

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let labels = Labels::read(node, "classlabels_ints")?;
    let (weights, bias) = (floats(node, "coefficients")?, floats(node, "intercepts")?);
    let scores = if bias.is_empty() { labels.len() } else { bias.len() };
    let (names, post) = (labels.len(), Post::read(node)?);
    ensure!(names >= 2 && (scores == names || (scores, names) == (1, 2)), "{scores} scores for {names} classes");
    ensure!(scores > 1 || post != Post::Probit, "PROBIT of one score for two classes has no defined answer");
    Ok(expand(Linear { map: Map::new(node, weights, bias, scores)?, post, labels: Some(Arc::new(labels)) }))
}

/// x * weights^T + bias.
#[derive(Clone, Debug)]
struct Map {
    /// [scores, features]
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Map {
    fn new(node: &NodeProto, weights: Vec<f32>, bias: Vec<f32>, scores: usize) -> TractResult<Self> {
        let found = weights.len();
        let fits = scores > 0 && found > 0 && found.is_multiple_of(scores);
        ensure!(fits, "{}: {found} coefficients do not make {scores} rows", node.op_type);
        // onnxruntime leaves out intercepts of another number.
        let bias = if bias.len() == scores { bias } else { vec![0.0; scores] };
        Ok(Self { weights, bias })
    }

    fn scores(&self) -> usize {
        self.bias.len()
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, x: OutletId) -> TractResult<OutletId> {
        let features = self.weights.len() / self.scores();
        let mut x = float(prefix, model, x)?;
        if model.outlet_fact(x)?.rank() == 1 {
            x = model.wire_node(format!("{prefix}.row"), AxisOp::Add(0), &[x])?[0];
        }
        let columns = model.outlet_fact(x)?.shape[1].to_usize().ok();
        ensure!(columns.is_none_or(|c| c == features), "{features} features were expected, {columns:?} were found");
        let weights = Tensor::from_shape(&[self.scores(), features], &self.weights)?;
        let weights = model.add_const(format!("{prefix}.weights"), weights.into_arc_tensor())?;
        let product = EinSum::new("mk,nk->mn".parse()?, DatumType::F32);
        let product = model.wire_node(format!("{prefix}.product"), product, &[x, weights])?[0];
        let bias = constant(model, format!("{prefix}.bias"), &self.bias, 2)?;
        Ok(model.wire_node(format!("{prefix}.raw"), math::add(), &[product, bias])?[0])
    }
}

/// A linear map and what becomes of its scores.
#[derive(Clone, Debug)]
struct Linear {
    map: Map,
    post: Post,
    /// A classifier's; its first output.
    labels: Option<Arc<Labels>>,
}

impl Linear {
    fn classes(&self) -> usize {
        self.labels.as_ref().map_or(self.map.scores(), |labels| labels.len())
    }
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        if self.labels.is_some() { "LinearClassifier" } else { "LinearRegressor" }.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(1 + usize::from(self.labels.is_some()))
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.nboutputs()?)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            let (rows, _) = table(&(DatumType::F32, shape))?;
            if let [labels, _] = outputs {
                solver.equals(&labels.shape, tvec![rows.clone()])?;
            }
            solver.equals(&outputs[outputs.len() - 1].shape, tvec![rows, self.classes().to_dim()])
        })?;
        if let (Some(labels), [output, _]) = (&self.labels, outputs) {
            solver.equals(&output.datum_type, labels.dtype())?;
        }
        solver.equals(&outputs[outputs.len() - 1].datum_type, DatumType::F32)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let raw = self.map.wire(prefix, model, inputs[0])?;
        let name = format!("{prefix}.scores");
        let scores = match self.post {
            // onnxruntime leaves a single value as it is.
            Post::Logistic | Post::Softmax | Post::SoftmaxZero if self.classes() == 1 => raw,
            Post::Logistic if self.map.scores() > 1 => model.wire_node(name, nn::sigmoid(), &[raw])?[0],
            Post::Softmax if self.map.scores() > 1 => {
                let softmax = nn::Softmax { axes: tvec![1], ..nn::Softmax::default() };
                model.wire_node(name, softmax, &[raw])?[0]
            }
            Post::None if self.map.scores() == self.classes() => raw,
            post => wire(Finish { post, classes: self.classes() }, name, model, &[raw])?[0],
        };
        let Some(labels) = &self.labels else { return Ok(tvec![scores]) };
        let labels = wire(Winner(labels.clone()), format!("{prefix}.label"), model, &[raw])?[0];
        Ok(tvec![labels, scores])
    }
}

/// Raw scores to scores, where tract has no operator for it.
#[derive(Debug)]
struct Finish {
    post: Post,
    classes: usize,
}

impl Operator for Finish {
    fn name(&self) -> &'static str {
        "LinearScores"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        Ok(tvec![(DatumType::F32, tvec![table(&inputs[0])?.0, self.classes.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let raw = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let width = inputs[0].shape()[1];
        if width < self.classes {
            let both: Vec<f32> = raw.iter().flat_map(|&s| fold(s, self.post, Second::Complement)).collect();
            return Ok(tvec![Tensor::from_shape(&[raw.len(), 2], &both)?]);
        }
        let mut scores = raw.to_vec();
        scores.chunks_exact_mut(width).for_each(|row| self.post.apply(row));
        Ok(tvec![Tensor::from_shape(inputs[0].shape(), &scores)?])
    }
}

/// The label of the largest raw score; of one score, whether it is above 0.
#[derive(Debug)]
struct Winner(Arc<Labels>);

impl Operator for Winner {
    fn name(&self) -> &'static str {
        "LinearLabel"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        wide(&inputs[0], 1)?;
        Ok(tvec![(self.0.dtype(), tvec![table(&inputs[0])?.0])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let raw = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let winner = |row: &[f32]| if let [score] = row { usize::from(*score > 0.0) } else { argmax(row) };
        let classes: Vec<usize> = raw.chunks_exact(inputs[0].shape()[1]).map(winner).collect();
        Ok(tvec![self.0.pick(&classes)?])
    }
}

/// The outlet as float32.
fn float(prefix: &str, model: &mut TypedModel, x: OutletId) -> TractResult<OutletId> {
    match model.outlet_fact(x)?.datum_type {
        DatumType::F32 => Ok(x),
        DatumType::F64 | DatumType::I64 | DatumType::I32 => {
            Ok(model.wire_node(format!("{prefix}.float"), cast::cast(DatumType::F32), &[x])?[0])
        }
        other => bail!("numbers were expected, {other:?} was found"),
    }
}

/// Figures along the last axis.
fn constant(model: &mut TypedModel, name: String, figures: &[f32], rank: usize) -> TractResult<OutletId> {
    let mut shape = vec![1; rank];
    shape[rank.saturating_sub(1)] = figures.len();
    model.add_const(name, Tensor::from_shape(&shape, figures)?.into_arc_tensor())
}

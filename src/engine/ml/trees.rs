//! TreeEnsembleClassifier, TreeEnsembleRegressor and v5's TreeEnsemble.

use std::sync::Arc;

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::ensemble::{Ensemble, Sum, Weight};
use super::node::{Kind, Labels, Operator, columns, own, table, text, wide};
use super::parse;
use super::post::{Post, Second, fold};

/// How the trees' values come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

pub(super) fn regressor(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let targets = node.get_attr_opt::<usize>("n_targets")?.unwrap_or(1);
    let aggregate = match text(node, "aggregate_function", "SUM")?.as_str() {
        "AVERAGE" => Aggregate::Average,
        "SUM" => Aggregate::Sum,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => bail!("{}: the aggregate function {other} is not known", node.op_type),
    };
    let base = parse::numbers(context, node, "base_values")?;
    ensure!(base.is_empty() || base.len() == targets, "{} base values for {targets} targets", base.len());
    let ensemble = Arc::new(parse::listed(context, node, "target", targets)?);
    Ok(own(Regressor { ensemble, aggregate, base, post: Post::read(node)?, double: None }, node))
}

pub(super) fn classifier(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let labels = Labels::read(node, "classlabels_int64s")?;
    let (base, post) = (parse::numbers(context, node, "base_values")?, Post::read(node)?);
    let ensemble = Arc::new(parse::listed(context, node, "class", labels.len())?);
    let weights = || ensemble.weights.iter();
    // onnxruntime's test for "one score stands for both classes".
    let first = weights().next().map_or(0, |w| w.target);
    let folded = labels.len() == 2 && weights().all(|w| w.target == first);
    let two = labels.len() == 2 && !base.is_empty();
    ensure!(
        !two || (folded && first == 0 && base.len() == 1),
        "TreeEnsembleClassifier: {} base values for two classes with weights on the second have no defined answer",
        base.len()
    );
    ensure!(two || base.is_empty() || base.len() == labels.len(), "{} base values were found", base.len());
    ensure!(!folded || first == 1 || post != Post::Probit, "PROBIT of one score for two classes has no defined answer");
    let second = if folded && weights().all(|w| w.value >= 0.0) { Second::Complement } else { Second::Opposite };
    Ok(own(Classifier { ensemble, base, post, labels, folded, second }, node))
}

/// v5.
pub(super) fn ensemble(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let targets = node.get_attr_opt::<usize>("n_targets")?.unwrap_or(1);
    let aggregate = match node.get_attr_opt::<i64>("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => bail!("TreeEnsemble: the aggregate function {other} is not known"),
    };
    let post = Post::of(node.get_attr_opt("post_transform")?.unwrap_or(0))?;
    let ensemble = Arc::new(parse::indexed(context, node, targets)?);
    let double = node.get_attr_opt::<&TensorProto>("nodes_splits")?.is_some_and(|t| t.data_type == DOUBLE);
    let dtype = if double { DatumType::F64 } else { DatumType::F32 };
    Ok(own(Regressor { ensemble, aggregate, base: Vec::new(), post, double: Some(dtype) }, node))
}

/// ONNX's number for double.
const DOUBLE: i32 = 11;

/// Sums, or the like, of a row's leaves; `seen` where any leaf spoke.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    value: f64,
    seen: bool,
}

/// [rows * targets] scores of a table, tree after tree. float32 inputs are summed in float32, as onnxruntime does.
fn scores(ensemble: &Ensemble, aggregate: Aggregate, x: &Tensor) -> TractResult<Vec<Score>> {
    let (targets, width) = (ensemble.targets, columns(x));
    let rows = x.cast_to::<f64>()?;
    let rows = rows.try_as_plain_ram()?.as_slice::<f64>()?;
    let single = x.datum_type() != DatumType::F64;
    let mut scores = vec![Score::default(); rows.len() / width.max(1) * targets];
    ensemble.leaves(rows, width, |row, weights| {
        for Weight { target, value } in weights {
            let score = &mut scores[row * targets + *target as usize];
            score.value = match aggregate {
                Aggregate::Sum | Aggregate::Average if single => f64::from(narrow(score.value) + narrow(*value)),
                Aggregate::Sum | Aggregate::Average => score.value + value,
                Aggregate::Min if score.seen => score.value.min(*value),
                Aggregate::Max if score.seen => score.value.max(*value),
                Aggregate::Min | Aggregate::Max => *value,
            };
            score.seen = true;
        }
    });
    Ok(scores)
}

#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// One value a target.
#[derive(Debug)]
struct Regressor {
    ensemble: Arc<Ensemble>,
    aggregate: Aggregate,
    base: Vec<f64>,
    post: Post,
    /// The type of v5's output; the older operators give float32.
    double: Option<DatumType>,
}

impl Operator for Regressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        wide(&inputs[0], self.ensemble.features)?;
        let dtype = self.double.unwrap_or(DatumType::F32);
        Ok(tvec![(dtype, tvec![table(&inputs[0])?.0, self.ensemble.targets.to_dim()])])
    }

    #[allow(clippy::cast_precision_loss)]
    fn trees(&self) -> Option<Sum> {
        let factor = match self.aggregate {
            Aggregate::Sum => 1.0,
            Aggregate::Average => (self.ensemble.trees.len() as f64).recip(),
            Aggregate::Min | Aggregate::Max => return None,
        };
        Some(Sum { ensemble: self.ensemble.clone(), factor, folded: None })
    }

    #[allow(clippy::cast_precision_loss)]
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (targets, trees) = (self.ensemble.targets, self.ensemble.trees.len() as f64);
        let scores = scores(&self.ensemble, self.aggregate, &inputs[0])?;
        let divisor = if self.aggregate == Aggregate::Average { trees } else { 1.0 };
        // Of several targets, onnxruntime leaves one that no leaf of the row speaks for at 0.
        let base = |i: usize, s: &Score| {
            let base = self.base.get(i % targets).filter(|_| targets == 1 || s.seen);
            base.copied().unwrap_or(0.0)
        };
        let values: Vec<f64> = scores.iter().enumerate().map(|(i, s)| s.value / divisor + base(i, s)).collect();
        let shape = [values.len() / targets, targets];
        // onnxruntime passes a single value through PROBIT alone.
        if self.post == Post::None || (targets == 1 && self.post != Post::Probit) {
            let values = Tensor::from_shape(&shape, &values)?;
            return Ok(tvec![values.cast_to_dt(self.double.unwrap_or(DatumType::F32))?.into_owned()]);
        }
        let mut values: Vec<f32> = values.into_iter().map(narrow).collect();
        values.chunks_exact_mut(targets).for_each(|row| self.post.apply(row));
        let values = Tensor::from_shape(&shape, &values)?;
        Ok(tvec![values.cast_to_dt(self.double.unwrap_or(DatumType::F32))?.into_owned()])
    }
}

/// A score a class and the label of the best.
#[derive(Debug)]
struct Classifier {
    ensemble: Arc<Ensemble>,
    base: Vec<f64>,
    post: Post,
    labels: Labels,
    /// Two classes, and all weights on one of them.
    folded: bool,
    second: Second,
}

impl Classifier {
    /// The class of a row and its scores; `row` holds the raw ones, base values included.
    fn finish(&self, row: &[Score], to: &mut Vec<f32>) -> usize {
        let mut scores: Vec<f32> = row.iter().map(|s| narrow(s.value)).collect();
        match row {
            // One score for both classes: from weights on the first class alone, or in a row without the second.
            [first, Score { seen: false, .. }] => {
                to.extend(fold(narrow(first.value), self.post, self.second));
            }
            [_] if self.post != Post::Probit => to.extend(&scores),
            _ => {
                self.post.apply(&mut scores);
                to.extend(&scores);
            }
        }
        match row {
            [_] => 0,
            [first, second] if self.folded => {
                let score = if second.seen { second.value } else { first.value };
                usize::from(score > if self.second == Second::Complement { 0.5 } else { 0.0 })
            }
            // onnxruntime calls two classes with weights on both 0 and 1 by the sign of one score; the larger score
            // says more. Of several classes only those that a leaf spoke for can win.
            [_, Score { seen: false, .. }] => usize::from(to[to.len() - 1] > to[to.len() - 2]),
            _ => {
                let seen = row.iter().enumerate().filter(|(_, s)| s.seen);
                seen.fold(None, |best: Option<(usize, f64)>, (i, s)| match best {
                    Some((_, top)) if s.value <= top => best,
                    _ => Some((i, s.value)),
                })
                .map_or(0, |(i, _)| i)
            }
        }
    }
}

impl Operator for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        wide(&inputs[0], self.ensemble.features)?;
        let (rows, _) = table(&inputs[0])?;
        let scores = tvec![rows.clone(), self.ensemble.targets.to_dim()];
        Ok(tvec![(self.labels.dtype(), tvec![rows]), (DatumType::F32, scores)])
    }

    fn trees(&self) -> Option<Sum> {
        // Weights on the second class alone are no score for both: the first class keeps none.
        let folded = self.ensemble.weights.first().map(|weight| weight.target);
        let folded = folded.filter(|target| self.folded && *target == 0);
        Some(Sum { ensemble: self.ensemble.clone(), factor: 1.0, folded })
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let targets = self.ensemble.targets;
        let mut raw = scores(&self.ensemble, Aggregate::Sum, &inputs[0])?;
        for row in raw.chunks_exact_mut(targets) {
            for (score, base) in row.iter_mut().zip(&self.base) {
                *score = Score { value: score.value + base, seen: true };
            }
        }
        let mut values = Vec::with_capacity(raw.len());
        let winners: Vec<usize> = raw.chunks_exact(targets).map(|row| self.finish(row, &mut values)).collect();
        let scores = Tensor::from_shape(&[winners.len(), targets], &values)?;
        Ok(tvec![self.labels.pick(&winners)?, scores])
    }
}

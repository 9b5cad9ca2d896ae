//! What the operators share: one tract op around a function of tensors, and the reading of attributes.

use std::fmt::Debug;
use std::sync::Arc;

use anyhow::{bail, ensure};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::ensemble::Sum;

/// Element type and shape of a tensor.
pub(in super::super) type Kind = (DatumType, TVec<TDim>);

/// An operator as a function of whole tensors; every row's answer depends on that row alone.
pub(in super::super) trait Operator: Debug + Send + Sync + 'static {
    /// ONNX's name.
    fn name(&self) -> &'static str;

    /// Types and shapes of the outputs; refuses inputs that do not fit.
    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>>;

    /// The outputs, in the types and shapes that [`Self::outputs`] says.
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;

    /// The output that has a gradient in the only input, if one has.
    fn differentiable(&self) -> Option<usize> {
        None
    }

    /// The cotangent of a row of the input, from that of its row of the output that [`Self::differentiable`] names.
    fn pull(&self, _row: &[f32], _cotangent: &[f32]) -> Vec<f32> {
        Vec::new()
    }

    /// Its trees, if its values are theirs added up, with something done to them after.
    fn trees(&self) -> Option<Sum> {
        None
    }
}

/// The tract op of an operator.
#[derive(Clone, Debug)]
pub(in super::super) struct Own(pub(in super::super) Arc<dyn Operator>);

/// An operator with `inputs` and `outputs` of its node, for tract's inference.
pub(super) fn own(operator: impl Operator, node: &NodeProto) -> Box<dyn InferenceOp> {
    expand(Expand { own: Own(Arc::new(operator)), inputs: node.input.len(), outputs: node.output.len() })
}

/// One output of an operator, wired by hand.
pub(super) fn wire(
    operator: impl Operator,
    name: String,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    model.wire_node(name, Own(Arc::new(operator)), inputs)
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Own {}

impl Op for Own {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        Some(self)
    }
}

impl EvalOp for Own {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.eval(&EvalContext::out_of_plan(), inputs).map(Some)
    }

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(self.0.eval(&inputs)?.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Own {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let kinds: TVec<Kind> = inputs.iter().map(|f| (f.datum_type, f.shape.to_tvec())).collect();
        Ok(self.0.outputs(&kinds)?.into_iter().map(|(dtype, shape)| dtype.fact(&*shape)).collect())
    }

    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }
}

#[derive(Clone, Debug)]
struct Expand {
    own: Own,
    inputs: usize,
    outputs: usize,
}

impl Expansion for Expand {
    fn name(&self) -> StaticName {
        Op::name(&self.own)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs)?;
        check_output_arity(outputs, self.outputs)?;
        solver.given_all(inputs.iter().map(|i| &i.datum_type), move |solver, types| {
            solver.given_all(inputs.iter().map(|i| &i.shape), move |solver, shapes| {
                let kinds: TVec<Kind> = types.iter().copied().zip(shapes).collect();
                for ((dtype, shape), output) in self.own.0.outputs(&kinds)?.into_iter().zip(outputs) {
                    solver.equals(&output.datum_type, dtype)?;
                    solver.equals(&output.shape, shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut outlets = model.wire_node(prefix, self.own.clone(), inputs)?;
        // The last outputs of a node may be left out.
        outlets.truncate(self.outputs);
        Ok(outlets)
    }
}

/// A list attribute of floats, empty if it is not there.
pub(super) fn floats(node: &NodeProto, name: &str) -> TractResult<Vec<f32>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A list attribute of integers, empty if it is not there.
pub(super) fn ints(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A list attribute of strings, empty if it is not there.
pub(super) fn strings(node: &NodeProto, name: &str) -> TractResult<Vec<String>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A text attribute.
pub(super) fn text(node: &NodeProto, name: &str, default: &str) -> TractResult<String> {
    Ok(node.get_attr_opt(name)?.unwrap_or_else(|| default.to_owned()))
}

/// Rows and columns of a table; one axis is one row, as in onnxruntime.
pub(super) fn table(input: &Kind) -> TractResult<(TDim, TDim)> {
    match &*input.1 {
        [columns] => Ok((1.to_dim(), columns.clone())),
        [rows, columns] => Ok((rows.clone(), columns.clone())),
        other => bail!("a table of rows and columns was expected, shape {other:?} was found"),
    }
}

/// Refuses rows of fewer than `least` columns; onnxruntime would read beyond them.
pub(super) fn wide(input: &Kind, least: usize) -> TractResult<()> {
    let (_, columns) = table(input)?;
    if let Ok(found) = columns.to_usize() {
        ensure!(found >= least, "rows of {least} features were expected, {found} were found");
    }
    Ok(())
}

/// Columns of a tensor as [`table`] reads it.
pub(super) fn columns(tensor: &Tensor) -> usize {
    tensor.shape().last().copied().unwrap_or(1)
}

/// The classes of a classifier, in the order of its scores.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// From `classlabels_strings`, or from the integers under the name that the operator uses.
    pub(super) fn read(node: &NodeProto, integers: &str) -> TractResult<Self> {
        let names = strings(node, "classlabels_strings")?;
        Ok(if names.is_empty() { Self::Ints(ints(node, integers)?) } else { Self::Strings(names) })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    pub(super) fn dtype(&self) -> DatumType {
        if matches!(self, Self::Ints(_)) { DatumType::I64 } else { DatumType::String }
    }

    /// The labels of rows by class index.
    pub(super) fn pick(&self, classes: &[usize]) -> TractResult<Tensor> {
        fn of<T: Clone>(labels: &[T], classes: &[usize]) -> TractResult<Vec<T>> {
            let label = |&class: &usize| labels.get(class).cloned().context("a class without a label");
            classes.iter().map(label).collect()
        }
        Ok(match self {
            Self::Ints(labels) => tensor1(&of(labels, classes)?),
            Self::Strings(labels) => tensor1(&of(labels, classes)?),
        })
    }
}

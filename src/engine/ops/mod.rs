//! Operators that tract lacks: the adjoints that are no arithmetic of its own, and the convolution.

pub(super) mod conv;
pub(super) mod extremum;
pub(super) mod lanes;
pub(super) mod pointwise;
pub(super) mod pool;
pub(super) mod recurrent;
pub(super) mod scatter;

use std::fmt::Debug;

use tract_onnx::tract_core::internal::*;

/// The element types that gradients are computed in.
pub(super) trait Real: Datum + Copy + tract_num_traits::Float + std::iter::Sum {
    /// Rounds; every `Real` holds a float32.
    fn of(value: f64) -> Self;

    fn wide(self) -> f64;
}

impl Real for f32 {
    #[allow(clippy::cast_possible_truncation)]
    fn of(value: f64) -> Self {
        value as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

/// An operator as a function of whole tensors, written once for float32 and float64.
pub(super) trait Kernel: Debug + Clone + PartialEq + Send + Sync + 'static {
    const NAME: &'static str;

    /// Element types and shapes of the outputs.
    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>>;

    /// `T` is the element type of the first input.
    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>>;

    /// Multiplications with an addition.
    fn cost(&self, _: &[&TypedFact]) -> TractResult<TDim> {
        Ok(0.to_dim())
    }

    /// Whether each element of the output depends on the same element of the inputs alone.
    fn pointwise(&self) -> bool {
        false
    }
}

/// The tract op of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own<K>(pub(super) K);

impl<K: Kernel> Eq for Own<K> {}

impl<K: Kernel> Op for Own<K> {
    fn name(&self) -> StaticName {
        K::NAME.into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.0)])
    }

    op_as_typed_op!();
}

impl<K: Kernel> EvalOp for Own<K> {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = match inputs[0].datum_type() {
            DatumType::F64 => self.0.run::<f64>(inputs)?,
            _ => self.0.run::<f32>(inputs)?,
        };
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl<K: Kernel> TypedOp for Own<K> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.outputs(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        if self.0.pointwise() {
            AxesMapping::natural(inputs, outputs)
        } else {
            AxesMapping::disconnected(inputs, outputs)
        }
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        Ok(self.0.pointwise().then(|| AxisChangeConsequence::new(model, node, None, change)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(tvec![(Cost::FMA(inputs[0].datum_type), self.0.cost(inputs)?)])
    }

    as_op!();
}

/// The elements of a tensor in row-major order.
pub(super) fn slice<T: Real>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// The lengths of the axes of a fact; graphs are differentiated at a fixed batch, so all are known.
pub(super) fn concrete(fact: &TypedFact) -> TractResult<TVec<usize>> {
    Ok(fact.shape.as_concrete().with_context(|| format!("the shape {:?} is not known", fact.shape))?.into())
}

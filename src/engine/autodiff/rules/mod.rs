//! The gradient of each operator: one function and one line of [`rules`].

mod arithmetic;
mod classical;
mod convolution;
mod einsum;
mod indexing;
mod movement;
mod normalisation;
mod pointwise;
mod pooling;
mod recurrent;
mod reduction;
mod resize;

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{
    CumSum, Gather, GatherElements, GatherNd, MultiBroadcastTo, Pad, ScatterElements, ScatterNd, Slice, StridedSlice,
    Tile, Trilu, TypedConcat,
};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::gru_cell::GruEpilogue;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::lstm_cell::LstmEpilogue;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};
use tract_onnx::tract_core::ops::nn::{self, Reduce, RmsNorm, Softmax};

use super::tape::{Cotangents, Tape};
use crate::engine::ml;
use crate::engine::ops::Own;
use crate::engine::ops::conv::Conv;
use crate::engine::softmax::InOrder;

pub(super) type Rule = Box<dyn Fn(&mut Tape, &dyn TypedOp) -> TractResult<Cotangents> + Send + Sync>;

/// All rules.
pub(super) static RULES: LazyLock<Rules> = LazyLock::new(rules);

fn rules() -> Rules {
    Rules::default()
        .op::<EinSum>(einsum::einsum)
        .op::<Own<Conv>>(convolution::conv)
        .op::<MaxPool>(pooling::max_pool)
        .op::<SumPool>(pooling::sum_pool)
        .op::<Reduce>(reduction::reduce)
        .op::<Resize>(resize::resize)
        .op::<Softmax>(normalisation::softmax)
        .op::<Own<InOrder>>(normalisation::softmax_in_order)
        .op::<RmsNorm>(normalisation::rms_norm)
        .op::<LstmEpilogue>(recurrent::lstm)
        .op::<GruEpilogue>(recurrent::gru)
        .op::<ml::Own>(classical::row_by_row)
        // Movement.
        .op::<AxisOp>(movement::axis_op)
        .op::<MultiBroadcastTo>(movement::broadcast)
        .op::<Slice>(movement::slice)
        .op::<Pad>(movement::pad)
        .op::<TypedConcat>(movement::concat)
        .op::<Downsample>(movement::downsample)
        .op::<Cast>(movement::cast)
        .op::<Gather>(indexing::taken)
        .op::<GatherElements>(indexing::taken)
        .op::<GatherNd>(indexing::taken)
        .op::<Tile>(indexing::taken)
        .op::<StridedSlice>(indexing::taken)
        .op::<NearestUpsample>(indexing::taken)
        .op::<ScatterElements>(indexing::scatter_elements)
        .op::<ScatterNd>(indexing::scatter_nd)
        .op::<Iff>(indexing::iff)
        .op::<Trilu>(indexing::trilu)
        .op::<CumSum>(indexing::cumulative_sum)
        // Arithmetic of two tensors.
        .binary::<math::Add>(arithmetic::add)
        .binary::<math::Sub>(arithmetic::sub)
        .binary::<math::SubF>(arithmetic::sub_flipped)
        .binary::<math::Mul>(arithmetic::mul)
        .binary::<math::Div>(arithmetic::div)
        .binary::<math::Max>(arithmetic::max)
        .binary::<math::Min>(arithmetic::min)
        .binary::<math::Pow>(arithmetic::pow)
        // Functions of one variable.
        .pointwise::<math::Neg>(pointwise::neg)
        .pointwise::<math::Abs>(pointwise::abs)
        .pointwise::<math::Square>(pointwise::square)
        .pointwise::<math::Sqrt>(pointwise::sqrt)
        .pointwise::<math::Rsqrt>(pointwise::rsqrt)
        .pointwise::<math::Recip>(pointwise::recip)
        .pointwise::<math::Exp>(pointwise::exp)
        .pointwise::<math::Ln>(pointwise::ln)
        .pointwise::<math::Tanh>(pointwise::tanh)
        .pointwise::<math::Erf>(pointwise::erf)
        .pointwise::<math::PowConst>(pointwise::pow_const)
        .pointwise::<math::Sin>(pointwise::sin)
        .pointwise::<math::Cos>(pointwise::cos)
        .pointwise::<nn::Sigmoid>(pointwise::sigmoid)
        .pointwise::<nn::HardSwish>(pointwise::hard_swish)
        .pointwise::<nn::LeakyRelu>(pointwise::leaky_relu)
        .pointwise::<nn::silu::Silu>(pointwise::silu)
        .pointwise::<nn::gelu_exact::GeluExact>(pointwise::gelu)
        .pointwise::<nn::gelu_approximate::GeluApproximate>(pointwise::gelu_tanh)
        .pointwise::<math::Round>(pointwise::rounding)
        .pointwise::<math::RoundHalfToEven>(pointwise::rounding)
        .pointwise::<math::Floor>(pointwise::rounding)
        .pointwise::<math::Ceil>(pointwise::rounding)
        .pointwise::<math::Sign>(pointwise::flat)
}

/// Rules by the type of the operator; tract wraps functions of one and of two variables once more.
#[derive(Default)]
pub(super) struct Rules(HashMap<std::any::TypeId, Rule>);

impl Rules {
    fn op<O: TypedOp>(mut self, rule: fn(&mut Tape, &O) -> TractResult<Cotangents>) -> Self {
        let erased = move |tape: &mut Tape, op: &dyn TypedOp| rule(tape, op.downcast_ref::<O>().context("type")?);
        self.0.insert(std::any::TypeId::of::<O>(), Box::new(erased));
        self
    }

    fn binary<O: BinMiniOp>(mut self, rule: fn(&mut Tape, &O) -> TractResult<Cotangents>) -> Self {
        let erased = move |tape: &mut Tape, op: &dyn TypedOp| {
            let inner = op.downcast_ref::<TypedBinOp>().and_then(|op| op.0.downcast_ref::<O>());
            rule(tape, inner.context("type")?)
        };
        self.0.insert(std::any::TypeId::of::<O>(), Box::new(erased));
        self
    }

    fn pointwise<O: ElementWiseMiniOp>(mut self, rule: fn(&mut Tape, &O) -> TractResult<Cotangents>) -> Self {
        let erased = move |tape: &mut Tape, op: &dyn TypedOp| {
            let inner = op.downcast_ref::<ElementWiseOp>().and_then(|op| op.0.downcast_ref::<O>());
            rule(tape, inner.context("type")?)
        };
        self.0.insert(std::any::TypeId::of::<O>(), Box::new(erased));
        self
    }

    /// The rule of an operator.
    pub(super) fn of(&self, op: &dyn TypedOp) -> Option<&Rule> {
        let inner = if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            (*op.0).type_id()
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            (*op.0).type_id()
        } else {
            op.type_id()
        };
        self.0.get(&inner)
    }
}

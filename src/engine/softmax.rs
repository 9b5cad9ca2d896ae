//! Softmax whose bits do not depend on where a row lies in memory. tract's sums in vectors from the first aligned
//! address on, so that a row of three classes has other bits at another place of the batch.

use tract_onnx::prelude::{DatumType, TypedModel};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};
use tract_onnx::tract_core::prelude::tract_linalg::element_wise::ElementWise;
use tract_onnx::tract_core::prelude::tract_linalg::routines::Func;

use super::ops::lanes::fold;
use super::ops::{Kernel, Own, Real};

/// Replaces tract's float32 softmax over one axis.
pub(super) fn settle(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let Some(softmax) = node.op_as::<Softmax>() else { continue };
        let float = node.outputs[0].fact.datum_type == DatumType::F32 && softmax.quant_output_dt.is_none();
        if let (&[axis], true) = (&*softmax.axes, float) {
            let log = softmax.kind == SoftmaxKind::LogSoftmax;
            model.node_mut(id).op = Box::new(Own(InOrder { axis, log }));
        }
    }
    Ok(())
}

/// Softmax along an axis, or its logarithm, each lane on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InOrder {
    pub(super) axis: usize,
    pub(super) log: bool,
}

impl InOrder {
    /// One lane, in place.
    fn lane(&self, lane: &mut [f32], exp: &dyn ElementWise<f32>, exps: &mut Vec<f32>) -> TractResult<()> {
        let top = fold(lane, f32::MIN, |a, b| if b > a { b } else { a });
        exps.clear();
        exps.extend(lane.iter().map(|v| v - top));
        // Each value on its own: vectors of them have no part in the order of the sum.
        exp.run(exps)?;
        let sum = fold(exps, 0.0, |a, b| a + b);
        if self.log {
            let log = sum.ln();
            lane.iter_mut().for_each(|v| *v = *v - top - log);
        } else {
            lane.iter_mut().zip(&*exps).for_each(|(v, exp)| *v = exp / sum);
        }
        Ok(())
    }
}

impl Kernel for InOrder {
    const NAME: &'static str = "SoftmaxInOrder";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let mut y = args_1!(inputs).into_tensor();
        let exp = Func::Exp.ew_f32()?;
        let (mut exps, mut copy) = (Vec::new(), Vec::new());
        for mut lane in y.to_plain_array_view_mut::<f32>()?.lanes_mut(tract_ndarray::Axis(self.axis)) {
            if let Some(lane) = lane.as_slice_mut() {
                self.lane(lane, &*exp, &mut exps)?;
                continue;
            }
            copy.clear();
            copy.extend(lane.iter());
            self.lane(&mut copy, &*exp, &mut exps)?;
            lane.iter_mut().zip(&copy).for_each(|(v, copy)| *v = *copy);
        }
        Ok(tvec![y])
    }
}

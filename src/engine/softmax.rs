//! Softmax whose bits do not depend on where a row lies in memory. tract's sums in vectors from the first aligned
//! address on, so that a row of three classes has other bits at another place of the batch.

use tract_onnx::prelude::{DatumType, TypedModel};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};
use tract_onnx::tract_core::prelude::tract_linalg::routines::Func;

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

/// Softmax along an axis, or its logarithm, summed from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InOrder {
    pub(super) axis: usize,
    pub(super) log: bool,
}

impl Kernel for InOrder {
    const NAME: &'static str = "SoftmaxInOrder";

    fn outputs(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![inputs[0].without_value()])
    }

    fn run<T: Real>(&self, inputs: TVec<TValue>) -> TractResult<TVec<Tensor>> {
        let mut y = args_1!(inputs).into_tensor();
        let exp = Func::Exp.ew_f32()?;
        let mut exps = Vec::new();
        for mut row in y.to_plain_array_view_mut::<f32>()?.lanes_mut(tract_ndarray::Axis(self.axis)) {
            let top = row.iter().copied().fold(f32::MIN, f32::max);
            exps.clear();
            exps.extend(row.iter().map(|v| v - top));
            // Each value on its own: vectors of them have no part in the order of the sum.
            exp.run(&mut exps)?;
            let sum: f32 = exps.iter().sum();
            if self.log {
                let log = sum.ln();
                row.mapv_inplace(|v| v - top - log);
            } else {
                row.iter_mut().zip(&exps).for_each(|(v, exp)| *v = exp / sum);
            }
        }
        Ok(tvec![y])
    }
}

//! Preprocessing as nodes of the graph, between probe space and the model's own input.

use tract_onnx::prelude::{DatumType, IntoRunnable, OutletId, SpecialOps, Tensor, TractResult, TypedFact, TypedModel};
use tract_onnx::tract_core::internal::{IntoArcTensor, TypedModelPatch};
use tract_onnx::tract_core::ops::math;

use super::model::Plan;
use super::rows;
use super::signature::{Input, Layout, Preprocess};

/// The declared steps and nothing behind them: an output for each input, of its own shape and type.
pub(super) fn alone(inputs: &[Input], shapes: &[Vec<usize>]) -> TractResult<Plan> {
    let mut model = TypedModel::default();
    let mut sources = Vec::new();
    for (input, shape) in inputs.iter().zip(shapes) {
        sources.push(model.add_source(&input.name, TypedFact::dt_shape(rows::datum_type(input.dtype), shape))?);
    }
    model.select_output_outlets(&sources)?;
    prepend(&mut model, inputs)?;
    model.into_optimized()?.into_runnable()
}

/// Wires the declared steps behind the source of each input.
pub(super) fn prepend(model: &mut TypedModel, inputs: &[Input]) -> TractResult<()> {
    let sources = model.input_outlets()?.to_vec();
    for (source, input) in sources.into_iter().zip(inputs).filter(|(_, input)| !input.preprocess.is_empty()) {
        let mut patch = TypedModelPatch::default();
        let tap = patch.tap_model(model, source)?;
        let mut wire = tap;
        for (i, step) in input.preprocess.iter().enumerate() {
            wire = self::step(&mut patch, wire, input, step, &format!("preprocess.{}.{i}", input.name))?;
        }
        patch.shunt_outside(model, source, wire)?;
        patch.apply(model)?;
    }
    Ok(())
}

fn step(
    patch: &mut TypedModelPatch,
    wire: OutletId,
    input: &Input,
    step: &Preprocess,
    name: &str,
) -> TractResult<OutletId> {
    match step {
        Preprocess::Scale(factor) => {
            let factor = patch.add_const(format!("{name}.factor"), constant(input, &[*factor])?)?;
            Ok(patch.wire_node(format!("{name}.scale"), math::mul(), &[wire, factor])?[0])
        }
        Preprocess::Normalize { mean, std } => {
            let mean = patch.add_const(format!("{name}.mean"), constant(input, mean.values())?)?;
            let std = patch.add_const(format!("{name}.std"), constant(input, std.values())?)?;
            let centred = patch.wire_node(format!("{name}.centre"), math::sub(), &[wire, mean])?[0];
            Ok(patch.wire_node(format!("{name}.divide"), math::div(), &[centred, std])?[0])
        }
    }
}

/// The figures along the channel axis, of the input's rank and type.
fn constant(input: &Input, figures: &[f64]) -> TractResult<std::sync::Arc<Tensor>> {
    let rank = input.shape.len() + 1;
    let mut shape = vec![1; rank];
    shape[if input.layout == Layout::Nchw { 1 } else { rank - 1 }] = figures.len();
    let tensor = Tensor::from_shape(&shape, figures)?;
    let dtype = if input.dtype == crate::tensor::DType::F64 { DatumType::F64 } else { DatumType::F32 };
    Ok(tensor.cast_to_dt(dtype)?.into_owned().into_arc_tensor())
}

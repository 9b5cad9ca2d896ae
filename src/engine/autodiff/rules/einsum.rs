//! Products and sums over axes: matrix products, and what tract makes of 1x1 convolutions and of attention.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::super::tape::{Cotangents, Tape};

/// The gradient of a product in one factor is the cotangent times the other factors, over the same axes.
pub(super) fn einsum(tape: &mut Tape, op: &EinSum) -> TractResult<Cotangents> {
    ensure!(op.q_params.is_none(), "a product of quantised tensors has none");
    tape.each(|tape, i| factor(tape, op, i))
}

fn factor(tape: &mut Tape, op: &EinSum, i: usize) -> TractResult<OutletId> {
    let g = tape.cotangent()?;
    let others: Vec<usize> = (0..op.axes.input_count()).filter(|j| *j != i).collect();
    // Axes that only this factor has were summed over: the cotangent is the same all along them.
    let alone = |axis: &Axis| axis.outputs[0].is_empty() && others.iter().all(|&j| axis.inputs[j].is_empty());
    let mut summed: Vec<usize> = Vec::new();
    let mut axes: Vec<Axis> = Vec::new();
    for axis in op.axes.iter_all_axes() {
        ensure!(axis.inputs[i].len() <= 1, "a diagonal is taken of input {i}");
        if alone(axis) {
            summed.extend(&axis.inputs[i]);
            continue;
        }
        let mut turned = axis.clone();
        turned.inputs =
            std::iter::once(&axis.outputs[0]).chain(others.iter().map(|&j| &axis.inputs[j])).cloned().collect();
        turned.outputs = tvec![axis.inputs[i].clone()];
        axes.push(turned);
    }
    summed.sort_unstable();
    for position in axes.iter_mut().flat_map(|axis| axis.outputs[0].iter_mut()) {
        *position -= summed.iter().filter(|s| **s < *position).count();
    }
    let mut inputs = tvec![g];
    for &j in &others {
        inputs.push(tape.input(j)?);
    }
    let mapping = AxesMapping::new(inputs.len(), 1, axes)?;
    let mut product = tape.wire(EinSum::new(mapping, op.operating_dt), &inputs)?;
    for position in summed {
        product = tape.wire(AxisOp::Add(position), &[product])?;
    }
    Ok(product)
}

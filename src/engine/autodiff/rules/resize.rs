//! Resampling of images.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::resize::Resize;

use super::super::tape::{Cotangents, Tape};

/// Axis by axis a product with a matrix, so the cotangent is multiplied by each, transposed.
pub(super) fn resize(tape: &mut Tape, op: &Resize) -> TractResult<Cotangents> {
    let (mut pulled, from, to) = (tape.cotangent()?, tape.shape(0)?, tape.output_shape(0)?);
    let scales = match op.optional_scales_input {
        Some(i) if i < tape.node().inputs.len() => tape.constant(i)?.filter(|scales| scales.len() == from.len()),
        _ => None,
    };
    let scales = scales.map(|scales| scales.cast_to::<f32>().map(Cow::into_owned)).transpose()?;
    let scales = scales.as_ref().map(|scales| scales.try_as_plain_ram()?.as_slice::<f32>()).transpose()?;
    for axis in 0..from.len() {
        #[allow(clippy::cast_precision_loss)]
        let scale = scales.map_or(to[axis] as f32 / from[axis] as f32, |scales| scales[axis]);
        if from[axis] == to[axis] && (scale - 1.0).abs() < f32::EPSILON {
            continue;
        }
        let matrix = matrix(op, scale, from[axis], to[axis])?;
        let matrix = tape.tensor(matrix)?;
        let matrix = tape.in_type_of(matrix, pulled)?;
        let dtype = tape.backward.outlet_fact(pulled)?.datum_type;
        pulled = tape.wire(EinSum::new(product(from.len(), axis)?, dtype), &[pulled, matrix])?;
    }
    Ok(tape.only(0, pulled))
}

/// What each output `[to]` takes of each input `[from]`.
fn matrix(op: &Resize, scale: f32, from: usize, to: usize) -> TractResult<Tensor> {
    let plan = op.plan_axis(scale, from, to);
    let mut matrix = vec![0f32; from * to];
    for (o, row) in matrix.chunks_exact_mut(from).enumerate().filter(|(o, _)| !plan.extrapolated[*o]) {
        let taps = plan.indices.iter().zip(&plan.weights).skip(o * plan.window).take(plan.window);
        taps.for_each(|(i, weight)| row[*i] += weight);
    }
    Tensor::from_shape(&[to, from], &matrix)
}

/// abcd,cz->abzd for axis 2 of 4.
fn product(rank: usize, axis: usize) -> TractResult<AxesMapping> {
    let letters: Vec<char> = ('a'..='y').take(rank).collect();
    let input: String = letters.iter().collect();
    let output: String = letters.iter().enumerate().map(|(i, l)| if i == axis { 'z' } else { *l }).collect();
    format!("{input},{}z->{output}", letters[axis]).parse()
}

//! tract's convolutions as assay's own, before tract takes them apart.

use tract_onnx::prelude::{DatumType, OutletId, TypedModel};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode};
use tract_onnx::tract_core::ops::cnn::{self, Deconv, KernelFormat};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::super::{Own, concrete};
use super::{Conv, Span, adjoint_kernel};

/// Replaces every convolution and transposed convolution of floats with samples and channels first and a constant
/// kernel and bias. The others stay, and have no gradient.
pub(in crate::engine) fn convolutions(model: &mut TypedModel) -> TractResult<()> {
    model.prop_consts()?;
    model.compact()?;
    for id in model.eval_order()? {
        let node = model.node(id);
        let own = if let Some(conv) = node.op_as::<cnn::Conv>() {
            convolution(model, node, conv)?
        } else if let Some(deconv) = node.op_as::<Deconv>() {
            transposed(model, node, deconv)?
        } else {
            None
        };
        if let Some((op, kernel)) = own {
            replace(model, id, op, kernel)?;
        }
    }
    for id in model.eval_order()? {
        take_padding(model, id)?;
    }
    model.compact()
}

/// Zeros that a node in front puts around rows and columns become the convolution's own padding.
fn take_padding(model: &mut TypedModel, id: usize) -> TractResult<()> {
    let Some(Own(conv)) = model.node(id).op_as::<Own<Conv>>() else { return Ok(()) };
    let front = model.node(model.node(id).inputs[0].node);
    let Some(Pad { pads, mode: PadMode::Constant(value) }) = front.op_as::<Pad>() else { return Ok(()) };
    let zeros = value.cast_to_scalar::<f32>()? == 0.0;
    if !zeros || pads.len() != conv.spans.len() + 2 || pads[..2] != [(0, 0); 2] {
        return Ok(());
    }
    let mut conv = conv.clone();
    let axes = conv.spans.iter_mut().zip(&pads[2..]);
    axes.for_each(|(span, (before, _))| span.before += before.cast_signed());
    let source = front.inputs[0];
    model.node_mut(id).op = Box::new(Own(conv));
    model.add_edge(source, InletId::new(id, 0))
}

type Replacement = Option<(Conv, Tensor)>;

fn convolution(model: &TypedModel, node: &TypedNode, op: &cnn::Conv) -> TractResult<Replacement> {
    let spec = &op.pool_spec;
    let Some((x, kernel)) = known(model, node, spec, op.kernel_fmt)? else { return Ok(None) };
    if op.q_params.is_some() {
        return Ok(None);
    }
    let paddings = spec.computed_padding(&x[2..]);
    let spans = paddings.iter().enumerate().map(|(axis, padding)| Span {
        kernel: spec.kernel_shape[axis],
        stride: spec.stride(axis),
        dilation: spec.dilation(axis),
        spread: 1,
        before: padding.pad_before.cast_signed(),
        output: padding.convoluted,
    });
    let spans = spans.collect();
    Ok(Some((Conv { spans, groups: op.group }, kernel.into_tensor())))
}

/// A transposed convolution goes back along the axes of the convolution that it transposes; tract has exchanged the
/// channels of its kernel already.
fn transposed(model: &TypedModel, node: &TypedNode, op: &Deconv) -> TractResult<Replacement> {
    let spec = &op.pool_spec;
    let Some((x, kernel)) = known(model, node, spec, op.kernel_format)? else { return Ok(None) };
    let (strides, dilations) = (spec.strides(), spec.dilations());
    let paddings =
        spec.padding.compute_for_deconv(&x[2..], &spec.kernel_shape, &dilations, &strides, &op.adjustments)?;
    let spans = paddings.iter().enumerate().map(|(axis, padding)| {
        let forward = Span {
            kernel: spec.kernel_shape[axis],
            stride: strides[axis],
            dilation: dilations[axis],
            spread: 1,
            before: padding.pad_before.cast_signed(),
            output: x[2 + axis],
        };
        forward.adjoint(padding.deconvoluted)
    });
    let spans = spans.collect();
    // Turned twice with the channels of one output each, a kernel has its taps reversed and nothing else.
    let shape = kernel.shape().to_vec();
    let rows = kernel.into_tensor().into_shape(&[&[shape[0] * shape[1], 1], &shape[2..]].concat())?;
    let reversed = adjoint_kernel(&rows, shape[0] * shape[1])?.into_shape(&shape)?;
    Ok(Some((Conv { spans, groups: op.group }, reversed)))
}

/// The shape of the input and the kernel, where both are known and of the expected layout.
fn known(
    model: &TypedModel,
    node: &TypedNode,
    spec: &cnn::PoolSpec,
    format: KernelFormat,
) -> TractResult<Option<(TVec<usize>, Arc<Tensor>)>> {
    let (x, kernel) = (model.outlet_fact(node.inputs[0])?, model.outlet_fact(node.inputs[1])?);
    let floats = matches!(x.datum_type, DatumType::F32 | DatumType::F64);
    let layout = spec.data_format == DataFormat::NCHW && format == KernelFormat::OIHW && spec.rank() <= 3;
    let kernel = kernel.konst.clone().filter(|k| k.datum_type() == x.datum_type);
    let bias = model.outlet_fact(node.inputs[2])?.konst.is_some();
    match kernel {
        Some(kernel) if floats && layout && bias && x.shape.is_concrete() => Ok(Some((concrete(x)?, kernel))),
        _ => Ok(None),
    }
}

/// Wires the operator in place of node `id`.
fn replace(model: &mut TypedModel, id: usize, op: Conv, kernel: Tensor) -> TractResult<()> {
    let node = model.node(id).clone();
    let channels = kernel.shape()[0];
    let mut patch = TypedModelPatch::default();
    let x = patch.tap_model(model, node.inputs[0])?;
    let bias = match &model.outlet_fact(node.inputs[2])?.konst {
        Some(bias) => bias.cast_to_dt(kernel.datum_type())?.into_owned().broadcast_to_shape(&[channels]),
        None => bail!("the bias of {} is no constant", node.name),
    };
    let bias = patch.add_const(format!("{}.own_bias", node.name), bias?)?;
    let kernel = patch.add_const(format!("{}.own_kernel", node.name), kernel)?;
    let wire = patch.wire_node(&node.name, Own(op), &[x, kernel, bias])?[0];
    patch.shunt_outside(model, OutletId::new(id, 0), wire)?;
    patch.apply(model)
}

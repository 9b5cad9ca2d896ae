//! QuantizeLinear and DequantizeLinear as plain arithmetic on float32, as onnxruntime answers them: tract's own become
//! quantised types, which its later passes move and fuse in ways that do not keep the answer. Speed of int8 is not what a
//! judged model is for, and arithmetic has gradients.

use anyhow::{Context, bail, ensure};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{add, div, max, min, mul, round_half_to_even, sub};
use tract_onnx::tract_hir::internal::*;

/// Teaches `onnx` these two in place of its own.
pub(super) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("QuantizeLinear", |_, node| read(node, true));
    onnx.op_register.insert("DequantizeLinear", |_: &ParsingContext, node| read(node, false));
}

fn read(node: &NodeProto, quantize: bool) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let block: i64 = node.get_attr_opt("block_size")?.unwrap_or(0);
    ensure!(block == 0, "{}: blocks of {block} were found; one scale, or one for each place of an axis", node.op_type);
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    let zero_point = node.input.len() == 3 && !node.input[2].is_empty();
    // Since opset 21 the type can stand in an attribute, where 0 is none.
    let stated = node.get_attr_opt::<i64>("output_dtype")?.is_some_and(|code| code != 0);
    let output = if quantize && stated { node.get_attr("output_dtype")? } else { u8::datum_type() };
    Ok((expand(Linear { quantize, axis, zero_point, output }), Vec::new()))
}

/// x to x / scale + zero point, rounded and cut to 8 or 16 bits; or back.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Linear {
    quantize: bool,
    axis: i64,
    zero_point: bool,
    /// What is quantised to where no zero point says it.
    output: DatumType,
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        if self.quantize { "QuantizeLinear".into() } else { "DequantizeLinear".into() }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.zero_point))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[1].datum_type, f32::datum_type())?;
        let quantised = if self.quantize { &outputs[0] } else { &inputs[0] };
        if self.zero_point {
            s.equals(&quantised.datum_type, &inputs[2].datum_type)?;
        } else if self.quantize {
            s.equals(&quantised.datum_type, self.output)?;
        }
        if !self.quantize {
            s.equals(&outputs[0].datum_type, f32::datum_type())?;
        }
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let constant = |model: &TypedModel, input: usize| {
            model.outlet_fact(inputs[input])?.konst.clone().context("the scale and zero point must be constants")
        };
        let (scale, rank) = (constant(model, 1)?, model.outlet_fact(inputs[0])?.rank());
        let zero = if self.zero_point { constant(model, 2)? } else { tensor0(0f32).into_arc_tensor() };
        let kind = if self.zero_point { zero.datum_type() } else { self.output };
        let along = |tensor: &Tensor| along(tensor, self.axis, rank);
        let (scale, zero) = (along(&scale)?, along(&zero)?);
        let scale = model.add_const(format!("{prefix}.scale"), scale)?;
        let zero = model.add_const(format!("{prefix}.zero_point"), zero)?;
        let mut wire = model.wire_node(format!("{prefix}.float"), cast(f32::datum_type()), &[inputs[0]])?[0];
        if !self.quantize {
            wire = model.wire_node(format!("{prefix}.shift"), sub(), &[wire, zero])?[0];
            return model.wire_node(prefix, mul(), &[wire, scale]);
        }
        let (low, high) = match kind {
            DatumType::U8 => (f32::from(u8::MIN), f32::from(u8::MAX)),
            DatumType::I8 => (f32::from(i8::MIN), f32::from(i8::MAX)),
            DatumType::U16 => (f32::from(u16::MIN), f32::from(u16::MAX)),
            DatumType::I16 => (f32::from(i16::MIN), f32::from(i16::MAX)),
            other => bail!("QuantizeLinear to {other:?}; to uint8, int8, uint16 and int16 can be run"),
        };
        let mut bound = |name: &str, value: f32| {
            let value = tensor0(value).broadcast_into_rank(rank)?;
            model.add_const(format!("{prefix}.{name}"), value)
        };
        let (low, high) = (bound("low", low)?, bound("high", high)?);
        wire = model.wire_node(format!("{prefix}.scaled"), div(), &[wire, scale])?[0];
        wire = model.wire_node(format!("{prefix}.rounded"), round_half_to_even(), &[wire])?[0];
        wire = model.wire_node(format!("{prefix}.shifted"), add(), &[wire, zero])?[0];
        wire = model.wire_node(format!("{prefix}.above"), max(), &[wire, low])?[0];
        wire = model.wire_node(format!("{prefix}.below"), min(), &[wire, high])?[0];
        model.wire_node(prefix, cast(kind), &[wire])
    }
}

/// One number, or one for each place of `axis`, as float32 of a rank that broadcasts.
fn along(tensor: &Tensor, axis: i64, rank: usize) -> TractResult<Tensor> {
    let mut shape = vec![1; rank];
    if tensor.len() > 1 {
        let axis = usize::try_from(if axis < 0 { axis + i64::try_from(rank)? } else { axis })?;
        ensure!(axis < rank, "the quantisation axis {axis} is beyond the rank {rank}");
        shape[axis] = tensor.len();
    }
    tensor.cast_to::<f32>()?.into_owned().into_shape(&shape)
}

//! What a convolution does before it stores, in place of nodes behind it: a sum, an activation's bounds, a mask.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math;

use super::convolution::Fast;
use crate::engine::ops::Own;
use crate::engine::ops::pointwise::{Inside, Pointwise};

/// What a node asks of the convolution in front of it.
pub(super) enum Follow {
    /// Adds the node's other input.
    Add(OutletId),
    Clamp(f32, f32),
    /// Lets values pass where the node's other input lies between.
    Mask(OutletId, f32, f32),
}

impl Follow {
    /// What `node` does to its input `i`, if a convolution can do it.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn of(model: &TypedModel, node: &TypedNode, i: usize) -> TractResult<Option<Self>> {
        let [_, _] = &*node.inputs else { return Ok(None) };
        let other = node.inputs[1 - i];
        if let Some(Own(Pointwise(Inside { max, bound }))) = node.op_as::<Own<Pointwise<Inside>>>() {
            let bound = *bound as f32;
            let (low, high) = if *max { (bound, f32::INFINITY) } else { (f32::NEG_INFINITY, bound) };
            return Ok((i == 0).then_some(Self::Mask(other, low, high)));
        }
        let Some(TypedBinOp(op, _)) = node.op_as::<TypedBinOp>() else { return Ok(None) };
        let fact = model.outlet_fact(other)?;
        if op.is::<math::Add>() {
            return Ok((fact.shape == model.outlet_fact(node.inputs[i])?.shape).then_some(Self::Add(other)));
        }
        let Some(bound) = fact.konst.as_ref().filter(|k| k.len() == 1) else { return Ok(None) };
        let bound = bound.cast_to_scalar::<f32>()?;
        Ok(match () {
            () if op.is::<math::Max>() => Some(Self::Clamp(bound, f32::INFINITY)),
            () if op.is::<math::Min>() => Some(Self::Clamp(f32::NEG_INFINITY, bound)),
            () => None,
        })
    }
}

impl Fast {
    /// Takes a clamp in; `false` where it cannot any more, since a convolution adds, then clamps, then masks.
    pub(super) fn take_clamp(&mut self, low: f32, high: f32) -> bool {
        let (own_low, own_high) = self.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let both = (own_low.max(low), own_high.min(high));
        // One bound after the other is both at once only where they leave something between.
        let takes = self.mask.is_none() && both.0 <= both.1;
        if takes {
            self.clamp = Some(both);
        }
        takes
    }

    /// The same for a mask, which may narrow one that is the `same`.
    pub(super) fn take_mask(&mut self, low: f32, high: f32, same: bool) -> bool {
        let takes = self.mask.is_none() || same;
        if takes {
            let (own_low, own_high) = self.mask.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            self.mask = Some((own_low.max(low), own_high.min(high)));
        }
        takes
    }
}

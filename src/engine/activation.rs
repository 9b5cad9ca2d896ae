//! Activations that exporters wrote out, put together again.

use tract_onnx::prelude::{OutletId, TypedModel};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::hard_swish;

/// Replaces what computes `x clamp(x / 6 + 1 / 2, 0, 1)` in steps.
pub(super) fn settle(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some(x) = swished(model, id.into())? else { continue };
        let mut patch = TypedModelPatch::default();
        let x = patch.tap_model(model, x)?;
        let wire = patch.wire_node(&model.node(id).name, hard_swish(), &[x])?[0];
        patch.shunt_outside(model, id.into(), wire)?;
        patch.apply(model)?;
    }
    model.compact()
}

/// What a node of a float32 graph gives the hard swish of.
fn swished(model: &TypedModel, outlet: OutletId) -> TractResult<Option<OutletId>> {
    if model.outlet_fact(outlet)?.datum_type != f32::datum_type() {
        return Ok(None);
    }
    // What others see of the way is not to be put away.
    let seen = |on_the_way: OutletId| on_the_way != outlet && model.outputs.contains(&on_the_way);
    let trail = Trail { model, seen: &seen };
    let outer = trail.back(outlet, None)?;
    let Some([a, b]) = trail.operands::<math::Mul>(outer.of) else { return Ok(None) };
    for (x, gate) in [(a, b), (b, a)] {
        let gate = trail.back(gate, None)?;
        let Some((inner, low, high)) = trail.clamped(gate.of)? else { continue };
        let inner = trail.back(inner, Some(x))?;
        let scale = outer.scale * gate.scale;
        let found = [inner.scale * scale, inner.shift * scale, low * scale, high * scale, outer.shift, gate.shift];
        let is = found.iter().zip([1.0 / 6.0, 0.5, 0.0, 1.0, 0.0, 0.0]).all(|(found, is)| (found - is).abs() < 1e-6);
        // Under a negative scale the bounds would change places.
        if inner.of == x && is && scale > 0.0 {
            return Ok(Some(x));
        }
    }
    Ok(None)
}

/// A value as `scale * of + shift`.
struct Line {
    of: OutletId,
    scale: f64,
    shift: f64,
}

/// The way back through a graph, along outlets that nobody else is to see.
struct Trail<'m> {
    model: &'m TypedModel,
    seen: &'m dyn Fn(OutletId) -> bool,
}

impl Trail<'_> {
    /// Through sums and products with a number, no further than to `end`.
    fn back(&self, outlet: OutletId, end: Option<OutletId>) -> TractResult<Line> {
        let mut line = Line { of: outlet, scale: 1.0, shift: 0.0 };
        loop {
            if end == Some(line.of) {
                return Ok(line);
            }
            if let Some((inner, number)) = self.with_number::<math::Mul>(line.of)? {
                (line.of, line.scale) = (inner, line.scale * number);
            } else if let Some((inner, number)) = self.with_number::<math::Add>(line.of)? {
                (line.of, line.shift) = (inner, line.shift + line.scale * number);
            } else {
                return Ok(line);
            }
        }
    }

    /// What lies within which bounds at an outlet.
    fn clamped(&self, outlet: OutletId) -> TractResult<Option<(OutletId, f64, f64)>> {
        if let Some((below, high)) = self.with_number::<math::Min>(outlet)? {
            return Ok(self.with_number::<math::Max>(below)?.map(|(inner, low)| (inner, low, high)));
        }
        let Some((above, low)) = self.with_number::<math::Max>(outlet)? else { return Ok(None) };
        Ok(self.with_number::<math::Min>(above)?.map(|(inner, high)| (inner, low, high)))
    }

    /// The operands of an operator of two.
    fn operands<O: BinMiniOp>(&self, outlet: OutletId) -> Option<[OutletId; 2]> {
        let node = self.model.node(outlet.node);
        let is = node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>()) && !(self.seen)(outlet);
        <[OutletId; 2]>::try_from(&*node.inputs).ok().filter(|_| is)
    }

    /// The operand that is no constant and the number that is the other.
    fn with_number<O: BinMiniOp>(&self, outlet: OutletId) -> TractResult<Option<(OutletId, f64)>> {
        let Some([a, b]) = self.operands::<O>(outlet) else { return Ok(None) };
        for (x, number) in [(a, b), (b, a)] {
            let number = self.model.outlet_fact(number)?.konst.as_ref().filter(|k| k.len() == 1);
            if let (Some(number), None) = (number, &self.model.outlet_fact(x)?.konst) {
                return Ok(Some((x, number.cast_to_scalar::<f64>()?)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scale x clamp(x + shift, 0, high)`, as exporters write a hard swish.
    fn written_out(shift: f32, high: f32, scale: f32) -> TypedModel {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([2, 5])).unwrap();
        let mut last = x;
        let steps: [(&str, Box<dyn BinMiniOp>, f32); 3] = [
            ("add", Box::new(math::Add), shift),
            ("max", Box::new(math::Max), 0.0),
            ("min", Box::new(math::Min), high),
        ];
        for (name, op, number) in steps {
            let number = model.add_const(format!("{name}.number"), tensor2(&[[number]])).unwrap();
            last = model.wire_node(name, TypedBinOp(op, None), &[last, number]).unwrap()[0];
        }
        let product = model.wire_node("product", TypedBinOp(Box::new(math::Mul), None), &[x, last]).unwrap()[0];
        let scale = model.add_const("scale", tensor2(&[[scale]])).unwrap();
        let y = model.wire_node("y", TypedBinOp(Box::new(math::Mul), None), &[product, scale]).unwrap();
        model.select_output_outlets(&y).unwrap();
        model
    }

    #[test]
    fn what_somebody_else_sees_stays() {
        for name in ["add", "max", "min", "product"] {
            let mut model = written_out(3.0, 6.0, 1.0 / 6.0);
            let seen = model.node_by_name(name).unwrap().id;
            model.outputs.push(seen.into());
            settle(&mut model).unwrap();
            assert!(model.nodes.iter().all(|node| node.op.name() != "HardSwish"), "{name}: {model}");
        }
    }

    #[test]
    fn a_hard_swish_is_put_together_again_and_nothing_else() {
        for (shift, high, scale, is) in [
            (3.0, 6.0, 1.0 / 6.0, true),
            (3.0, 6.0, 1.0 / 5.0, false),
            (2.0, 6.0, 1.0 / 6.0, false),
            (3.0, 5.0, 1.0 / 6.0, false),
            (3.0, -6.0, -1.0 / 6.0, false),
        ] {
            let plain = written_out(shift, high, scale);
            let mut settled = plain.clone();
            settle(&mut settled).unwrap();
            assert_eq!(settled.nodes.iter().any(|node| node.op.name() == "HardSwish"), is, "{settled}");
            assert_eq!(settled.nodes.len() == 2, is, "{settled}");
            let x = tensor2(&[[-4f32, -3.0, -1.0, 0.0, 0.5], [1.0, 2.9, 3.0, 3.1, 9.0]]);
            let run = |model: TypedModel| model.into_runnable().unwrap().run(tvec![x.clone().into()]).unwrap();
            run(plain)[0].close_enough(&run(settled)[0], Approximation::Close).unwrap();
        }
    }
}

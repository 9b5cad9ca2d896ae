//! Graphs before and after they are laid give the same.

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;

use super::lay;

/// Numbers that are not alike.
fn values(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 1000) as f32 / 500.0 - 1.0;
    Tensor::from_shape(shape, &(0..count).map(value).collect::<Vec<f32>>()).unwrap()
}

fn product(model: &mut TypedModel, formula: &str, a: OutletId, b: OutletId) -> OutletId {
    let op = EinSum::new(formula.parse().unwrap(), f32::datum_type());
    model.wire_node(format!("product.{}", model.nodes.len()), op, &[a, b]).unwrap()[0]
}

fn with(model: &mut TypedModel, op: impl BinMiniOp, x: OutletId, constant: Tensor) -> OutletId {
    let constant = model.add_const(format!("constant.{}", model.nodes.len()), constant).unwrap();
    model.wire_node(format!("with.{}", model.nodes.len()), TypedBinOp(Box::new(op), None), &[x, constant]).unwrap()[0]
}

/// Whether the graph gives the same when it is laid; the names of what it is made of then.
#[track_caller]
fn same(model: &TypedModel, inputs: &[Tensor]) -> Vec<String> {
    let inputs: TVec<TValue> = inputs.iter().map(|t| t.clone().into_tvalue()).collect();
    let laid = lay(model, &[], usize::MAX).unwrap().graph;
    let names = laid.nodes.iter().map(|node| node.op.name().into_owned()).collect();
    let run = |model: TypedModel| model.into_optimized().unwrap().into_runnable().unwrap().run(inputs.clone()).unwrap();
    for (plain, laid) in run(model.clone()).iter().zip(run(laid)) {
        plain.close_enough(&laid, Approximation::Approximate).unwrap();
    }
    names
}

#[test]
fn products_of_two_tensors_stay_what_they_are_whatever_axes_are_there() {
    for (formula, a, b, fast) in [
        ("bmk,bnk->bmn", &[2, 5, 7][..], &[2, 19, 7][..], true),
        ("bmk,bkn->bmn", &[2, 33, 20], &[2, 20, 32], true),
        ("mbk,nbk->bmn", &[9, 3, 4], &[6, 3, 4], true),
        ("bmk,kbn->mbn", &[3, 17, 6], &[6, 3, 16], true),
        // A row of the second factor is one of the output.
        ("bkm,bkn->bnm", &[2, 4, 18], &[2, 4, 5], true),
        // Axes that are not there, or of length 1.
        ("bmk,bkn->bmn", &[2, 5, 7], &[2, 7, 1], true),
        ("bmk,bk->bm", &[2, 5, 7], &[2, 7], true),
        ("bk,bk->b", &[4, 9], &[4, 9], true),
        ("bmk,bnk->bmn", &[2, 5, 7], &[2, 1, 7], true),
        ("bm,bn->bmn", &[2, 5], &[2, 40], true),
        ("b,bn->bn", &[3], &[3, 21], true),
        ("m,n->mn", &[20], &[30], true),
        // Two rows, and a diagonal: not by these kernels.
        ("abk,nk->abn", &[2, 3, 4], &[5, 4], false),
        ("bkm,bk->b", &[2, 3, 4], &[2, 3], false),
    ] {
        let mut model = TypedModel::default();
        let x = model.add_source("a", f32::fact(a)).unwrap();
        let y = model.add_source("b", f32::fact(b)).unwrap();
        let output = product(&mut model, formula, x, y);
        model.select_output_outlets(&[output]).unwrap();
        let names = same(&model, &[values(a, 1), values(b, 2)]);
        assert_eq!(names.contains(&"FastPair".to_owned()), fast, "{formula} of {a:?} and {b:?}: {names:?}");
    }
}

#[test]
fn a_tensor_times_itself_and_a_scale_behind_it() {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2, 6, 5])).unwrap();
    let scores = product(&mut model, "bmk,bnk->bmn", x, x);
    let scaled = with(&mut model, math::Mul, scores, values(&[1, 1, 1], 3));
    let shifted = with(&mut model, math::Add, scaled, values(&[1, 1, 1], 4));
    model.select_output_outlets(&[shifted]).unwrap();
    let names = same(&model, &[values(&[2, 6, 5], 1)]);
    assert!(!names.contains(&"Mul".to_owned()) && !names.contains(&"Add".to_owned()), "{names:?}");
}

#[test]
fn dense_layers_take_in_what_follows_them_unless_others_see_it() {
    for (seen, fused) in [(false, true), (true, false)] {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([3, 4, 20])).unwrap();
        let weights = model.add_const("weights", values(&[20, 48], 2)).unwrap();
        let y = product(&mut model, "abk,kn->abn", x, weights);
        let scaled = with(&mut model, math::Mul, y, values(&[1, 1, 48], 3));
        let shifted = with(&mut model, math::Add, scaled, values(&[1, 1, 48], 4));
        let active = with(&mut model, math::Max, shifted, tensor3(&[[[0f32]]]));
        let mut outputs = vec![active];
        outputs.extend(seen.then_some(scaled));
        model.select_output_outlets(&outputs).unwrap();
        let names = same(&model, &[values(&[3, 4, 20], 1)]);
        let count = |name: &str| names.iter().filter(|other| *other == name).count();
        assert_eq!(count("Fast"), 1, "{names:?}");
        assert_eq!(count("Add") + count("Max") == 0, fused, "{names:?}");
    }
}

#[test]
fn constants_that_do_not_fit_stay_where_they_are() {
    // Of another place in each row of the output, and too large for what they would be folded into.
    for (constant, op) in [
        (values(&[1, 4, 48], 3), Box::new(math::Add) as Box<dyn BinMiniOp>),
        (values(&[3, 1, 1], 3), Box::new(math::Mul)),
        (tensor3(&[[[f32::INFINITY]]]), Box::new(math::Mul)),
    ] {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([3, 4, 20])).unwrap();
        let weights = model.add_const("weights", values(&[20, 48], 2)).unwrap();
        let y = product(&mut model, "abk,kn->abn", x, weights);
        let constant = model.add_const("constant", constant).unwrap();
        let output = model.wire_node("with", TypedBinOp(op, None), &[y, constant]).unwrap()[0];
        model.select_output_outlets(&[output]).unwrap();
        let names = same(&model, &[values(&[3, 4, 20], 1)]);
        assert!(names.contains(&"Fast".to_owned()), "{names:?}");
    }
}

#[test]
fn of_nothing_and_of_unknown_lengths_nothing_is_made() {
    let mut model = TypedModel::default();
    let a = model.add_source("a", f32::fact([2, 3, 0])).unwrap();
    let b = model.add_source("b", f32::fact([2, 0, 4])).unwrap();
    let y = product(&mut model, "bik,bkj->bij", a, b);
    model.select_output_outlets(&[y]).unwrap();
    let names: Vec<_> = lay(&model, &[], usize::MAX).unwrap().graph.nodes.iter().map(|n| n.op.name()).collect();
    assert!(names.iter().all(|name| name != "FastPair"), "{names:?}");
    let mut model = TypedModel::default();
    let length = model.symbols.sym("N").to_dim();
    let a = model.add_source("a", f32::fact(&[length, 3.to_dim()])).unwrap();
    let b = model.add_const("b", values(&[3, 4], 1)).unwrap();
    let y = product(&mut model, "nk,km->nm", a, b);
    model.select_output_outlets(&[y]).unwrap();
    lay(&model, &[], usize::MAX).unwrap();
}

//! Shapley values of tree ensembles: against shap, against the model's own scores, and what is refused.

use assay::data::Case;
use assay::engine::Model;
use assay::suite::{Check, Chunk, Evidence, Subject, run};
use assay::tensor::Tensor;
use ndarray::{ArrayD, Axis};

use super::tables::{Tabular, explained, onnx, table, train};

/// The largest difference, as a share of 1 and the golden figure; golden figures of two classes are the second one's.
fn worst(evidence: &Evidence, golden: &Tensor) -> f64 {
    let classes = golden.shape().get(2).copied().unwrap_or(1);
    let golden: Vec<f64> = golden.to_f64().chunks(classes).map(|classes| classes[classes.len() - 1]).collect();
    let own = evidence.arrays["attribution"].to_f64();
    assert_eq!(own.len(), golden.len());
    own.iter().zip(golden).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

/// The largest residual, as a share of what the attributions add up to.
fn missed(evidence: &Evidence) -> f64 {
    evidence.verdicts.iter().map(|v| v.measures["residual_relative"]).fold(0.0, f64::max)
}

#[test]
fn both_ways_are_those_of_shap() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | interventional | path_dependent | additivity |\n|---|---|---|---|");
    for (name, data) in [("bc_gb", "breast_cancer"), ("bc_rf", "breast_cancer"), ("diabetes_gbr", "diabetes")] {
        let onnx = onnx(&corpus, name);
        let golden = |key: &str| explained(&corpus, name, key);
        let cases = table(&golden("x"));
        let target = if name == "diabetes_gbr" { "predicted" } else { "1" };
        let few = Tabular::new(&onnx, &golden("background")).explain(&cases, &format!("tree_shap:target={target}"));
        let spec = format!("tree_shap:perturbation=path_dependent,target={target}");
        let all = Tabular::new(&onnx, &train(&corpus, data)).explain(&cases, &spec);
        let apart = [worst(&few, &golden("treeshap_interventional")), worst(&all, &golden("treeshap_path_dependent"))];
        let added = missed(&few).max(missed(&all));
        println!("| {name} | {:.1e} | {:.1e} | {added:.1e} |", apart[0], apart[1]);
        // A random forest counts its nodes' rows in bootstrap samples, which no one else knows.
        let near = if name == "bc_rf" { 0.01 } else { 1e-4 };
        assert!(apart[0] < 1e-4 && apart[1] < near && added < 1e-6, "{name}: {apart:?}, {added}");
    }
}

/// The rise of what is explained from the first row to each of the others must be what the attributions add up to, with
/// that row as the only reference; `raw` makes it of the model's scores.
fn rises(onnx: &[u8], rows: &ArrayD<f32>, target: usize, raw: &dyn Fn(&[f32]) -> f64, what: &str) {
    let one = Tensor::F32(rows.select(Axis(0), &[0]));
    let subject = Tabular::new(onnx, &one);
    let name = subject.model.signature().probed().name.clone();
    let scores = subject.model.scores(&[(name, Tensor::F32(rows.clone()))].into()).unwrap();
    let raw: Vec<f64> = scores.rows().into_iter().map(|scores| raw(&scores.to_vec())).collect();
    let cases = table(&Tensor::F32(rows.clone()));
    assert!(raw.iter().any(|score| (score - raw[0]).abs() > 0.1), "{what}: {raw:?}");
    for perturbation in ["interventional", "path_dependent"] {
        let spec = format!("tree_shap:perturbation={perturbation},target={target}");
        let own = subject.explain(&cases, &spec).arrays["attribution"].to_f64();
        for (own, score) in own.chunks(own.len() / cases.len()).zip(&raw) {
            let (sum, rise) = (own.iter().sum::<f64>(), score - raw[0]);
            // Float32 probabilities hold log-odds to a few digits.
            assert!((sum - rise).abs() < 1e-3 * (1.0 + rise.abs()), "{what}, {perturbation}: {sum} for {rise}");
        }
    }
}

#[test]
fn the_sum_explained_is_the_models_own() {
    let named = [
        "ensemble_v5",
        "forest_average_none",
        "forest_sum_none",
        "mode_branch_eq",
        "mode_branch_gte",
        "mode_branch_lt",
        "mode_branch_neq",
        "sk_forest",
        "sk_forest_regressor",
        "sk_forest_zipmap",
        "trees_both",
        "trees_three_none",
    ];
    let mut found = 0;
    for specimen in super::zoo::zoo().iter().filter(|specimen| named.contains(&specimen.name.as_str())) {
        let Some(Tensor::F32(x)) = specimen.inputs.values().next() else { panic!("{}", specimen.name) };
        rises(&specimen.onnx, x, 0, &|scores| f64::from(scores[0]), &specimen.name);
        found += 1;
    }
    assert_eq!(found, named.len());
    let Some(corpus) = super::corpus::corpus() else { return };
    for name in ["bc_gb", "bc_rf", "diabetes_gbr"] {
        let onnx = onnx(&corpus, name);
        let golden = explained(&corpus, name, "background");
        let Tensor::F32(x) = golden else { panic!("{name}") };
        let raw = |scores: &[f32]| match name {
            "bc_gb" => f64::from(scores[1] / scores[0]).ln(),
            _ => f64::from(scores[scores.len() - 1]),
        };
        rises(&onnx, &x, usize::from(name != "diabetes_gbr"), &raw, name);
    }
}

fn specimen(name: &str) -> super::zoo::Specimen {
    super::zoo::zoo().into_iter().find(|specimen| specimen.name == name).unwrap()
}

#[test]
fn two_classes_of_one_score_are_explained_as_the_model_gives_them_in_any_company() {
    // A score of the first class stands for both. One of the second alone leaves the first a constant.
    let opposite = [("trees_two_class_logistic", true), ("trees_two_positive_none", true)];
    for (name, opposite) in opposite.into_iter().chain([("trees_second_class_none", false)]) {
        let forest = specimen(name);
        let Some(Tensor::F32(x)) = forest.inputs.values().next() else { panic!("{name}") };
        let rows = Tensor::F32(x.clone());
        let (subject, cases) = (Tabular::new(&forest.onnx, &rows), table(&rows));
        let of = |spec: &str, cases: &[Case]| subject.explain(cases, spec).arrays["attribution"].to_f64();
        for perturbation in ["interventional", "path_dependent"] {
            let spec = |target: &str| format!("tree_shap:perturbation={perturbation},target={target}");
            let (first, second) = (of(&spec("0"), &cases), of(&spec("1"), &cases));
            assert!(second.iter().any(|v| *v != 0.0));
            let is = |(a, b): (&f64, &f64)| if opposite { *a == -b } else { *a == 0.0 };
            assert!(first.iter().zip(&second).all(is), "{name}");
            let width = first.len() / cases.len();
            for (i, case) in cases.iter().enumerate() {
                assert_eq!(of(&spec("1"), std::slice::from_ref(case)), second[i * width..][..width], "{name}, {i}");
            }
        }
        // Probabilities of a logistic ensemble are no sum of trees, so that only sums can be set beside all coalitions.
        for target in ["0", "1"].into_iter().filter(|_| name.ends_with("_none")) {
            let [trees, exact] =
                ["tree_shap", "exact_shapley"].map(|name| of(&format!("{name}:target={target}"), &cases));
            let apart = trees.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(trees.len() == exact.len() && apart < 1e-5, "{name}, class {target}: {apart}");
        }
    }
}

#[test]
fn what_is_not_one_sum_of_trees_says_why() {
    for (name, signature, expect) in [
        ("sk_forest", "", ""),
        ("sk_forest", "input: {preprocess: [{scale: 2}]}", "its signature's preprocessing stands before it"),
        ("sk_ridge", "", "it has no tree ensemble"),
        ("forest_max_none", "", "its trees are not added up"),
        ("sk_adaboost", "", "it has 4 tree ensembles"),
    ] {
        let model = Model::load(&specimen(name).onnx, signature).unwrap();
        assert_eq!(model.trees().err().unwrap_or_default(), expect, "{name}");
    }
    let ridge = specimen("sk_ridge");
    let Some(Tensor::F32(x)) = ridge.inputs.values().next() else { panic!("{}", ridge.name) };
    let subject = Tabular::new(&ridge.onnx, &Tensor::F32(x.clone()));
    let target = Subject { background: &subject.background, ..Subject::new(&subject.model) };
    let chunk = Chunk::new(&subject.model, &table(&Tensor::F32(x.clone())), 0).unwrap();
    let error = run(&target, &chunk, &Check::parse("tree_shap").unwrap(), 0, 0, true).unwrap_err().to_string();
    assert!(error.contains("tree_shap wants a model that is one tree ensemble; it has no tree ensemble"), "{error}");
}

//! Explanations: against captum, adding up to what they explain, the same bits in any company.

use std::collections::BTreeMap;
use std::path::Path;

use assay::data::{self, Case, Class, Expected, Value};
use assay::engine::{Differentiated, Graph, Layer, Model, Wish};
use assay::suite::{Check, Chunk, Evidence, Missing, Outcome, Subject, Summary, run, validate};
use assay::tensor::Tensor;
use ndarray::Axis;

use super::models::array;
use super::tables::{Tabular, explained};

const MNIST: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

pub(super) struct Pair {
    pub(super) model: Model,
    gradient: Differentiated,
    background: Vec<Vec<f32>>,
}

impl Pair {
    pub(super) fn load(onnx: &[u8]) -> Self {
        let graph = Graph::read(onnx).unwrap();
        let model = Model::of(&graph, "").unwrap();
        let wish = Wish { batch: model.batch(), ..Wish::default() };
        let gradient = Differentiated::of(&graph, model.signature(), &wish).unwrap();
        Self { model, gradient, background: Vec::new() }
    }

    /// Differentiated with respect to the last convolution too.
    fn with_layer(onnx: &[u8]) -> Self {
        let (graph, pair) = (Graph::read(onnx).unwrap(), Self::load(onnx));
        let wish = Wish { batch: pair.model.batch(), ..Wish::default() };
        let wish = wish.beside(&graph, pair.model.signature(), Some(&Layer::LastConvolution)).unwrap();
        Self { gradient: Differentiated::of(&graph, pair.model.signature(), &wish).unwrap(), ..pair }
    }

    pub(super) fn explain(&self, cases: &[Case], spec: &str) -> Evidence {
        let (gradient, background) = (Some(&self.gradient), self.background.as_slice());
        let subject = Subject { gradient, background, ..Subject::new(&self.model) };
        let chunk = Chunk::new(&self.model, cases, 0).unwrap();
        run(&subject, &chunk, &Check::parse(spec).unwrap(), 0, 0, true).unwrap()
    }
}

pub(super) fn digits(n: usize) -> Vec<Case> {
    let cases = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    cases.take(n).map(Result::unwrap).collect()
}

/// The rows and classes of a golden file.
fn rows(file: &Path) -> Vec<Case> {
    let (x, target) = (array(file, "x").unwrap(), array(file, "target").unwrap());
    let Tensor::F32(x) = x else { panic!("{:?}", x.dtype()) };
    let classes = target.to_f64();
    let case = |(i, (x, class)): (usize, (ndarray::ArrayViewD<'_, f32>, &f64))| {
        let inputs = BTreeMap::from([("input".to_owned(), Value::Tensor(Tensor::F32(x.to_owned())))]);
        let expected = Expected::Class { label: Class::Index(*class as u64), acceptable: Vec::new() };
        Case { id: i.to_string(), inputs, expected, tags: BTreeMap::new() }
    };
    x.axis_iter(Axis(0)).zip(&classes).enumerate().map(case).collect()
}

/// Euclidean distance of two rows, relative to the second.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    size(&mut a.iter().zip(b).map(|(a, b)| a - b)) / size(&mut b.iter().copied())
}

/// The largest such distance over the rows of two tensors; the first times `factor`.
fn worst(own: &Tensor, factor: f64, golden: &Tensor) -> f64 {
    assert_eq!(own.shape(), golden.shape());
    let rows = own.shape()[0];
    let (own, golden) = (own.to_f64(), golden.to_f64());
    let own: Vec<f64> = own.into_iter().map(|v| v * factor).collect();
    let width = own.len() / rows;
    own.chunks(width).zip(golden.chunks(width)).map(|(a, b)| apart(a, b)).fold(0.0, f64::max)
}

const INTEGRATED: [&str; 7] = [
    "bc_mlp",
    "digits_cnn",
    "efficientnet_lite0",
    "mnist_cnn",
    "mnist_cnn_at",
    "mnist_mlp_fixed1",
    "mnist_mlp_overfit",
];

#[test]
fn integrated_gradients_are_those_of_captum() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | gausslegendre | riemann_trapezoid | completeness, relative |\n|---|---|---|---|");
    for name in INTEGRATED {
        let pair = Pair::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap());
        let file = corpus.join(format!("golden/explain_ig_{name}.npz"));
        let cases = rows(&file);
        let explain =
            |method: &str| pair.explain(&cases, &format!("integrated_gradients:target=label,method={method}"));
        let [gauss, trapezoid] = ["gausslegendre", "riemann_trapezoid"].map(|method| {
            let evidence = explain(method);
            // captum divides the way by the number of places, not of the steps between them: its trapezoids add up to
            // 49 / 50 of it.
            let factor = if method == "riemann_trapezoid" { 49.0 / 50.0 } else { 1.0 };
            (worst(&evidence.arrays["attribution"], factor, &array(&file, method).unwrap()), evidence)
        });
        // Where a ReLU6 of the network lies near a bound, float32 decides by its last bits: captum's own figures for
        // efficientnet_lite0 are 1.6e-3 from those it gives in float64.
        let most = if name == "efficientnet_lite0" { 5e-3 } else { 1e-3 };
        let missed = gauss.1.verdicts.iter().map(|v| v.measures["residual_relative"]).fold(0.0, f64::max);
        println!("| {name} | {:.1e} | {:.1e} | {missed:.1e} |", gauss.0, trapezoid.0);
        assert!(gauss.0 < most && trapezoid.0 < most, "{name}");
        // Its residual is captum's convergence delta.
        let delta = array(&file, "delta_gausslegendre").unwrap().to_f64();
        for (verdict, delta) in gauss.1.verdicts.iter().zip(delta) {
            assert!((verdict.measures["residual"] - delta.abs()).abs() < most * (1.0 + delta.abs()), "{name}: {delta}");
        }
    }
}

#[test]
fn occlusion_is_that_of_captum() {
    let Some(corpus) = super::corpus::corpus() else { return };
    for name in ["mnist_cnn", "mnist_cnn_at", "mnist_mlp_fixed1", "mnist_mlp_overfit", "efficientnet_lite0"] {
        let pair = Pair::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap());
        let file = corpus.join(format!("golden/explain_occlusion_{name}.npz"));
        let (window, stride) = if name.starts_with("mnist") { (4, 2) } else { (32, 16) };
        let evidence = pair.explain(&rows(&file), &format!("occlusion:target=label,window={window},stride={stride}"));
        let found = worst(&evidence.arrays["attribution"], 1.0, &array(&file, "attribution").unwrap());
        println!("{name}: {found:.1e}");
        assert!(found < 1e-4, "{name}: {found}");
    }
}

/// A SPEC of an explainer that costs little; of what is not named here the defaults do.
fn cheap(name: &str) -> String {
    let params = match name {
        "exact_shapley" => "segments=6",
        "kernel_shap" => "segments=20,n_samples=100",
        "permutation_shap" => "segments=10,permutations=2",
        "expected_gradients" | "gradient_shap" | "smooth_grad" | "vargrad" | "rise" | "lime" => "n_samples=12",
        _ => return name.to_owned(),
    };
    format!("{name}:{params}")
}

#[test]
fn attributions_and_their_residuals_are_true_in_any_company() {
    let mut pair = Pair::with_layer(MNIST);
    let cases = digits(15);
    pair.background = assay::suite::background(&pair.model, &digits(24)[20..]).unwrap();
    for entry in assay::probe::explainer::EXPLAINERS {
        let spec = cheap(entry.manual.name);
        let check = Check::parse(&spec).unwrap();
        let summary = summary(&cases);
        if validate(
            pair.model.signature(),
            Missing { gradient: "", trees: "no trees" },
            &summary,
            std::slice::from_ref(&check),
            &[],
        )
        .is_err()
        {
            continue;
        }
        let whole = pair.explain(&cases, &spec);
        assert!(whole.verdicts.iter().all(|v| v.outcome == Outcome::Held || v.outcome == Outcome::Broken), "{spec}");
        let values = whole.arrays["attribution"].to_f64();
        let width = values.len() / cases.len();
        for (i, case) in cases.iter().enumerate().step_by(7) {
            let alone = pair.explain(std::slice::from_ref(case), &spec);
            assert_eq!(alone.arrays["attribution"].to_f64(), &values[i * width..][..width], "{spec}, case {i}");
            assert_eq!(alone.verdicts[0].measures, whole.verdicts[i].measures, "{spec}, case {i}");
        }
        // The ledger agrees with the manual.
        let cost = check.cost(pair.model.signature(), pair.background.len() as u64);
        let asked = whole.verdicts[0].measures["explanation_queries"];
        assert!(asked > 0.0 && asked <= (cost.forward + cost.gradient) as f64, "{spec}: {asked} of {cost:?}");
        println!("{spec}: residual {:.2}", whole.verdicts[0].measures["residual_relative"]);
    }
}

pub(super) fn summary(cases: &[Case]) -> Summary {
    let mut summary = Summary::default();
    cases.iter().for_each(|case| summary.add(case).unwrap());
    summary.finish();
    summary
}

#[test]
fn what_gradients_of_many_baselines_add_up_to_is_known() {
    let mut pair = Pair::load(MNIST);
    pair.background = assay::suite::background(&pair.model, &digits(40)[20..]).unwrap();
    let missed = |spec: &str| {
        let evidence = pair.explain(&digits(6), spec);
        evidence.verdicts.iter().map(|v| v.measures["residual_relative"]).fold(0.0, f64::max)
    };
    // Samples that are spread evenly are nearer than random ones of the same number.
    let (few, many, random) = (
        missed("expected_gradients"),
        missed("expected_gradients:n_samples=2000"),
        missed("gradient_shap:n_samples=200"),
    );
    println!("expected_gradients {few:.3}, with ten times the samples {many:.3}; gradient_shap {random:.3}");
    assert!(few < 0.1 && many < 0.01 && random < 0.5, "{few} {many} {random}");
}

#[test]
fn walks_through_orders_give_shapley_values() {
    let Some(corpus) = super::corpus::corpus() else { return };
    for (name, most) in [("diabetes_ridge", 1e-5), ("diabetes_gbr", 0.05)] {
        let (subject, cases) = Tabular::golden(&corpus, name);
        let golden = explained(&corpus, name, "exact");
        let walked = subject.explain(&cases, "permutation_shap:permutations=50");
        let own = walked.arrays["attribution"].to_f64();
        let off = own.chunks(10).zip(golden.to_f64().chunks(10)).map(|(a, b)| apart(a, b)).fold(0.0, f64::max);
        let missed = walked.verdicts.iter().map(|v| v.measures["residual_relative"]).fold(0.0, f64::max);
        println!("{name}: {off:.1e} from the exact values, additive to {missed:.0e}");
        assert!(off < most && missed < 1e-6, "{name}: {off}, {missed}");
        // What a linear model loses with a feature is its own share.
        if name == "diabetes_ridge" {
            let ablated = subject.explain(&cases, "feature_ablation:baseline=background");
            assert!(worst(&ablated.arrays["attribution"], 1.0, &golden.clone()) < 1e-4);
        }
    }
}

#[test]
fn groups_get_the_sum_of_what_their_features_would() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (subject, cases) = Tabular::golden(&corpus, "diabetes_ridge");
    let alone = subject.explain(&cases, "exact_shapley").arrays["attribution"].to_f64();
    let grouped = subject.explain(&cases, "exact_shapley:groups=0+1+2 8+9").arrays["attribution"].to_f64();
    for (alone, grouped) in alone.chunks(10).zip(grouped.chunks(10)) {
        for group in [&[0, 1, 2][..], &[8, 9]] {
            let sum: f64 = group.iter().map(|i| alone[*i]).sum();
            assert!(group.iter().all(|i| (grouped[*i] - sum / group.len() as f64).abs() < 1e-3), "{group:?}");
        }
        assert!((alone[5] - grouped[5]).abs() < 1e-3);
    }
}

#[test]
fn another_class_and_another_output_are_explained_on_demand() {
    let (pair, cases) = (Pair::load(MNIST), digits(6));
    let sums = |spec: &str| -> Vec<f64> {
        let values = pair.explain(&cases, spec).arrays["attribution"].to_f64();
        values.chunks(784).map(|row| row.iter().sum()).collect()
    };
    // What integrated gradients add up to is known without them.
    let clean = pair.model.scores(&tensors(&cases)).unwrap();
    let blank: Vec<Case> = cases
        .iter()
        .map(|case| {
            let zero = Value::Tensor(Tensor::F32(ndarray::ArrayD::zeros(vec![1, 28, 28])));
            Case { inputs: BTreeMap::from([("input".to_owned(), zero)]), ..case.clone() }
        })
        .collect();
    let without = pair.model.scores(&tensors(&blank)).unwrap();
    let probability = |scores: &[f32], class: usize| {
        let sum: f64 = scores.iter().map(|s| f64::from(s - scores[class]).exp()).sum();
        sum.recip()
    };
    let logits = sums("integrated_gradients:target=3,n_steps=200");
    let probabilities = sums("integrated_gradients:target=3,n_steps=200,output=probability");
    for i in 0..cases.len() {
        let (with, without) = (clean.row(i).to_vec(), without.row(i).to_vec());
        let rise = f64::from(with[3]) - f64::from(without[3]);
        assert!((logits[i] - rise).abs() < 0.01 * (1.0 + rise.abs()), "{} for {rise}", logits[i]);
        let rise = probability(&with, 3) - probability(&without, 3);
        assert!((probabilities[i] - rise).abs() < 0.01, "{} for {rise}", probabilities[i]);
    }
}

#[test]
fn shapley_values_are_those_of_shap() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | exact | kernel | additivity |\n|---|---|---|---|");
    for name in ["diabetes_ridge", "diabetes_gbr"] {
        let (subject, cases) = Tabular::golden(&corpus, name);
        let golden = explained(&corpus, name, "exact");
        let compare = |evidence: &Evidence| {
            let own = evidence.arrays["attribution"].to_f64();
            assert_eq!(own.len(), golden.to_f64().len());
            own.iter().zip(golden.to_f64()).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
        };
        // Ten values have 1022 coalitions, fewer than there are samples: the regression is exact too.
        let (exact, kernel) = (subject.explain(&cases, "exact_shapley"), subject.explain(&cases, "kernel_shap"));
        let missed = kernel.verdicts.iter().map(|v| v.measures["residual_relative"]).fold(0.0, f64::max);
        println!("| {name} | {:.1e} | {:.1e} | {missed:.1e} |", compare(&exact), compare(&kernel));
        assert!(compare(&exact) < 1e-5 && compare(&kernel) < 1e-5 && missed < 1e-6, "{name}");
    }
}

#[test]
fn drawn_shapley_values_add_up_and_are_exact_for_a_linear_model() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (subject, cases) = Tabular::golden(&corpus, "diabetes_ridge");
    let golden = explained(&corpus, "diabetes_ridge", "exact");
    let drawn = subject.explain(&cases, "kernel_shap:n_samples=100");
    let (own, golden) = (drawn.arrays["attribution"].to_f64(), golden.to_f64());
    assert!(own.chunks(10).zip(golden.chunks(10)).all(|(a, b)| apart(a, b) < 1e-4));
    for name in ["bc_logreg", "bc_rf", "bc_gb", "bc_svm"] {
        let (subject, cases) = Tabular::golden(&corpus, name);
        let evidence = subject.explain(&cases, "kernel_shap:target=1,n_samples=2048");
        let missed = evidence.verdicts.iter().map(|v| v.measures["residual"]).fold(0.0, f64::max);
        assert!(missed < 1e-6, "{name}: {missed}");
        assert_eq!(subject.explain(&cases, "kernel_shap:target=1,n_samples=2048"), evidence, "{name}");
        // Eight times the samples change little.
        let more = subject.explain(&cases, "kernel_shap:target=1,n_samples=16384");
        let moved = worst(&evidence.arrays["attribution"], 1.0, &more.arrays["attribution"]);
        // shap's own leave out all but ten values, so that only the largest is set beside it.
        let golden = explained(&corpus, name, "kernelshap");
        let (classes, golden) = (golden.shape()[2], golden.to_f64());
        let of_class: Vec<f64> = golden.chunks(classes).map(|classes| classes[1]).collect();
        let own = evidence.arrays["attribution"].to_f64();
        let agree = own.chunks(30).zip(of_class.chunks(30)).filter(|(a, b)| rank(a)[..3].contains(&rank(b)[0])).count();
        println!(
            "{name}: additive to {missed:.0e}, {moved:.2} from eight times the samples, {agree} of 4 tops are shap's"
        );
        assert!(moved < 0.3 && agree >= 3, "{name}: {moved}, {agree}");
    }
}

/// Places by size, the largest first.
pub(super) fn rank(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
    order
}

#[test]
fn reference_rows_come_with_the_job() {
    use crate::cli::{assay, lines, stderr};
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, cases, background) = (file("forest.onnx"), file("cases.csv"), file("background.csv"));
    let forest = super::zoo::zoo().into_iter().find(|specimen| specimen.name == "sk_forest").unwrap();
    std::fs::write(&model, forest.onnx).unwrap();
    std::fs::write(&cases, "a,b,c,d,label\n5.1,3.5,1.4,0.2,0\n6.2,2.9,4.3,1.3,1\n").unwrap();
    std::fs::write(&background, "a,b,c,d,label\n6.5,3.0,5.2,2.0,2\n5.0,3.4,1.5,0.2,0\n5.8,2.7,4.1,1.0,1\n").unwrap();
    let run = |more: &[&str]| {
        let args = ["run", "--model", &model, "--cases", &cases, "--output", "jsonl"];
        assay(&[&args[..], more].concat())
    };
    let refused = run(&["--check", "exact_shapley"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--background"), "{}", stderr(&refused));
    let checks = ["--check", "exact_shapley", "--check", "kernel_shap", "--background", &background];
    let output = run(&checks);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = lines(&output);
    for line in &lines[..4] {
        assert!(line["measures"]["residual"].as_f64().unwrap() < 1e-6, "{line}");
        assert!(line["measures"]["explanation_queries"].as_f64().unwrap() > 3.0, "{line}");
    }
}

/// Cases of arrays as one batch.
pub(super) fn tensors(cases: &[Case]) -> assay::tensor::Tensors {
    let rows = cases.iter().map(|case| match &case.inputs.values().next().unwrap() {
        Value::Tensor(Tensor::U8(a)) => Tensor::F32(a.mapv(|v| f32::from(v) / 255.0)),
        Value::Tensor(other) => other.clone(),
        Value::Image(_) => panic!("a picture"),
    });
    let rows: Vec<Tensor> = rows.collect();
    [("input".to_owned(), Tensor::stack(&rows.iter().collect::<Vec<_>>()).unwrap())].into()
}

#[test]
fn explanations_stand_beside_attacks_and_corruptions() {
    use crate::cli::{lines, run, stderr};
    let checks =
        ["--check", "integrated_gradients", "--check", "pgd:eps=0.1,steps=3", "--check", "contrast:severity=2"];
    let gate = ["--gate", "integrated_gradients.residual_relative <= 0.05"];
    let args = [&checks[..], &gate, &["--limit", "20", "--output", "jsonl"]].concat();
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = lines(&output);
    let report = &lines[60]["report"];
    let names = |check: usize| -> Vec<&str> {
        let metrics = report["checks"][check]["metrics"].as_array().unwrap();
        metrics.iter().map(|m| m["name"].as_str().unwrap()).collect()
    };
    assert_eq!(names(0), ["residual", "residual_relative", "queries_mean"]);
    assert_eq!(names(1)[0], "robust_accuracy");
    assert_eq!(names(2)[0], "accuracy");
    assert_eq!(report["gates"][0]["passed"], true, "{report}");
    let other = run(&[&args[..], &["--slots", "1"]].concat());
    assert_eq!(output.stdout, other.stdout);
}

#[test]
fn what_cannot_be_explained_is_refused() {
    use crate::cli::{run, stderr};
    for (check, expect) in [
        ("integrated_gradients:target=10", "checks[0].params.target: class 10 was found"),
        ("integrated_gradients:n_steps=1", "a whole number from 2 to 1000"),
        ("occlusion:baseline=grey", "zero or mean or blurred or background or a number"),
        ("saliencey", "did you mean saliency?"),
        ("kernel_shap:groups=each", "784 groups of values were found, at most 512 are explained"),
        ("tree_shap", "checks[0].name: tree_shap wants a model that is one tree ensemble; it has no tree ensemble"),
    ] {
        let output = run(&["--check", check]);
        assert_eq!(output.status.code(), Some(2), "{check}");
        assert!(stderr(&output).contains(expect), "{check}: {}", stderr(&output));
    }
}

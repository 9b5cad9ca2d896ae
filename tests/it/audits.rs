//! Audits: against scikit-learn's figures, on a server, the same whatever the slots.

use std::collections::BTreeMap;
use std::path::Path;

use assay::data::{Case, Class, Expected, Value};
use assay::engine::{Limits, Model, Target, prepare};
use assay::probe::audit::{Asked, Draw, Frame, Reduced, Table, find};
use assay::probe::explainer::Case as Explained;
use assay::suite::{Check, CheckReport, Chunk, Fold, Scope, Slicer, Subject, Survey, run};
use assay::tensor::Tensor;
use serde_json::{Value as Json, json};

use super::cli::{assay, lines, stderr};
use super::models::array;

/// Rows with the answers expected of them, classes or values.
fn table(rows: &Tensor, answers: &[f64], classes: bool) -> Vec<Case> {
    let rows = rows.to_f64().chunks(rows.shape()[1]).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let case = |(i, (row, answer)): (usize, (Vec<f64>, &f64))| {
        let row = ndarray::Array1::from_iter(row.into_iter().map(|v| v as f32)).into_dyn();
        let class = Class::Index(*answer as u64);
        let expected =
            if classes { Expected::Class { label: class, acceptable: Vec::new() } } else { Expected::Value(*answer) };
        let inputs = BTreeMap::from([("input".to_owned(), Value::Tensor(Tensor::F32(row)))]);
        Case { id: i.to_string(), inputs, expected, tags: BTreeMap::new() }
    };
    rows.into_iter().zip(answers).enumerate().map(case).collect()
}

/// The report of an audit over cases that come in shards of some size.
fn audit(model: &Model, cases: &[Case], background: &[Vec<f32>], spec: &str, shard: usize) -> CheckReport {
    let mut survey = Survey::default();
    survey.add(model, cases, 0);
    let checks = [Check::parse(spec).unwrap()];
    let subject = Subject { background, survey: Some(&survey), ..Subject::new(model) };
    let (slices, size) = (Slicer::default(), model.signature().output.size);
    let n = cases.len() as u64;
    let mut fold =
        Fold::new(Scope { checks: &checks, gates: &[], outputs: size, classes: &[], slices: &slices, cases: n });
    // The last shard comes first: the order is nobody's promise.
    for (i, some) in cases.chunks(shard).enumerate().collect::<Vec<_>>().into_iter().rev() {
        let chunk = Chunk::new(model, some, (i * shard) as u64).unwrap();
        let evidence = run(&subject, &chunk, &checks[0], 0, 7, true).unwrap();
        assert_eq!(evidence.arrays["figures"].shape()[0], some.len());
        fold.add(&evidence.verdicts, &evidence.tags);
        fold.add_audits(&evidence.audits);
    }
    fold.report(None).checks.remove(0)
}

fn load(corpus: &std::path::Path, name: &str) -> Model {
    Model::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap(), "").unwrap()
}

fn data(corpus: &std::path::Path, name: &str, part: &str) -> Vec<Case> {
    let classes = name.starts_with("bc");
    let file = corpus.join(if classes { "data/breast_cancer.npz" } else { "data/diabetes.npz" });
    let rows = array(&file, &format!("x_{part}")).unwrap();
    table(&rows, &array(&file, &format!("y_{part}")).unwrap().to_f64(), classes)
}

const TABULAR: [&str; 7] = ["bc_gb", "bc_logreg", "bc_rf", "bc_skmlp", "bc_svm", "diabetes_gbr", "diabetes_ridge"];

#[test]
fn partial_dependence_is_that_of_scikit_learn() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | grid | mean |\n|---|---|---|");
    // The corpus has figures of diabetes_gbr by scikit-learn's other method, which weighs the branches of trees by the rows
    // they were fitted to; those of the definition are in tests/golden.
    for name in TABULAR.into_iter().filter(|name| *name != "diabetes_gbr") {
        let (model, file) = (load(&corpus, name), corpus.join(format!("golden/explain_tabular_{name}.npz")));
        let cases = data(&corpus, name, "train");
        let report = audit(&model, &cases, &[], "partial_dependence:features=0 1 2 3,grid_resolution=20", 64);
        let mut worst = [0.0f64; 2];
        for (j, curve) in report.curves.iter().enumerate() {
            let golden = |what: &str| array(&file, &format!("pd_{what}_{j}")).unwrap().to_f64();
            worst[0] = worst[0].max(apart(&curve.axes[0], &golden("grid")));
            worst[1] = worst[1].max(apart(&curve.mean, &golden("value")));
        }
        println!("| {name} | {:.1e} | {:.1e} |", worst[0], worst[1]);
        assert!(report.curves.len() == 4 && worst[0] < 1e-5 && worst[1] < 1e-5, "{name}: {worst:?}");
    }
}

#[test]
fn importances_are_those_of_other_permutations() {
    let Some(corpus) = super::corpus::corpus() else { return };
    for name in TABULAR {
        let (model, file) = (load(&corpus, name), corpus.join(format!("golden/explain_tabular_{name}.npz")));
        let report = audit(&model, &data(&corpus, name, "test"), &[], "permutation_importance:repeats=30", 50);
        let [mean, std] = ["mean", "std"].map(|what| array(&file, &format!("permutation_{what}")).unwrap().to_f64());
        assert_eq!(report.metrics.len(), mean.len());
        // Both are means of thirty permutations; the standard error of their difference is as follows.
        let far =
            report.metrics.iter().zip(mean.iter().zip(&std)).map(|(metric, (mean, std))| {
                (metric.value - mean).abs() / (2.0f64.sqrt() * std / 30.0f64.sqrt() + 1e-3)
            });
        let far = far.fold(0.0, f64::max);
        println!("{name}: {far:.1} standard errors from scikit-learn's at most");
        assert!(far < 4.5, "{name}: {far}");
    }
}

/// An array of the golden file that other libraries made (tests/golden/explain.md says what each is).
fn golden(name: &str) -> Tensor {
    array(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/explain.npz")), name).unwrap()
}

/// The largest difference, relative to one more than the second.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

/// What an audit finds when it asks what `change` makes of its frame.
fn given(model: &Model, cases: &[Case], name: &str, params: Json, change: impl Fn(&mut Frame)) -> Reduced {
    let auditor = (find(name).unwrap().read)(params.as_object().unwrap()).unwrap();
    let prepared: Vec<_> = cases.iter().map(|case| prepare(case, model.signature()).unwrap()).collect();
    let inputs: Vec<_> = prepared.iter().map(|prepared| &prepared.inputs).collect();
    let rows: Vec<Vec<f32>> = inputs.iter().map(|inputs| inputs["input"].to_f32()).collect();
    let (width, values) = (rows[0].len(), rows.concat());
    let table = Table { width, values, positions: (0..cases.len() as u64).collect() };
    let draw = || Draw { seed: 0, check: "" };
    let mut frame = auditor.fit(&table, model.signature(), &draw()).unwrap();
    change(&mut frame);
    let explained: Vec<_> =
        rows.iter().map(|x| Explained { id: String::new(), x: x.clone(), class: 0, mask: None }).collect();
    let asked = Asked {
        target: &Target::new(model, None, inputs, Limits::default()),
        cases: &explained,
        answers: &prepared.iter().map(|prepared| &prepared.answer).collect::<Vec<_>>(),
        places: &(0..cases.len()).collect::<Vec<_>>(),
        table: &table,
        frame: &frame,
        background: &[],
        draw: draw(),
    };
    let figures = auditor.ask(&asked).unwrap();
    auditor.reduce(&frame, &figures.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn importance_of_given_permutations_is_that_of_scikit_learn() {
    let Some(corpus) = super::corpus::corpus() else { return };
    for (name, metric, scorer) in [
        ("diabetes_gbr", "r2", "importance_r2"),
        ("bc_logreg", "accuracy", "importance_accuracy"),
        ("bc_logreg", "nll", "importance_neg_log_loss"),
    ] {
        let permutations = golden(&format!("{name}__permutations")).to_f64();
        let (model, cases) = (load(&corpus, name), data(&corpus, name, "test"));
        // Each feature has permutations of its own there.
        let importance = |(feature, permutations): (usize, &[f64])| {
            let params = json!({ "metric": metric, "repeats": 3, "features": feature });
            let found = given(&model, &cases, "permutation_importance", params, |frame| {
                let order = |order: &[f64]| order.iter().map(|place| *place as u32).collect();
                frame.orders = permutations.chunks(cases.len()).map(order).collect();
                assert_eq!((frame.orders.len(), frame.panels.len()), (3, 1));
            });
            found.metrics[0].2.value
        };
        let own: Vec<f64> = permutations.chunks(3 * cases.len()).enumerate().map(importance).collect();
        let theirs = golden(&format!("{name}__{scorer}")).to_f64();
        let means: Vec<f64> = theirs.chunks(3).map(|repeats| repeats.iter().sum::<f64>() / 3.0).collect();
        println!("{name} {metric}: {:.1e}", apart(&own, &means));
        assert!(apart(&own, &means) < 1e-5, "{name} {metric}");
    }
}

#[test]
fn curves_and_interactions_are_those_of_other_libraries() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (model, cases) = (load(&corpus, "diabetes_gbr"), data(&corpus, "diabetes_gbr", "test"));
    let of = |name: &str| golden(&format!("diabetes_gbr__{name}")).to_f64();
    let pair = &audit(&model, &cases, &[], "partial_dependence:features=2*8,grid_resolution=8", 64).curves[0];
    let single = &audit(&model, &cases[..30], &[], "partial_dependence:features=2,grid_resolution=10", 64).curves[0];
    // PyALE's edges are not those of the method's authors, so it is given them.
    let local = given(&model, &cases, "accumulated_local_effects", json!({ "features": "2 8" }), |frame| {
        for panel in &mut frame.panels {
            panel.axes = vec![of(&format!("ale_{}_edges", panel.features[0]))];
        }
    });
    let interaction = audit(&model, &cases[..50], &[], "feature_interaction:features=2*8 2*3,n_samples=50", 64);
    let h: Vec<f64> = interaction.metrics.iter().map(|metric| metric.value.powi(2)).collect();
    for (what, own, theirs) in [
        ("grid of bmi", &pair.axes[0], of("pd_2_8_grid_0")),
        ("grid of s5", &pair.axes[1], of("pd_2_8_grid_1")),
        ("partial dependence on both", &pair.mean, of("pd_2_8")),
        ("grid of thirty", &single.axes[0], of("ice_2_grid")),
        ("mean of thirty", &single.mean, of("ice_2_mean")),
        ("effects of bmi", &local.curves[0].mean, of("ale_2")),
        ("effects of s5", &local.curves[1].mean, of("ale_8")),
        ("H squared", &h, [of("h2_2_8"), of("h2_2_3")].concat()),
    ] {
        println!("{what}: {:.1e}", apart(own, &theirs));
        assert!(apart(own, &theirs) < 1e-5, "{what}: {own:?} {theirs:?}");
    }
}

#[test]
fn effects_of_a_linear_model_are_known() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (model, cases) = (load(&corpus, "diabetes_ridge"), data(&corpus, "diabetes_ridge", "test"));
    let background = assay::suite::background(&model, &cases[..20]).unwrap();
    let slope = |curve: &assay::probe::audit::Curve| {
        let (x, y) = (&curve.axes[0], &curve.mean);
        (y[y.len() - 1] - y[0]) / (x[x.len() - 1] - x[0])
    };
    let dependence = audit(&model, &cases, &[], "partial_dependence", 32);
    let local = audit(&model, &cases, &[], "accumulated_local_effects", 32);
    for (dependence, local) in dependence.curves.iter().zip(&local.curves) {
        let (a, b) = (slope(dependence), slope(local));
        assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{}: {a} and {b}", dependence.name);
    }
    // What does not act together has no interaction, and counts by its own spread.
    let interaction = audit(&model, &cases, &[], "feature_interaction:features=2*8 0*1,n_samples=20", 32);
    assert!(interaction.metrics.iter().all(|metric| metric.value < 1e-2), "{:?}", interaction.metrics);
    let global = audit(&model, &cases, &background, "global_shap", 32);
    let order = |report: &CheckReport| {
        let mut order: Vec<usize> = (0..10).collect();
        order.sort_by(|a, b| report.metrics[*b].value.total_cmp(&report.metrics[*a].value));
        order
    };
    let importance = audit(&model, &cases, &[], "permutation_importance:metric=rmse,repeats=20", 32);
    assert_eq!(order(&global)[..2], order(&importance)[..2]);
    // A boosted model does let features act together.
    let boosted = load(&corpus, "diabetes_gbr");
    let interaction = audit(&boosted, &cases, &[], "feature_interaction:features=2*8,n_samples=40", 32);
    println!("bmi and s5 of diabetes_gbr: H {:.3}", interaction.metrics[0].value);
    assert!(interaction.metrics[0].value > 0.05);
}

#[test]
fn what_an_audit_says_does_not_depend_on_how_cases_are_cut() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (model, cases) = (load(&corpus, "bc_rf"), data(&corpus, "bc_rf", "test"));
    let background = assay::suite::background(&model, &cases[..4]).unwrap();
    for spec in [
        "permutation_importance:metric=nll,features=0+1 2 3+4+5",
        "partial_dependence:features=0*1 2,grid_resolution=6,centered=true",
        "accumulated_local_effects:features=3 4,target=0",
        "feature_interaction:features=0*1,n_samples=10",
        "global_shap:explainer=permutation_shap",
    ] {
        let cases = &cases[..40];
        assert_eq!(audit(&model, cases, &background, spec, 40), audit(&model, cases, &background, spec, 7), "{spec}");
    }
}

/// A forest and forty cases, in files.
struct Forest {
    folder: tempfile::TempDir,
    cases: String,
}

impl Forest {
    fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let forest = super::zoo::zoo().into_iter().find(|specimen| specimen.name == "sk_forest").unwrap();
        std::fs::write(folder.path().join("forest.onnx"), forest.onnx).unwrap();
        let signature = "input: {features: [sepal, width, petal, petal_width]}\n";
        std::fs::write(folder.path().join("signature.yaml"), signature).unwrap();
        let rows =
            ["5.1,3.5,1.4,0.2,0", "6.2,2.9,4.3,1.3,1", "6.5,3.0,5.2,2.0,2", "5.0,3.4,1.5,0.2,0", "5.8,2.7,4.1,1.0,1"];
        let cases = folder.path().join("cases.csv");
        std::fs::write(&cases, format!("a,b,c,d,label\n{}\n", rows.repeat(8).join("\n"))).unwrap();
        let cases = cases.to_str().unwrap().to_owned();
        Self { folder, cases }
    }

    fn run(&self, more: &[&str]) -> std::process::Output {
        self.print("jsonl", more)
    }

    fn print(&self, output: &str, more: &[&str]) -> std::process::Output {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (model, signature) = (file("forest.onnx"), file("signature.yaml"));
        let args = ["run", "--model", &model, "--cases", &self.cases, "--signature", &signature, "--output", output];
        assay(&[&args[..], more].concat())
    }
}

#[test]
fn audits_run_as_jobs_and_their_gates_name_features() {
    let forest = Forest::write();
    let run = |more: &[&str]| forest.run(more);
    let cases = &forest.cases;
    let checks = [
        "--check",
        "permutation_importance",
        "--check",
        "partial_dependence:target=2,features=petal petal*width",
        "--check",
        "accumulated_local_effects:target=2",
        "--check",
        "global_shap:target=0",
        "--background",
        cases,
        "--gate",
        "permutation_importance.importance[feature=width] <= 0.5",
    ];
    let output = run(&checks);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = lines(&output);
    let report = &printed.last().unwrap()["report"];
    assert_eq!(report["gates"][0]["passed"], true, "{report}");
    let metrics = report["checks"][0]["metrics"].as_array().unwrap();
    assert_eq!(metrics[2]["slice"], "feature=petal", "{report}");
    assert_eq!(metrics[2]["name"], "importance");
    assert_eq!(report["checks"][1]["curves"][1]["name"], "petal*width", "{report}");
    let again = run(&[&checks[..], &["--slots", "1"]].concat());
    assert_eq!(output.stdout, again.stdout);
    let xml = String::from_utf8(forest.print("junit", &["--check", "permutation_importance"]).stdout).unwrap();
    assert_eq!(xml.matches("<property name=\"importance ").count(), 4, "{xml}");
    assert!(xml.contains("<property name=\"importance petal_width\" value=\""), "{xml}");
}

#[test]
fn audits_that_have_no_meaning_are_refused() {
    let forest = Forest::write();
    let cases = &*forest.cases;
    for (more, said) in [
        (&["--check", "partial_dependence"][..], "3 classes; say which is looked at"),
        (&["--check", "permutation_importance:repeats=[2,3]"], "an audit has one setting; write a check for each"),
        (&["--check", "global_shap:features=petal", "--background", cases], "no parameter `features`"),
        (&["--check", "permutation_importance:features=petal x"], "`x` is no feature"),
        (&["--check", "permutation_importance:features=petal petal"], "`petal` stands twice"),
        (
            &["--check", "permutation_importance", "--gate", "permutation_importance.accuracy >= 0"],
            "it has `importance[",
        ),
        (
            &["--check", "permutation_importance", "--gate", "permutation_importance.h_statistic[feature=petal] >= 0"],
            "it has `importance[",
        ),
        (&["--check", "occlusion", "--gate", "occlusion.accuracy >= 0.5"], "neither right nor wrong"),
        (&["--check", "clean", "--gate", "clean.infidelity <= 1"], "is of explainers"),
        (&["--check", "permutation_importance:features=pedal"], "did you mean petal?"),
        (&["--check", "permutation_importance:metric=r2"], "not of a model that gives classes"),
        (&["--check", "permutation_importance", "--gate", "permutation_importance.importance >= 0"], "[feature=NAME]"),
        (
            &["--check", "permutation_importance", "--gate", "permutation_importance.importance[feature=pedal] >= 0"],
            "did you mean petal?",
        ),
        (&["--check", "clean", "--gate", "clean.importance[feature=petal] >= 0"], "is of audits"),
    ] {
        let refused = forest.run(more);
        assert_eq!(refused.status.code(), Some(2), "{more:?}");
        assert!(stderr(&refused).contains(said), "{more:?}: {}", stderr(&refused));
    }
}

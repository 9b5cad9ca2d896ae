//! How good explanations are: closed forms, the floor of random numbers, masks, protected features, agreement.

use std::collections::BTreeMap;
use std::path::Path;

use assay::data::{Case, Value};
use assay::engine::{Differentiated, Graph, Layer, Model, Wish};
use assay::probe::Kind;
use assay::probe::explainer::{EXPLAINERS, MEASURES};
use assay::suite::{Check, Chunk, Evidence, Fold, Gate, GateOutcome, Missing, Scope, Slicer, Subject, run, validate};
use assay::tensor::Tensor;
use ndarray::ArrayD;

use super::explainers::digits;
use super::tables::{Tabular, onnx};

const MNIST: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

/// A model and the same with shuffled weights, with their gradients where they have some.
struct Subjects {
    graphs: [Graph; 2],
    model: (Model, Option<Differentiated>),
    randomised: (Model, Option<Differentiated>),
    background: Vec<Vec<f32>>,
}

impl Subjects {
    fn load(onnx: &[u8]) -> Self {
        let graphs = [Graph::read(onnx).unwrap(), Graph::read(onnx).unwrap().randomised(0)];
        let model = Model::of(&graphs[0], "").unwrap();
        let randomised = Model::of(&graphs[1], &model.signature().to_yaml().unwrap()).unwrap();
        let mut own = Self { graphs, model: (model, None), randomised: (randomised, None), background: Vec::new() };
        own.differentiate(None);
        own
    }

    /// Takes the gradients, to an inner tensor too where one is named.
    fn differentiate(&mut self, layer: Option<&Layer>) {
        for ((model, gradient), graph) in [&mut self.model, &mut self.randomised].into_iter().zip(&self.graphs) {
            let wish = Wish { batch: model.batch(), ..Wish::default() }.beside(graph, model.signature(), layer);
            *gradient = wish.and_then(|wish| Differentiated::of(graph, model.signature(), &wish)).ok();
        }
    }

    fn explain(&self, cases: &[Case], spec: &str) -> Evidence {
        self.try_to_explain(cases, spec).unwrap()
    }

    fn try_to_explain(&self, cases: &[Case], spec: &str) -> assay::error::Result<Evidence> {
        let (model, gradient) = (&self.model.0, self.model.1.as_ref());
        let randomised = Some((&self.randomised.0, self.randomised.1.as_ref()));
        let subject = Subject { gradient, background: &self.background, randomised, ..Subject::new(model) };
        let chunk = Chunk::new(model, cases, 0).unwrap();
        run(&subject, &chunk, &Check::parse(spec).unwrap(), 0, 0, true)
    }
}

/// A measure's value of each case; NaN where it has none.
fn marks(evidence: &Evidence, name: &str) -> Vec<f64> {
    let mark = |measures: &BTreeMap<String, f64>| measures.get(name).copied().unwrap_or(f64::NAN);
    evidence.verdicts.iter().map(|verdict| mark(&verdict.measures)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn measuring_changes_no_explanation_and_is_the_same_in_any_company() {
    let (subjects, cases) = (Subjects::load(MNIST), digits(6));
    for name in ["saliency", "occlusion", "random"] {
        let (plain, measured) =
            (subjects.explain(&cases, name), subjects.explain(&cases, &format!("{name}:quality=true")));
        assert_eq!(plain.arrays["attribution"], measured.arrays["attribution"], "{name}");
        let cost = Check::parse(&format!("{name}:quality=true")).unwrap().cost(subjects.model.0.signature(), 0);
        for (plain, measured) in plain.verdicts.iter().zip(&measured.verdicts) {
            assert!(
                MEASURES[..5].iter().all(|m| measured.measures.contains_key(*m) && !plain.measures.contains_key(*m))
            );
            assert_eq!(plain.measures["residual"], measured.measures["residual"]);
            let asked = measured.measures["explanation_queries"];
            assert!(asked > 140.0 && asked <= (cost.forward + cost.gradient) as f64, "{name}: {asked} of {cost:?}");
        }
        let alone = subjects.explain(&cases[4..5], &format!("{name}:quality=true"));
        assert_eq!(alone.verdicts[0].measures, measured.verdicts[4].measures, "{name}");
    }
}

/// Whether more of a measure is better.
const HIGHER: [(&str, bool); 5] = [
    ("infidelity", false),
    ("sensitivity_max", false),
    ("insertion_auc", true),
    ("deletion_auc", false),
    ("model_randomisation", false),
];

/// Explainers whose order of values is not asked to be better than a random one: vargrad says where an explanation is
/// unsteady, not what counts; grad_cam averages gradients over the whole picture, which says little where a network
/// flattens its last convolution as these do; lime hides a superpixel by its own mean colour, which takes little of a
/// stroke away, and finds no order in the MLP.
const NO_ORDER: [&str; 3] = ["grad_cam", "lime", "vargrad"];

/// Queries that an explainer of the table gets, about.
const QUERIES: u64 = 30_000;

#[test]
fn random_attributions_are_the_floor_of_every_measure() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let mut above = Vec::new();
    for name in ["mnist_cnn", "mnist_cnn_at", "mnist_mlp_overfit"] {
        let mut subjects = Subjects::load(&onnx(&corpus, name));
        let (cases, signature) = (digits(18), subjects.model.0.signature().clone());
        println!(
            "\n| {name} | cases | {} |\n|---|---|---|---|---|---|---|",
            HIGHER.map(|(measure, _)| measure).join(" | ")
        );
        let mut all = BTreeMap::new();
        for entry in EXPLAINERS {
            // Rows alone are not what these models take.
            if !entry.manual.kinds.iter().any(|kind| matches!(kind, Kind::Floats | Kind::Picture)) {
                continue;
            }
            // The exact ones ask about all coalitions, so that they get few parts.
            let few = if entry.manual.name == "exact_shapley" { ",segments=8" } else { "" };
            let check = Check::parse(&format!("{}:quality=true{few}", entry.manual.name)).unwrap();
            if check.fits(&signature).is_err() {
                continue;
            }
            let wants = check.wants_background(&signature);
            let background = if wants { &cases[16..] } else { &[] };
            subjects.background = assay::suite::background(&subjects.model.0, background).unwrap();
            subjects.differentiate(check.layer().as_ref());
            // The costliest explain fewer cases.
            let cost = check.cost(&signature, background.len() as u64);
            let count = (QUERIES / (cost.forward + cost.gradient)).clamp(3, 16) as usize;
            // Some explain models of another kind alone.
            let Ok(evidence) = subjects.try_to_explain(&cases[..count], &check.spec) else { continue };
            // A measure is left out of a case where a map is empty, as grad_cam's of shuffled weights may be.
            let means = HIGHER.map(|(measure, _)| {
                let marks = marks(&evidence, measure);
                mean(&marks.into_iter().filter(|mark| !mark.is_nan()).collect::<Vec<_>>())
            });
            println!("| {} | {count} | {} |", entry.manual.name, means.map(|mean| format!("{mean:.3}")).join(" | "));
            all.insert(entry.manual.name, means);
        }
        let floor = all["random"];
        for (explainer, means) in all.iter().filter(|(explainer, _)| **explainer != "random") {
            let ordered = |measure: &str| !measure.ends_with("_auc") || !NO_ORDER.contains(explainer);
            for (i, (measure, higher)) in HIGHER.iter().enumerate().filter(|(_, (measure, _))| ordered(measure)) {
                let better = means[i].is_nan() || if *higher { means[i] > floor[i] } else { means[i] < floor[i] };
                above.extend(
                    (!better).then(|| format!("{measure} of {explainer} on {name}: {} <= {}", means[i], floor[i])),
                );
            }
        }
        assert!(floor[4] > 0.999, "random numbers do not depend on the model");
    }
    assert!(above.is_empty(), "{above:#?}");
}

/// A model with the background of its golden explanations, and the cases that these explain.
fn tabular(corpus: &Path, name: &str) -> (Subjects, Vec<Case>) {
    let mut subjects = Subjects::load(&onnx(corpus, name));
    let (Tabular { background, .. }, cases) = Tabular::golden(corpus, name);
    subjects.background = background;
    (subjects, cases)
}

#[test]
fn a_linear_model_is_explained_without_fault() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (subjects, cases) = tabular(&corpus, "diabetes_ridge");
    let exact = subjects.explain(&cases, "exact_shapley:quality=true");
    let random = subjects.explain(&cases, "random:quality=true");
    for (measure, higher) in HIGHER {
        let (own, floor) = (mean(&marks(&exact, measure)), mean(&marks(&random, measure)));
        println!("{measure}: {own:.4}, at random {floor:.4}");
        assert!(if higher { own > floor } else { own < floor }, "{measure}: {own} of {floor}");
    }
    // What is removed goes to the background's mean, from where a linear model's Shapley values are w (x - mean).
    assert!(marks(&exact, "infidelity").iter().all(|infidelity| *infidelity < 1e-6));
    // The highest first is the best order that there is for a linear model.
    let (insertion, deletion) = (marks(&exact, "insertion_auc"), marks(&exact, "deletion_auc"));
    assert!(insertion.iter().zip(&deletion).all(|(i, d)| (i + d - 1.0).abs() < 2.0 * (i - 0.5).abs() + 1e-6));
}

#[test]
fn shares_of_features_are_those_of_their_attributions() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let (subjects, cases) = tabular(&corpus, "diabetes_ridge");
    let evidence = subjects.explain(&cases, "exact_shapley:protected=0 3");
    let one = subjects.explain(&cases, "exact_shapley:protected=3");
    let values = evidence.arrays["attribution"].to_f64();
    for (i, row) in values.chunks(10).enumerate() {
        let all: f64 = row.iter().map(|a| a.abs()).sum();
        let share = |features: &[usize]| features.iter().map(|f| row[*f].abs()).sum::<f64>() / all;
        assert!((marks(&evidence, "protected_share")[i] - share(&[0, 3])).abs() < 1e-12);
        assert!((marks(&one, "protected_share")[i] - share(&[3])).abs() < 1e-12);
    }
    let fits = |spec: &str| Check::parse(spec).and_then(|check| check.fits(subjects.model.0.signature()));
    for (spec, expect) in [
        ("exact_shapley:protected=12", "params.protected: `12` is no feature; the row has 10"),
        ("random:protected=age", "`age` is no feature"),
        ("random:agrees_with=saliencey", "did you mean saliency?"),
    ] {
        let error = fits(spec).unwrap_err().to_string();
        assert!(error.contains(expect), "{spec}: {error}");
    }
    // The one that it is compared with wants pictures, or trees.
    for (other, expect) in [("grad_cam", "grad_cam wants a picture"), ("tree_shap", "wants a model that is one tree")] {
        let checks = [Check::parse(&format!("random:agrees_with={other}")).unwrap()];
        let missing = Missing { gradient: "", trees: "no trees" };
        let summary = super::explainers::summary(&cases);
        let error = validate(subjects.model.0.signature(), missing, &summary, &checks, &[]).unwrap_err().to_string();
        assert!(error.contains(expect), "{other}: {error}");
    }
    let both = Check::parse("random:agrees_with=exact_shapley").unwrap();
    assert!(both.wants_background(subjects.model.0.signature()) && !both.wants_gradient());
    assert!(Check::parse("random:agrees_with=saliency").unwrap().wants_gradient());
}

#[test]
fn explainers_agree_with_themselves_and_not_with_random_numbers() {
    let (subjects, cases) = (Subjects::load(MNIST), digits(8));
    for name in ["saliency", "occlusion"] {
        let own = subjects.explain(&cases, &format!("{name}:agrees_with={name}"));
        let random = subjects.explain(&cases, &format!("{name}:agrees_with=random"));
        assert!(marks(&own, "agreement").iter().all(|r| (r - 1.0).abs() < 1e-12));
        assert!(marks(&own, "top_overlap").iter().all(|share| *share == 1.0));
        assert!(mean(&marks(&random, "agreement")).abs() < 0.05 && mean(&marks(&random, "top_overlap")) < 0.1);
    }
}

/// The cases with a mask of this shape.
fn masked(cases: &[Case], shape: &[usize], mask: impl Fn(usize, usize) -> bool) -> Vec<Case> {
    let with = |(i, case): (usize, &Case)| {
        let marks = (0..shape.iter().product()).map(|at| u8::from(mask(i, at))).collect();
        let marks = Tensor::U8(ArrayD::from_shape_vec(shape.to_vec(), marks).unwrap());
        let mut case = case.clone();
        case.inputs.insert("mask".to_owned(), Value::Tensor(marks));
        case
    };
    cases.iter().enumerate().map(with).collect()
}

#[test]
fn attributions_are_set_against_masks() {
    let (subjects, cases) = (Subjects::load(MNIST), digits(6));
    let plain = subjects.explain(&cases, "occlusion");
    assert!(marks(&plain, "mask_share").iter().all(|share| share.is_nan()));
    let values = plain.arrays["attribution"].to_f64();
    for (shape, inside, expect) in [(&[28, 28][..], true, 1.0), (&[1, 28, 28], false, 0.0)] {
        let cases = masked(&cases, shape, |i, at| (values[i * 784 + at] > 0.0) == inside);
        let evidence = subjects.explain(&cases, "occlusion");
        assert_eq!(evidence.arrays, plain.arrays);
        assert!(marks(&evidence, "mask_share").iter().all(|share| (share - expect).abs() < 1e-12));
        assert!(marks(&evidence, "pointing_game").iter().all(|hit| *hit == expect));
    }
    let evidence = subjects.explain(&masked(&cases, &[28, 20], |_, _| true), "occlusion");
    assert!(evidence.verdicts[0].reason.contains("inputs.mask: 28x20 pixels were found"), "{:?}", evidence.verdicts[0]);
}

#[test]
fn measures_are_gated() {
    let (subjects, cases) = (Subjects::load(MNIST), digits(20));
    let checks = [Check::parse("occlusion:quality=true").unwrap(), Check::parse("random:quality=true").unwrap()];
    let gates = ["occlusion.infidelity <= 0.5", "random.infidelity <= 0.5", "occlusion.insertion_auc >= 0.6"];
    let gates = gates.map(|gate| Gate::parse(gate, &checks).unwrap());
    let slices = Slicer::default();
    let scope = Scope { checks: &checks, gates: &gates, outputs: 10, classes: &[], slices: &slices, cases: 20 };
    let mut fold = Fold::new(scope);
    for (position, check) in (0..).zip(&checks) {
        let mut evidence = subjects.explain(&cases, &check.spec);
        evidence.verdicts.iter_mut().for_each(|verdict| verdict.check = position);
        fold.add(&evidence.verdicts, &BTreeMap::new());
    }
    let report = fold.report(None);
    let outcomes: Vec<GateOutcome> = report.gates.iter().map(|gate| gate.outcome).collect();
    assert_eq!(outcomes, [GateOutcome::Pass, GateOutcome::Fail, GateOutcome::Pass], "{:#?}", report.gates);
}

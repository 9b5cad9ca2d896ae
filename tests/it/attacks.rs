//! Attacks: witnesses in their balls whatever the parameters, the same bits in any company, and against the peers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use assay::Error;
use assay::data::{self, Case, Class, Expected, Value};
use assay::engine::{Answer, Differentiated, Graph, Limits, Model, Target, Wish, prepare};
use assay::probe::attack::{self, ATTACKS};
use assay::suite::{Census, Check, Chunk, Evidence, Fold, Outcome, Report, Scope, Subject, Verdict, run};
use assay::tensor::{Norm, Rng, Tensor, Tensors};
use ndarray::ArrayD;

use super::models::array;

const MNIST: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

/// A model with its gradient, if it has one.
struct Pair {
    model: Model,
    gradient: Option<Differentiated>,
}

impl Pair {
    fn load(onnx: &[u8], signature: &str) -> Self {
        let graph = Graph::read(onnx).unwrap();
        let model = Model::of(&graph, signature).unwrap();
        let gradient = Differentiated::of(&graph, model.signature(), &Wish { batch: 8, ..Wish::default() }).ok();
        Self { model, gradient }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { gradient: self.gradient.as_ref(), ..Subject::new(&self.model) }
    }

    fn attack(&self, cases: &[Case], spec: &str, seed: u64) -> Evidence {
        let chunk = Chunk::new(&self.model, cases, 0).unwrap();
        run(&self.subject(), &chunk, &Check::parse(spec).unwrap(), 0, seed, true).unwrap()
    }
}

fn digits(n: usize) -> Vec<Case> {
    let cases = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    cases.take(n).map(Result::unwrap).collect()
}

fn zoo(name: &str) -> Vec<u8> {
    super::zoo::zoo().into_iter().find(|specimen| specimen.name == name).unwrap().onnx
}

/// Drawn rows that are labelled as the model sees them.
fn rows(model: &Model, n: usize, range: [f64; 2]) -> Vec<Case> {
    let input = model.signature().probed().clone();
    let case = |i: usize| {
        let mut rng = Rng::new(5, "rows", &i.to_string(), 0);
        let x = ArrayD::from_shape_fn(input.shape.clone(), |_| rng.range(range[0], range[1]) as f32);
        let batch = x.clone().insert_axis(ndarray::Axis(0));
        let scores = model.scores(&[(input.name.clone(), Tensor::F32(batch))].into()).unwrap();
        let best = (0..scores.ncols()).max_by(|a, b| scores[[0, *a]].total_cmp(&scores[[0, *b]])).unwrap();
        let expected = Expected::Class { label: Class::Index(best as u64), acceptable: Vec::new() };
        let inputs = BTreeMap::from([(input.name.clone(), Value::Tensor(Tensor::F32(x)))]);
        Case { id: i.to_string(), inputs, expected, tags: BTreeMap::new() }
    };
    (0..n).map(case).collect()
}

/// A random setting of an attack, cheap enough to be run often.
fn setting(name: &str, rng: &mut Rng) -> String {
    let pick = |rng: &mut Rng, words: &[&str]| words[rng.below(words.len())].to_owned();
    let mut params = vec![format!("eps={:.3}", rng.range(0.005, 2.0))];
    match name {
        "deepfool" => params.push(format!("norm={}", pick(rng, &["linf", "l2"]))),
        "cw" => params.push("binary_search_steps=2".to_owned()),
        _ => params.push(format!("norm={}", pick(rng, &["linf", "l2", "l1"]))),
    }
    match name {
        "fgsm" | "auto_attack" => {}
        "square" => params.push(format!("query_budget={}", 1 + rng.below(30))),
        _ => params.push(format!("steps={}", 1 + rng.below(8))),
    }
    if matches!(name, "pgd" | "apgd" | "fab") {
        params.push(format!("restarts={}", 1 + rng.below(2)));
    }
    match name {
        "apgd" => {
            params.push(format!("loss={}", pick(rng, &["ce", "dlr", "dlr_targeted"])));
            params.push(format!("large_start={}", pick(rng, &["true", "false"])));
        }
        "fgsm" | "bim" | "pgd" | "mi_fgsm" => params.push(format!("loss={}", pick(rng, &["ce", "margin", "dlr"]))),
        "fab" => params.push(format!("targets={}", rng.below(3))),
        _ => {}
    }
    if name != "auto_attack" {
        params.push(format!("target={}", pick(rng, &["none", "none", "least_likely", "random"])));
    }
    format!("{name}:{}", params.join(","))
}

/// The size of a change in float64, and how much of it rounding to float32 may be.
fn size(norm: Norm, x: &[f64], clean: &[f64]) -> (f64, f64) {
    let step = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { 4.0 * f64::from(f32::EPSILON) * a.abs().max(b.abs()) };
    let difference = norm.of(x.iter().zip(clean).map(|(a, b)| a - b));
    (difference, norm.of(x.iter().zip(clean).map(step)))
}

/// Whether every row lies in the ball and the bounds, by its own arithmetic.
fn assert_inside(evidence: &Evidence, spec: &str, [low, high]: [f64; 2]) {
    let check = Check::parse(spec).unwrap();
    let (x, moved) = (evidence.arrays["x"].to_f64(), evidence.arrays["x_adv"].to_f64());
    let unit = if matches!(evidence.arrays["x"], Tensor::U8(_)) { 255.0 } else { 1.0 };
    let width = x.len() / evidence.verdicts.len();
    let norm = check.params(0).get("norm").map_or("l2", |norm| norm.as_str().unwrap());
    let norm =
        [("linf", Norm::Linf), ("l2", Norm::L2), ("l1", Norm::L1)].into_iter().find(|(n, _)| *n == norm).unwrap();
    let eps = check.params(0)["eps"].as_f64().unwrap();
    for (i, verdict) in evidence.verdicts.iter().enumerate() {
        let clean: Vec<f64> = x[i * width..(i + 1) * width].iter().map(|v| f64::from((v / unit) as f32)).collect();
        let witness = &moved[i * width..(i + 1) * width];
        let (size, rounding) = size(norm.1, witness, &clean);
        assert!(size <= eps + 1e-6 + rounding, "{spec} {}: {size}", verdict.case);
        assert!(witness.iter().all(|v| *v >= low - 1e-6 && *v <= high + 1e-6), "{spec} {}", verdict.case);
        assert_ne!(verdict.outcome, Outcome::Failed, "{spec} {}: {}", verdict.case, verdict.reason);
    }
}

#[test]
fn witnesses_lie_in_their_balls_and_bounds_whatever_the_parameters() {
    let mut rng = Rng::new(11, "settings", "0", 0);
    let unbounded = [f64::NEG_INFINITY, f64::INFINITY];
    let linear = |signature: &str| Pair::load(&zoo("linear_three_none"), signature);
    let subjects = [(linear("input: {range: [-1, 2]}"), [-1.0, 2.0]), (linear(""), unbounded)];
    let cheap: Vec<_> = ATTACKS.iter().filter(|entry| entry.manual.name != "auto_attack").collect();
    for i in 0..1000 {
        let (pair, bounds) = &subjects[i % 2];
        let spec = setting(cheap[rng.below(cheap.len())].manual.name, &mut rng);
        let cases = rows(&pair.model, 3, [-1.0, 2.0]);
        assert_inside(&pair.attack(&cases, &spec, i as u64), &spec, *bounds);
    }
    let pictures = Pair::load(MNIST, "");
    for entry in &cheap {
        for _ in 0..3 {
            let spec = setting(entry.manual.name, &mut rng);
            assert_inside(&pictures.attack(&digits(3), &spec, 0), &spec, [0.0, 1.0]);
        }
    }
    for norm in ["linf", "l2", "l1"] {
        let spec = format!("auto_attack:eps=0.2,norm={norm}");
        let cases = rows(&subjects[0].0.model, 1, [-1.0, 2.0]);
        assert_inside(&subjects[0].0.attack(&cases, &spec, 0), &spec, subjects[0].1);
    }
}

#[test]
fn a_case_meets_the_same_attack_in_any_company() {
    let pair = Pair::load(MNIST, "");
    let cases = digits(7);
    for (spec, seeded) in [
        ("fgsm:eps=0.1", false),
        ("pgd:eps=0.15,steps=5,restarts=2", true),
        ("mi_fgsm:eps=0.1,norm=l2", false),
        ("apgd:eps=0.1,steps=12,loss=dlr_targeted,targets=2", true),
        ("fab:eps=0.1,steps=4,restarts=2", true),
        ("square:eps=0.2,query_budget=30", true),
        ("cw:steps=5,binary_search_steps=2", false),
        ("deepfool:steps=5", false),
    ] {
        let together = pair.attack(&cases, spec, 3);
        for i in [6, 0, 3] {
            let alone = pair.attack(&cases[i..=i], spec, 3);
            let (mut a, mut b) = (alone.verdicts[0].clone(), together.verdicts[i].clone());
            (a.index, b.index) = (0, 0);
            assert_eq!(a, b, "{spec}");
            assert_eq!(alone.arrays["x_adv"].row(0), together.arrays["x_adv"].row(i), "{spec}");
        }
        let other = pair.attack(&cases, spec, 4);
        assert_eq!(other.arrays["x_adv"] != together.arrays["x_adv"], seeded, "{spec}");
    }
}

/// The cases of the linear model as an attack sees them, with their inputs.
fn raw(model: &Model, n: usize) -> (Vec<Tensors>, Vec<attack::Case>) {
    let (mut inputs, mut cases) = (Vec::new(), Vec::new());
    for case in rows(model, n, [-1.0, 2.0]) {
        let prepared = prepare(&case, model.signature()).unwrap();
        let Answer::Classes(right) = prepared.answer else { panic!("{}", case.id) };
        let scores = model.scores(&prepared.inputs).unwrap().into_raw_vec_and_offset().0;
        let x = prepared.inputs.values().next().unwrap().to_f64().into_iter().map(|v| v as f32).collect();
        cases.push(attack::Case { id: case.id, x, bounds: [-1.0, 2.0], right, target: None, scores, grid: None });
        inputs.push(prepared.inputs);
    }
    (inputs, cases)
}

#[test]
fn every_attack_stops_where_it_must() {
    let pair = Pair::load(&zoo("linear_three_none"), "input: {range: [-1, 2]}");
    let (inputs, cases) = raw(&pair.model, 3);
    for entry in ATTACKS {
        let name = entry.manual.name;
        // So small a ball that the search goes on.
        let mut params = serde_json::json!({ "eps": 1e-4, "query_budget": 7 });
        if name == "auto_attack" {
            params.as_object_mut().unwrap().remove("query_budget");
        }
        let attacker = (entry.read)(params.as_object().unwrap()).unwrap();
        let target = |limits| Target::new(&pair.model, pair.gradient.as_ref(), inputs.iter().collect(), limits);
        let cancelled = AtomicBool::new(true);
        let limits = Limits { cancel: Some(&cancelled), ..Limits::default() };
        let stopped = attacker.attack(&target(limits), cases.clone(), 0, name).unwrap_err();
        assert!(matches!(stopped, Error::Cancelled), "{name}: {stopped}");
        let limits = Limits { deadline: Some(Instant::now()), ..Limits::default() };
        let stopped = attacker.attack(&target(limits), cases.clone(), 0, name).unwrap_err();
        assert!(matches!(stopped, Error::Deadline(_)), "{name}: {stopped}");
        if name != "auto_attack" {
            let found = attacker.attack(&target(attacker.limits(Limits::default())), cases.clone(), 0, name).unwrap();
            // A step looks at three classes at most and asks the plain model once more.
            assert!(found.iter().all(|c| c.spent.all() <= 7 + 3 && c.spent.all() > 0), "{name}: {found:?}");
        }
    }
}

fn report(checks: &[&str], gates: &[&str], evidence: Vec<Evidence>, cases: u64) -> Report {
    let checks: Vec<Check> = checks.iter().map(|spec| Check::parse(spec).unwrap()).collect();
    let gates: Vec<_> = gates.iter().map(|gate| assay::suite::Gate::parse(gate, &checks).unwrap()).collect();
    let slices = Census::default().slicer();
    let scope = Scope { checks: &checks, gates: &gates, outputs: 10, classes: &[], slices: &slices, cases };
    let mut fold = Fold::new(scope);
    for (check, evidence) in evidence.iter().enumerate() {
        let of = |v: &Verdict| Verdict { check: check as u32, ..v.clone() };
        fold.add(&evidence.verdicts.iter().map(of).collect::<Vec<_>>(), &evidence.tags);
    }
    fold.report(None)
}

fn metric(report: &Report, check: usize, name: &str) -> f64 {
    report.checks[check].metrics.iter().find(|m| m.name == name).unwrap().value
}

/// The corpus's digits.
fn mnist(corpus: &Path) -> Vec<Case> {
    data::read(corpus.join("data/mnist_test.npz").to_str().unwrap()).unwrap().map(Result::unwrap).collect()
}

/// The peers' figures for a model of the corpus.
fn golden(corpus: &Path, name: &str) -> serde_json::Value {
    let file = std::fs::read(corpus.join(format!("golden/robust_{name}.json"))).unwrap();
    serde_json::from_slice::<serde_json::Value>(&file).unwrap()["results"].clone()
}

/// Attacks the cases in shards, as a job does.
fn in_shards(pair: &Pair, cases: &[Case], spec: &str) -> Vec<Evidence> {
    cases.chunks(32).map(|shard| pair.attack(shard, spec, 0)).collect()
}

fn held(evidence: &[Evidence]) -> f64 {
    let all: Vec<&Verdict> = evidence.iter().flat_map(|e| &e.verdicts).collect();
    let held = all.iter().filter(|v| v.outcome == Outcome::Held).count();
    held as f64 / all.len() as f64
}

/// A setting of assay's that does what a peer did, by the peer's key; `None` for attacks that find the least change.
fn alike(key: &str, figures: &serde_json::Value) -> Option<String> {
    let eps = figures["eps"].as_f64();
    let words: Vec<&str> = key.split('_').collect();
    match (words[0], eps) {
        ("pgd20" | "pgd40", Some(eps)) => {
            let (steps, norm) = (&words[0][3..], words[1]);
            let size = 2.5 * eps / steps.parse::<f64>().unwrap();
            Some(format!("pgd:norm={norm},eps={eps},steps={steps},step_size={size},restarts=5"))
        }
        ("apgd", Some(eps)) => Some(format!("apgd:eps={eps},steps=100,restarts=5")),
        ("square", Some(eps)) => Some(format!("square:eps={eps},query_budget=1000,rescale_schedule=true,restarts=5")),
        ("autoattack", Some(eps)) => Some(format!("auto_attack:eps={eps}")),
        _ => None,
    }
}

/// PGD always; the attacks that take minutes where `ASSAY_SOAK` is set.
#[test]
fn attacks_break_as_much_as_the_peers_do() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let soak = std::env::var_os("ASSAY_SOAK").is_some();
    if !soak {
        eprintln!("ASSAY_SOAK is not set: only PGD is held against its peers");
    }
    println!("| model | peer | its robust accuracy | assay | robust accuracy |\n|---|---|---|---|---|");
    let mut worse = Vec::new();
    for name in ["mnist_cnn", "mnist_cnn_at"] {
        let pair = Pair::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap(), "");
        let cases = mnist(&corpus);
        for (key, figures) in golden(&corpus, name).as_object().unwrap() {
            let (Some(spec), Some(peer)) = (alike(key, figures), figures["robust_accuracy"].as_f64()) else { continue };
            if !soak && !spec.starts_with("pgd") {
                continue;
            }
            let own = held(&in_shards(&pair, &cases[..200], &spec));
            println!("| {name} | {key} | {peer:.3} | `{spec}` | {own:.3} |");
            let allowed = if key.starts_with("autoattack") { 0.005 } else { 0.01 };
            if own > peer + allowed {
                worse.push(format!("{name} {key}: {own} above {peer}"));
            }
        }
    }
    assert!(worse.is_empty(), "{worse:?}");
}

#[test]
fn nearest_witnesses_are_as_near_as_the_peers() {
    let Some(corpus) = super::corpus::corpus() else { return };
    println!("| model | peer | its median | assay | median |\n|---|---|---|---|---|");
    for name in ["mnist_cnn", "mnist_cnn_at"] {
        let pair = Pair::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap(), "");
        let cases = mnist(&corpus);
        let golden = golden(&corpus, name);
        for (key, spec) in [("foolbox_l2_deepfool", "deepfool"), ("foolbox_cw_l2_bs6_300", "cw")] {
            let n = golden[key]["n"].as_u64().unwrap() as usize;
            let peer = golden[key]["median_l2_successful"].as_f64().unwrap();
            let evidence = in_shards(&pair, &cases[..n], spec);
            let right = |v: &&Verdict| v.measures["right_clean"] > 0.5;
            let all: Vec<&Verdict> = evidence.iter().flat_map(|e| &e.verdicts).filter(right).collect();
            assert!(all.iter().all(|v| v.outcome == Outcome::Broken), "{name} {key}");
            let mut distances: Vec<f64> = all.iter().map(|v| v.measures["distance"]).collect();
            distances.sort_by(f64::total_cmp);
            // torch's median is the lower of the two in the middle.
            let own = distances[(distances.len() - 1) / 2];
            println!("| {name} | {key} | {peer:.4} | `{spec}` | {own:.4} |");
            assert!(own <= peer * 1.01, "{name} {key}: {own} above {peer}");
        }
    }
}

#[test]
fn a_single_step_is_the_peers() {
    let Some(corpus) = super::corpus::corpus() else { return };
    for name in ["mnist_cnn", "mnist_cnn_at"] {
        let pair = Pair::load(&std::fs::read(corpus.join(format!("models/{name}.onnx"))).unwrap(), "");
        let cases = mnist(&corpus);
        for (key, figures) in golden(&corpus, name).as_object().unwrap().iter().filter(|(k, _)| k.starts_with("fgsm")) {
            let eps = figures["eps"].as_f64().unwrap();
            let evidence = in_shards(&pair, &cases[..200], &format!("fgsm:eps={eps}"));
            // The peer counts what is right after the step, cases that were wrong before it too.
            let right = |v: &&Verdict| v.label == v.predicted;
            let right = evidence.iter().flat_map(|e| &e.verdicts).filter(right).count() as f64 / 200.0;
            let peer = figures["robust_accuracy"].as_f64().unwrap();
            println!("| {name} | {key} | {peer:.3} | {right:.3} |");
            // Not equal but below where float32 torch's gradient is rounding: in float64 numpy has assay's 0.105 for
            // mnist_cnn at 0.2, where torch has 0.125.
            assert!(right <= peer + 0.005 + 1e-6 && right >= peer - 0.02 - 1e-6, "{name} {key}: {right}, {peer}");
        }
        signs(&pair, &corpus.join(format!("golden/gradients_{name}.npz")), name);
    }
}

/// The step's signs are those of torch's float64 gradient, where that is not negligible.
fn signs(pair: &Pair, file: &Path, name: &str) {
    let (x, y, exact) = (array(file, "x").unwrap(), array(file, "y").unwrap().to_f64(), array(file, "grad64").unwrap());
    let case = |i: usize| {
        let expected = Expected::Class { label: Class::Index(y[i] as u64), acceptable: Vec::new() };
        let inputs = BTreeMap::from([("input".to_owned(), Value::Tensor(x.row(i)))]);
        Case { id: i.to_string(), inputs, expected, tags: BTreeMap::new() }
    };
    let cases: Vec<Case> = (0..y.len()).map(case).collect();
    let evidence = pair.attack(&cases, "fgsm:eps=0.001", 0);
    let (clean, moved, exact) = (x.to_f64(), evidence.arrays["x_adv"].to_f64(), exact.to_f64());
    let width = clean.len() / y.len();
    let (mut same, mut all) = (0, 0);
    for (i, g) in exact.iter().enumerate() {
        let row = &exact[i / width * width..(i / width + 1) * width];
        let largest = row.iter().fold(0.0, |m, v| f64::max(m, v.abs()));
        if g.abs() > 1e-4 * largest {
            all += 1;
            same += usize::from((moved[i] - clean[i]).signum() == g.signum() && moved[i] != clean[i]);
        }
    }
    println!("{name}: {same} of {all} signs");
    assert!(same as f64 >= 0.999 * f64::from(all), "{name}: {same} of {all} signs");
}

/// Kinds of findings on a job with these checks.
fn kinds(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_masked_model_is_flagged_and_its_gate_does_not_pass() {
    let specs = ["pgd:eps=0.1,steps=10", "square:eps=0.1,query_budget=100"];
    let gates = ["pgd.robust_accuracy >= 0.2"];
    for (onnx, masked) in [(&include_bytes!("../models/masked.onnx")[..], true), (MNIST, false)] {
        let pair = Pair::load(onnx, "");
        let evidence = specs.iter().map(|spec| pair.attack(&digits(60), spec, 0)).collect();
        let report = report(&specs, &gates, evidence, 60);
        let passed = report.gates[0].passed;
        assert!(metric(&report, 0, "robust_accuracy") > 0.35, "the gate asks for less than there is");
        assert_eq!((kinds(&report).is_empty(), passed), (!masked, !masked), "{:?}", report.findings);
        if masked {
            assert!(kinds(&report).contains(&"straight_through"), "{:?}", report.findings);
            assert!(report.gates[0].message.contains("straight_through"), "{}", report.gates[0].message);
        }
    }
}

#[test]
fn a_weak_figure_is_called_weak_where_a_stronger_attack_stands_beside_it() {
    let Some(corpus) = super::corpus::corpus() else { return };
    let pair = Pair::load(&std::fs::read(corpus.join("models/mnist_cnn_at.onnx")).unwrap(), "");
    let specs = ["pgd:eps=0.3,steps=40", "apgd:eps=0.3"];
    let evidence = specs.iter().map(|spec| pair.attack(&digits(100), spec, 0)).collect();
    let report = report(&specs, &["pgd.robust_accuracy >= 0.1"], evidence, 100);
    assert_eq!(kinds(&report), ["outdone"], "{:?}", report.findings);
    assert_eq!(report.findings[0].check, specs[0]);
    assert!(!report.gates[0].passed, "{}", report.gates[0].message);
}

#[test]
fn wrong_cases_cost_nothing_and_figures_add_up() {
    let pair = Pair::load(MNIST, "");
    let mut cases = digits(20);
    for case in &mut cases[..5] {
        let Expected::Class { label: Class::Index(label), .. } = &mut case.expected else { panic!("{case:?}") };
        *label = (*label + 1) % 10;
    }
    let specs = ["pgd:eps=0.1,steps=5"];
    let report = report(&specs, &[], vec![pair.attack(&cases, specs[0], 0)], 20);
    let evidence = pair.attack(&cases, specs[0], 0);
    for verdict in &evidence.verdicts[..5] {
        assert_eq!((verdict.outcome, verdict.measures["queries"]), (Outcome::Broken, 0.0));
    }
    let (robust, success) = (metric(&report, 0, "robust_accuracy"), metric(&report, 0, "attack_success_rate"));
    assert!((robust - 15.0 * (1.0 - success) / 20.0).abs() < 1e-12, "{robust} {success}");
    assert!(metric(&report, 0, "robust_accuracy_quantized") >= robust);
}

#[test]
fn targets_are_reached_or_the_case_holds() {
    let pair = Pair::load(MNIST, "");
    let evidence = pair.attack(&digits(12), "pgd:eps=0.4,steps=20,target=3", 0);
    assert!(evidence.verdicts.iter().any(|v| v.outcome == Outcome::Broken));
    for verdict in &evidence.verdicts {
        let reached = verdict.predicted == Some(3.0);
        match verdict.outcome {
            Outcome::Skipped => assert_eq!(verdict.label, Some(3.0)),
            Outcome::Broken => assert!(reached || verdict.measures["right_clean"] < 0.5),
            _ => assert!(!reached),
        }
    }
}

#[test]
fn a_job_attacks_in_slots_as_the_library_does() {
    use crate::cli::{lines, run, stderr};
    let folder = tempfile::tempdir().unwrap();
    let (spec, dir) = ("pgd:eps=0.1,steps=5", folder.path().to_str().unwrap());
    let args = ["--check", spec, "--limit", "40", "--output", "jsonl", "--seed", "3"];
    let first = run(&[&args[..], &["--slots", "1", "--artifacts", dir]].concat());
    assert!(first.status.success(), "{}", stderr(&first));
    let other = run(&[&args[..], &["--slots", "2"]].concat());
    assert_eq!(first.stdout, other.stdout);
    let lines = lines(&first);
    let metrics = lines[40]["report"]["checks"][0]["metrics"].as_array().unwrap();
    let names: Vec<&str> = metrics.iter().map(|m| m["name"].as_str().unwrap()).collect();
    let expected = ["robust_accuracy", "robust_accuracy_quantized", "attack_success_rate", "queries_mean"];
    assert_eq!(names, expected);
    let moved = array(&folder.path().join("00-pgd.npz"), "x_adv").unwrap();
    let pair = Pair::load(MNIST, "");
    let own = pair.attack(&digits(1), spec, 3);
    assert_eq!(moved.row(0), own.arrays["x_adv"].row(0));
    let measures = &lines[0]["measures"];
    assert_eq!(measures["queries"].as_f64(), own.verdicts[0].measures.get("queries").copied());
}

#[test]
fn a_model_without_gradients_is_refused_for_attacks_that_want_them_and_others_run() {
    use crate::cli::{assay, stderr};
    let folder = tempfile::tempdir().unwrap();
    let (model, cases) = (folder.path().join("forest.onnx"), folder.path().join("cases.csv"));
    std::fs::write(&model, zoo("sk_forest")).unwrap();
    std::fs::write(&cases, "a,b,c,d,label\n5.1,3.5,1.4,0.2,0\n6.2,2.9,4.3,1.3,1\n").unwrap();
    let run = |check: &str| {
        let (model, cases) = (model.to_str().unwrap(), cases.to_str().unwrap());
        assay(&["run", "--model", model, "--cases", cases, "--check", check])
    };
    let refused = run("pgd:eps=0.1");
    assert_eq!(refused.status.code(), Some(2));
    let message = stderr(&refused);
    assert!(message.contains("checks[0]") && message.contains("TreeEnsemble"), "{message}");
    let score = run("square:eps=0.5,query_budget=20");
    assert!(score.status.success(), "{}", stderr(&score));
}

//! Metrics and tests against the figures of scikit-learn, statsmodels and SciPy, made by tests/golden/metrics.py.

use std::collections::BTreeMap;

use assay::engine::{Answer, OutputKind};
use assay::metric::{Moments, holm, less_often, mcnemar, mean_above};
use assay::suite::{Check, CheckReport, Fold, Scope, Slicer, Verdict, judge};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/metrics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn near(found: f64, golden: &Value, what: &str) {
    let golden = golden.as_f64().unwrap();
    assert!((found - golden).abs() < 1e-9, "{what}: {found} was found, the peer has {golden}");
}

/// The report's only entry over cases that are judged as the suite judges them.
fn report(cases: Vec<(Answer, Vec<f32>)>, kind: OutputKind, backwards: bool) -> CheckReport {
    let checks = [Check::parse("clean").unwrap()];
    let slices = Slicer::default();
    let (gates, classes, outputs) = (&[][..], &[][..], 0);
    let cases: Vec<_> = (0..).zip(cases).collect();
    let scope = Scope { checks: &checks, gates, outputs, classes, slices: &slices, cases: cases.len() as u64 };
    let mut verdicts: Vec<Verdict> = cases
        .iter()
        .map(|(index, (answer, scores))| {
            let mut verdict = Verdict::blank("", *index, 0, 0);
            judge(answer, scores, scores, kind, &mut verdict);
            verdict
        })
        .collect();
    if backwards {
        verdicts.reverse();
    }
    let mut fold = Fold::new(scope);
    fold.add(&verdicts, &BTreeMap::new());
    fold.report(None).checks.remove(0)
}

fn compare(entry: &CheckReport, slice: &str, golden: &Value, what: &str) {
    for (name, figure) in golden.as_object().unwrap().iter().filter(|(_, figure)| figure.is_object()) {
        let what = format!("{what}: {name} {slice}");
        let found = entry.metrics.iter().find(|m| m.name == *name && m.slice == slice);
        let found = found.unwrap_or_else(|| panic!("{what} is missing"));
        near(found.value, &figure["value"], &what);
        near(found.low, &figure["low"], &format!("{what}, low"));
        near(found.high, &figure["high"], &format!("{what}, high"));
        assert_eq!(found.n, figure["n"].as_u64().unwrap(), "{what}");
    }
}

#[test]
fn classification_is_as_in_scikit_learn() {
    for (name, set) in golden()["classification"].as_object().unwrap() {
        let labels = numbers(&set["labels"]).into_iter().map(|l| Answer::Classes(vec![l as usize]));
        let logits = set["logits"].as_array().unwrap();
        let logits = logits.iter().map(|row| numbers(row).into_iter().map(|v| v as f32).collect());
        let cases: Vec<_> = labels.zip(logits).collect();
        let entry = report(cases.clone(), OutputKind::Logits, false);
        compare(&entry, "", &set["metrics"], name);
        let classes = set["classes"].as_array().unwrap();
        for class in classes {
            compare(&entry, &format!("class={}", class["class"]), class, name);
        }
        let sliced = entry.metrics.iter().filter(|m| !m.slice.is_empty()).count();
        let expected = classes.iter().map(|c| c.as_object().unwrap().len() - 1).sum::<usize>();
        assert_eq!(sliced, expected, "{name}: a class without a figure has none");
        for cell in &entry.confusion.as_ref().unwrap().cells {
            let (label, predicted): (usize, usize) = (cell.label.parse().unwrap(), cell.predicted.parse().unwrap());
            assert_eq!(set["confusion"][label][predicted], cell.count, "{name}");
        }
        let total: u64 = entry.confusion.as_ref().unwrap().cells.iter().map(|c| c.count).sum();
        assert_eq!(total, cases.len() as u64);
        // Bit for bit, whatever the order in which shards come.
        assert_eq!(entry, report(cases, OutputKind::Logits, true));
    }
}

#[test]
fn regression_is_as_in_scikit_learn() {
    for (name, set) in golden()["regression"].as_object().unwrap() {
        let expected = numbers(&set["expected"]).into_iter().map(Answer::Value);
        let predicted = numbers(&set["predicted"]).into_iter().map(|v| vec![v as f32]);
        let cases: Vec<_> = expected.zip(predicted).collect();
        let entry = report(cases.clone(), OutputKind::Value, false);
        compare(&entry, "", &set["metrics"], name);
        assert_eq!(entry, report(cases, OutputKind::Value, true));
    }
}

#[test]
fn tests_are_as_in_statsmodels_and_scipy() {
    let golden = golden();
    for test in golden["mcnemar"].as_array().unwrap() {
        let count = |key: &str| test[key].as_u64().unwrap();
        let p = mcnemar(count("only_a"), count("only_b"));
        near(p.exact, &test["exact"], &format!("exact {test}"));
        near(p.mid, &test["mid"], &format!("mid-p {test}"));
    }
    for test in golden["rates"].as_array().unwrap() {
        let count = |key: &str| test[key].as_u64().unwrap();
        let p = less_often((count("count"), count("n")), (count("others"), count("rest")));
        near(p, &test["p"], &format!("{test}"));
    }
    let moments = |key: &str| {
        let mut moments = Moments::default();
        numbers(&golden["welch"][key]).into_iter().for_each(|v| moments.add(v));
        moments
    };
    near(mean_above(&moments("part"), &moments("rest")), &golden["welch"]["p"], "Welch");
    let adjusted = holm(&numbers(&golden["holm"]["p"]));
    adjusted
        .iter()
        .zip(golden["holm"]["adjusted"].as_array().unwrap())
        .for_each(|(p, golden)| near(*p, golden, "Holm"));
}

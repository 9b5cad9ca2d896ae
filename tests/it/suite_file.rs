//! A job in a `SUITE.yaml`.

use std::fs;
use std::path::Path;

use assay::probe::manuals;
use serde_json::Value;

use crate::cli::{assay, run, stderr};

/// The README's example, in a folder as it describes it.
fn example() -> (tempfile::TempDir, String) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("### A job in a file").nth(1).unwrap();
    let yaml = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("models/mnist_cnn.onnx", "models/digits.onnx"), ("data/mnist_test.npz", "data/digits.npz")] {
        let to = folder.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(from), to).unwrap();
    }
    fs::write(folder.path().join("suite.yaml"), yaml).unwrap();
    let path = folder.path().join("suite.yaml").to_string_lossy().into_owned();
    (folder, path)
}

#[test]
fn the_readmes_example_is_the_same_job_as_its_options() {
    let (_folder, path) = example();
    let file = assay(&["run", "--suite", &path]);
    assert!(file.status.success(), "{}", stderr(&file));
    let checks = ["clean", "gaussian_noise:severity=3", "motion_blur:severity=[1,3]"].map(|c| ["--check", c]).concat();
    let gates = ["clean.accuracy >= 0.9", "motion_blur.mean_accuracy >= 0.95 or inconclusive"];
    let gates = gates.map(|g| ["--gate", g]).concat();
    let rest = ["--seed", "7", "--limit", "200", "--output", "markdown"];
    let options = run(&[&checks[..], &gates, &rest].concat());
    assert_eq!(String::from_utf8_lossy(&file.stdout), String::from_utf8_lossy(&options.stdout));
    // Options come before the file.
    let other = ["--seed", "0", "--limit", "100", "--check", "clean", "--gate", "clean.accuracy <= 0.5"];
    let over = assay(&[&["run", "--suite", &path, "--output", "json"], &other[..]].concat());
    assert_eq!(over.status.code(), Some(1), "{}", stderr(&over));
    let report: Value = serde_json::from_slice(&over.stdout).unwrap();
    let metric = &report["report"]["checks"][0]["metrics"][0];
    assert_eq!((report["report"]["checks"].as_array().unwrap().len(), &metric["n"]), (1, &100.into()));
    let valid = assay(&["suite", "validate", &path]);
    assert!(String::from_utf8_lossy(&valid.stdout).starts_with("1500 cases"), "{}", stderr(&valid));
}

#[test]
fn mistakes_are_named_with_their_place_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suite.yaml").to_string_lossy().into_owned();
    let cases = concat!("cases: ", env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz");
    let model = concat!("model: ", env!("CARGO_MANIFEST_DIR"), "/tests/models/mnist_cnn.onnx");
    let head = format!("{model}\n{cases}\n");
    for (text, expect) in [
        ("seed: 1\nchekcs: [clean]", &["unknown field `chekcs`", "line 4", "did you mean checks?"][..]),
        ("checks:\n- clean\n- nam: clean", &["checks[1]", "unknown field `nam`", "line 5", "did you mean name?"]),
        (
            "checks: [clean]\ngates:\n- gate: clean.accuracy >= 0\n  inconclusive: pas",
            &["line 6", "did you mean pass?"],
        ),
        ("checks: [clean]\noutput: jsn", &["output", "unknown variant `jsn`", "line 4", "did you mean json?"]),
        ("checks: [3]", &["checks[0]", "line 3", "a text or a map"]),
        ("checks: [{name: gaussian_noise, params: {severity: 9}}]", &["checks[0].params.severity: 9 was found"]),
        ("checks: [{name: gaussian_noise, params: {severty: 3}}]", &["did you mean severity?"]),
        (
            "checks: [{name: gaussian_noise, params: {severity: {a: 1}}}]",
            &["suite.checks[0].params.severity", "a list"],
        ),
        ("checks: [clean]\nslices: [age]", &["slices[0]: `age` was found, the cases have no tags"]),
        ("checks: [clean]\npredictions: a.npz", &["both `model` and `predictions`"]),
        ("gates: []", &["checks: there is none"]),
    ] {
        fs::write(&path, format!("{head}{text}")).unwrap();
        let output = assay(&["run", "--suite", &path]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(expect.iter().all(|words| said.contains(words)), "{text}: {said}");
    }
}

#[test]
fn the_published_schema_is_current_and_knows_every_check() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/suite.schema.json");
    let printed = String::from_utf8(assay(&["catalog", "--schema"]).stdout).unwrap();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(path, &printed).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), printed, "UPDATE_SCHEMA=1 cargo test suite_file");
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let forms = schema["properties"]["checks"]["items"]["anyOf"].as_array().unwrap();
    for manual in manuals() {
        assert!(forms[0]["enum"].as_array().unwrap().contains(&manual.name.into()));
        let form = forms.iter().find(|form| form["properties"]["name"]["const"] == manual.name).unwrap();
        let params = form["properties"]["params"]["properties"].as_object().unwrap();
        let own = (manual.schema)().get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        assert!(params.keys().eq(own.keys()), "{}: {params:?}", manual.name);
        assert!(params.values().all(|p| p["description"].is_string()), "{}: {params:?}", manual.name);
    }
}

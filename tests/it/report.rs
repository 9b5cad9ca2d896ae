//! Slices, comparison and baselines as a user meets them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use assay::data::{self, Tag, Value as Array};
use assay::suite::{Census, Check, Fold, Outcome, Scope, Tags, Verdict};
use assay::tensor::Tensor;
use serde_json::Value;

use super::cli::{assay, lines, run, stderr};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// 60 digits as pictures; every third is written with the left hand, and half of these have a wrong label.
fn pictures(folder: &Path) {
    let cases = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    let cases: Vec<_> = cases.map(Result::unwrap).collect();
    let mut list = "file,label,hand\n".to_owned();
    for (i, case) in cases.iter().take(60).enumerate() {
        let Array::Tensor(Tensor::U8(pixels)) = &case.inputs["x"] else { panic!("digits are uint8") };
        let pixels = pixels.iter().copied().collect();
        image::GrayImage::from_vec(28, 28, pixels).unwrap().save(folder.join(format!("{i}.png"))).unwrap();
        let data::Expected::Class { label: data::Class::Index(label), .. } = case.expected else { panic!("no class") };
        let label = if i % 6 == 0 { (label + 1) % 10 } else { label };
        list += &format!("{i}.png,{label},{}\n", if i % 3 == 0 { "left" } else { "right" });
    }
    std::fs::write(folder.join("labels.csv"), list).unwrap();
}

#[test]
fn a_weak_slice_is_found_and_can_be_gated() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let run = |gate: &str, form: &str| {
        let cases = folder.path().to_str().unwrap();
        let base = ["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", cases, "--check", "clean"];
        assay(&[&base[..], &["--gate", gate, "--output", form]].concat())
    };
    let output = run("clean.accuracy[hand=right] >= 0.8", "json");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = &lines(&output)[0]["report"];
    let metrics = report["checks"][0]["metrics"].as_array().unwrap();
    let first = metrics.iter().position(|m| m.get("slice").is_some()).unwrap();
    assert!(metrics[first..].iter().all(|m| m.get("slice").is_some()), "overall metrics come first");
    let left = metrics.iter().find(|m| m["slice"] == "hand=left").unwrap();
    assert_eq!((&left["name"], &left["n"], &left["count"]), (&"accuracy".into(), &20.into(), &10.into()));
    let [finding] = &report["findings"].as_array().unwrap()[..] else { panic!("{}", report["findings"]) };
    assert_eq!((&finding["kind"], &finding["details"]["slice"]), (&"weak_slice".into(), &"hand=left".into()));
    assert!(finding["details"]["p_adjusted"].as_f64().unwrap() < 1e-3);
    assert_eq!(run("clean.accuracy[hand=left] >= 0.8", "table").status.code(), Some(1));
    let table = stdout(&run("clean.accuracy >= 0.1", "table"));
    assert!(table.contains("! hand=left is worse") && table.lines().all(|l| l.chars().count() <= 80), "{table}");
    let xml = stdout(&run("clean.accuracy >= 0.99", "junit"));
    assert!(xml.contains("failures=\"1\"") && xml.contains("name=\"clean.accuracy &gt;= 0.99\""), "{xml}");
    assert!(stdout(&run("clean.accuracy >= 0.99", "markdown")).contains("| `clean.accuracy >= 0.99` | **FAIL** |"));
}

#[test]
fn slices_hold_against_chance_and_against_order() {
    let checks = [Check::parse("clean").unwrap()];
    let tags = |i: u64| Tags::from([("fold".to_owned(), Tag::Text((i % 20).to_string()))]);
    let all: BTreeMap<u64, Tags> = (0..2000).map(|i| (i, tags(i))).collect();
    let mut census = Census::default();
    all.values().for_each(|tags| census.add(tags));
    let slices = census.slicer();
    let scope = Scope { checks: &checks, gates: &[], outputs: 0, classes: &[], slices: &slices, cases: 2000 };
    let report = |weak: bool, backwards: bool| {
        let mut rng = assay::tensor::Rng::new(3, "slices", "", 0);
        let mut verdicts: Vec<Verdict> = (0..2000)
            .map(|i| {
                let mut verdict = Verdict::blank("", i, 0, 0);
                let share = if weak && i % 20 == 7 { 0.6 } else { 0.9 };
                verdict.outcome = if rng.uniform() < share { Outcome::Held } else { Outcome::Broken };
                verdict
            })
            .collect();
        if backwards {
            verdicts.reverse();
        }
        let mut fold = Fold::new(scope);
        fold.add(&verdicts, &all);
        fold.report(None)
    };
    assert!(report(false, false).findings.is_empty());
    let found = report(true, false);
    assert_eq!(found.findings.len(), 1);
    assert_eq!(found.findings[0].details["slice"], "fold=7");
    assert_eq!(found, report(true, true));
}

/// The verdicts of a run in a file, and the same with every twelfth clean case broken.
fn two_files(folder: &Path) -> [String; 2] {
    let args = ["--check", "clean", "--check", "gaussian_noise:severity=[4,5]", "--limit", "120", "--output", "jsonl"];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut worse = String::new();
    for mut line in lines(&output) {
        let case: Option<u32> = line["case"].as_str().and_then(|case| case.parse().ok());
        if line["check"] == "clean" && case.is_some_and(|case| case % 12 == 1) {
            line["outcome"] = "broken".into();
        }
        line["unknown"] = Value::from("is passed over");
        worse += &format!("{line}\n");
    }
    let [a, b] = ["a", "b"].map(|name| folder.join(name).display().to_string());
    std::fs::write(&a, output.stdout).unwrap();
    std::fs::write(&b, worse).unwrap();
    [a, b]
}

#[test]
fn two_runs_are_compared_case_by_case() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = two_files(folder.path());
    let worse = assay(&["compare", &a, &b, "--output", "json"]);
    assert_eq!(worse.status.code(), Some(1), "{}", stderr(&worse));
    let comparison = &lines(&worse)[0];
    assert_eq!((&comparison["rows"][0]["n"], &comparison["rows"][0]["b_is"]), (&120.into(), &"worse".into()));
    assert_eq!(comparison["flips"][0]["broken"][0], "1");
    for (args, code) in [([&b, &a], 0), ([&a, &a], 0), ([&a, &folder.path().display().to_string()], 2)] {
        assert_eq!(assay(&["compare", args[0], args[1]]).status.code(), Some(code));
    }
    let table = stdout(&assay(&["compare", &a, &b]));
    assert!(table.contains("10 newly broken, 0 repaired"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let gates = |gate: &str, file: &str| {
        let args =
            ["--check", "clean", "--check", "gaussian_noise:severity=[4,5]", "--limit", "120", "--output", "json"];
        let output = run(&[&args[..], &["--baseline", file, "--gate", gate]].concat());
        (output.status.code(), lines(&output).into_iter().next().map(|l| l["report"].clone()).unwrap_or_default())
    };
    // 120 cases that all agree still leave 0.034 to either side.
    let (code, report) = gates("clean.accuracy >= baseline - 0.05", &a);
    assert_eq!((code, &report["gates"][0]["metric"]["value"]), (Some(0), &0.0.into()));
    let last = report["checks"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["check"], &last["metrics"][0]["name"]), (&"all".into(), &"mce".into()));
    assert_eq!(last["metrics"][0]["value"], 1.0);
    assert_eq!(gates("mce <= 1", &a).0, Some(0));
    assert_eq!(gates("clean.accuracy <= baseline", &b).0, Some(1));
    assert_eq!(gates("clean.nll <= baseline", "nowhere").0, Some(2));
}

#[test]
fn a_job_is_held_against_another_of_the_service() {
    let mut service = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--engine", "memory", "--slots", "1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(service.stderr.take().unwrap()).lines();
    let found = words.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
    let url = format!("http://{}", found.unwrap());
    let args = ["--check", "clean", "--check", "gaussian_noise:severity=[4,5]", "--limit", "80", "--server", &url];
    let first = run(&args);
    let list = stdout(&assay(&["job", "list", "--server", &url]));
    let job = list.split_whitespace().find(|word| word.starts_with("tenants/")).unwrap_or_default().to_owned();
    let against =
        |job: &str, gate: &str| run(&[&args[..], &["--baseline", job, "--gate", gate, "--output", "json"]].concat());
    let outputs =
        ["clean.accuracy >= baseline - 0.06", "gaussian_noise.corruption_error <= 1", "clean.nll >= baseline"]
            .map(|gate| against(&job, gate));
    let (none, other) =
        (run(&[&args[..], &["--gate", "clean.accuracy >= baseline"]].concat()), against("x", "mce <= 1"));
    let compared = assay(&["compare", &job, &job, "--server", &url]);
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(first.status.success(), "{}", stderr(&first));
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0), "{} {}", stderr(output), stdout(output));
    }
    assert!(stderr(&none).contains("gates[0]: it compares with a baseline"), "{}", stderr(&none));
    assert_eq!((none.status.code(), other.status.code()), (Some(2), Some(2)));
    assert_eq!(compared.status.code(), Some(0), "{}", stderr(&compared));
}

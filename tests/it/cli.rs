//! The command line as a user meets it.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program in the repository's folder.
pub(crate) fn assay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

/// `assay run` on the digits.
pub(crate) fn run(extra: &[&str]) -> Output {
    let base = ["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", "tests/data/mnist_test.npz"];
    assay(&[&base, extra].concat())
}

/// The lines of `--output jsonl`.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_verdict_per_case_and_severity_then_the_report_whatever_the_slots() {
    let args = ["--check", "clean", "--check", "gaussian_noise", "--limit", "40", "--output", "jsonl", "--seed", "1"];
    let first = run(&[&args[..], &["--slots", "1"]].concat());
    assert!(first.status.success(), "{}", stderr(&first));
    let lines = lines(&first);
    assert_eq!(lines.len(), 40 + 40 * 5 + 1);
    assert_eq!(
        (&lines[0]["case"], &lines[0]["check"], &lines[5]["params"]["severity"]),
        (&"0".into(), &"clean".into(), &5.into())
    );
    assert_eq!(lines[0]["seed"], 1);
    let report = &lines[240]["report"];
    assert_eq!(report["checks"][0]["metrics"][0]["name"], "accuracy");
    assert_eq!(report["checks"][6]["metrics"][0]["name"], "mean_accuracy");
    assert_eq!(report["verdict"], "pass");
    for slots in ["2", "3"] {
        let other = run(&[&args[..], &["--slots", slots]].concat());
        assert_eq!(first.stdout, other.stdout, "{slots} slots");
    }
}

#[test]
fn another_seed_changes_the_corrupted_pictures_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = |seed: &str, slots: &str| {
        let dir = folder.path().join(format!("{seed}-{slots}"));
        let args = ["--check", "clean", "--check", "gaussian_noise:severity=5", "--limit", "40", "--seed", seed];
        let output = run(&[&args[..], &["--slots", slots, "--artifacts", dir.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        (std::fs::read(dir.join("00-clean.npz")).unwrap(), std::fs::read(dir.join("01-gaussian_noise.npz")).unwrap())
    };
    let (one, again, two) = (arrays("1", "1"), arrays("1", "3"), arrays("2", "2"));
    assert_eq!(one, again);
    assert_eq!(one.0, two.0);
    assert_ne!(one.1, two.1);
    let spec = |array| format!("{}#{array}", folder.path().join("1-1/01-gaussian_noise.npz").display());
    let mut pictures = assay::data::read(&spec("x_corrupted")).unwrap();
    assert_eq!(pictures.len(), 40);
    let assay::data::Value::Tensor(first) = &pictures.next().unwrap().unwrap().inputs["x_corrupted"] else {
        panic!("no array")
    };
    assert_eq!(first.shape(), [1, 28, 28]);
    // On the grid of 8-bit pictures.
    assert!(first.to_f64().iter().all(|v| ((v * 255.0).round() / 255.0 - v).abs() < 1e-7));
}

#[test]
fn the_table_keeps_to_80_columns_and_leaves_defaults_out() {
    let output =
        run(&["--check", "clean", "--check", "motion_blur", "--check", "pixelate:variant=imagenet_c", "--limit", "20"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("motion_blur 1-5") && table.contains("variant=imagenet_c"), "{table}");
    assert!(!table.contains("imagecorruptions") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn gates_decide_the_exit_code() {
    let args = ["--check", "clean", "--limit", "200", "--gate"];
    let code = |gate: &str| run(&[&args[..], &[gate]].concat()).status.code();
    assert_eq!(code("clean.accuracy >= 0.9"), Some(0));
    assert_eq!(code("clean.accuracy <= 0.5"), Some(1));
    assert_eq!(code("clean.accuracy >= 0.99"), Some(1));
    assert_eq!(code("clean.accuracy >= 0.99 or inconclusive"), Some(0));
}

#[test]
fn wrong_requests_end_with_2_and_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = folder.path().join("rubbish.onnx");
    std::fs::write(&rubbish, b"no model").unwrap();
    let range = folder.path().join("range.yaml");
    std::fs::write(&range, "input: {range: [0, 0.5]}").unwrap();
    let kind = folder.path().join("kind.yaml");
    std::fs::write(&kind, "output: {kind: probabilities}").unwrap();
    for (args, expect) in [
        (
            &["--check", "gausian_noise"][..],
            "checks[0].name: there is no probe `gausian_noise`; did you mean gaussian_noise?",
        ),
        (&["--check", "clean", "--check", "gaussian_noise:severity=9"], "checks[1].params.severity"),
        (&["--check", "clean", "--gate", "claen.accuracy >= 1"], "gates[0]"),
        (&["--check", "clean", "--model", rubbish.to_str().unwrap()], "model"),
        (&["--check", "clean", "--signature", range.to_str().unwrap()], "the range is [0, 0.5]"),
        (&["--check", "clean", "--signature", kind.to_str().unwrap()], "signature.output.kind"),
        (&["--check", "clean", "--cases", "nowhere.npz"], "cases"),
    ] {
        // The last --model or --cases of a command line would be an error of its own, so the base goes without.
        let mut base = vec!["run"];
        for (option, value) in [("--model", "tests/models/mnist_cnn.onnx"), ("--cases", "tests/data/mnist_test.npz")] {
            if !args.contains(&option) {
                base.extend([option, value]);
            }
        }
        let output = assay(&[&base[..], args].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(expect), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_catalogue_and_an_inspection_can_be_read() {
    let text = |args: &[&str]| String::from_utf8(assay(args).stdout).unwrap();
    assert!(text(&["catalog"]).contains("motion_blur"));
    assert!(text(&["catalog", "gaussian_noise"]).contains("severity"));
    let facts = text(&["model", "inspect", "tests/models/mnist_cnn.onnx"]);
    assert!(facts.contains("Conv x") && facts.contains("kind: logits"), "{facts}");
    assert!(
        [facts, text(&["catalog"]), text(&["catalog", "elastic_transform"])]
            .concat()
            .lines()
            .all(|line| line.chars().count() <= 80)
    );
}

#[test]
fn predictions_made_elsewhere_are_judged_as_the_models_own() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let args = ["--check", "clean", "--limit", "100", "--output", "jsonl"];
    let own = run(&[&args[..], &["--artifacts", dir]].concat());
    assert!(own.status.success(), "{}", stderr(&own));
    let scores = format!("{dir}/00-clean.npz#scores");
    let cases = ["run", "--cases", "tests/data/mnist_test.npz", "--predictions", &scores];
    let elsewhere = assay(&[&cases[..], &args].concat());
    assert!(elsewhere.status.success(), "{}", stderr(&elsewhere));
    assert_eq!(own.stdout, elsewhere.stdout);
    for (extra, expect) in [
        (&["--check", "gaussian_noise"][..], "only `clean` can be asked"),
        (&["--check", "clean", "--limit", "101"], "there is none for case `100`"),
    ] {
        let output = assay(&[&cases[..], extra].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expect), "{}", stderr(&output));
    }
}

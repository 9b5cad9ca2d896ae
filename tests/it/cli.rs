//! The command line as a user meets it.

use std::process::{Command, Output};

fn assay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn run(extra: &[&str]) -> Output {
    let base = ["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", "tests/data/mnist_test.npz"];
    assay(&[&base, extra].concat())
}

#[test]
fn a_verdict_per_case_and_severity_the_same_for_a_seed() {
    let args = ["--check", "clean", "--check", "gaussian_noise", "--limit", "20", "--output", "jsonl", "--seed"];
    let first = run(&[&args[..], &["1"]].concat());
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let lines: Vec<serde_json::Value> = first
        .stdout
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 20 + 20 * 5);
    assert_eq!(lines[20]["check"], "gaussian_noise");
    assert_eq!(lines[20]["params"]["severity"], 1);
    assert_eq!(first.stdout, run(&[&args[..], &["1"]].concat()).stdout);
}

#[test]
fn wrong_requests_end_with_2_and_name_the_field() {
    for (args, expect) in [
        (&["--check", "gausian_noise"][..], "checks[0].name"),
        (&["--check", "clean", "--check", "gaussian_noise:severity=9"], "checks[1].params.severity"),
    ] {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(expect), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

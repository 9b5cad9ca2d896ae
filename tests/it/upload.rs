//! Cases on their way from a file to the service.

use std::fmt::Write;

use assay::data::{self, Value};

use super::cli::{assay, lines, run, stderr};
use super::server::Server;

#[test]
fn an_error_on_the_way_leaves_no_suite_behind() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("state"), "1");
    let mut text = "a,b,label\n".to_owned();
    (0..50_000).for_each(|i| writeln!(text, "{i},0.5,{}", i % 2).unwrap());
    let file = folder.path().join("rows.csv");
    let push = || assay(&["suite", "push", file.to_str().unwrap(), "--server", &server.address]);
    let suites = || String::from_utf8(assay(&["suite", "list", "--server", &server.address]).stdout).unwrap();
    std::fs::write(&file, format!("{text}1,red,0\n")).unwrap();
    let refused = push();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("line 50002: column b: `red`"), "{}", stderr(&refused));
    assert!(!suites().contains("rows"), "{}", suites());
    std::fs::write(&file, text).unwrap();
    assert!(push().status.success());
    assert!(suites().contains("rows") && suites().contains("50000"), "{}", suites());
}

#[test]
fn what_the_service_refuses_ends_the_upload() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(&folder.path().join("state"), "1", "[limits]\nsuite_bytes = 100000\n");
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, format!("a,label\n{}", "1,0\n".repeat(200_000))).unwrap();
    let refused = assay(&["suite", "push", file.to_str().unwrap(), "--server", &server.address]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("suite_bytes = 100000"), "{}", stderr(&refused));
}

#[test]
fn arrays_that_are_left_out_are_named() {
    let output = assay(&["suite", "validate", "tests/golden/cases/extra.npz"]);
    assert!(output.status.success() && stderr(&output).contains("left out: probs"), "{}", stderr(&output));
}

#[test]
fn digits_as_json_are_judged_as_those_of_the_array() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digits.jsonl");
    let mut text = String::new();
    for case in data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap().first(20) {
        let case = case.unwrap();
        let Value::Tensor(x) = &case.inputs["x"] else { panic!("no array") };
        let unit = if x.dtype() == assay::tensor::DType::U8 { 255.0 } else { 1.0 };
        let rows: Vec<Vec<f64>> = x.to_f64().chunks(28).map(|row| row.iter().map(|v| v / unit).collect()).collect();
        let data::Expected::Class { label: data::Class::Index(label), .. } = case.expected else { panic!("no label") };
        writeln!(text, "{}", serde_json::json!({"inputs": {"x": [rows]}, "label": label})).unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let args = ["--check", "clean", "--limit", "20", "--output", "jsonl"];
    let json =
        [&["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", file.to_str().unwrap()], &args[..]].concat();
    let (json, array) = (assay(&json), run(&args));
    assert!(json.status.success(), "{}", stderr(&json));
    let answers =
        |output| lines(output).iter().map(|v| (v["outcome"].clone(), v["predicted"].clone())).collect::<Vec<_>>();
    assert_eq!(answers(&json), answers(&array));
    assert_eq!(answers(&json).len(), 21);
}

//! Cases as JSON: what is read, and how errors are told.

use std::fs;

use super::*;
use crate::tensor::{DType, Tensor};

fn cases(text: &str) -> Result<Vec<Case>> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    fs::write(folder.path().join("pictures/1.PNG"), "picture").unwrap();
    fs::write(folder.path().join("cases.jsonl"), text).unwrap();
    read(&folder.path().join("cases.jsonl"))?.collect()
}

fn tensor<'a>(case: &'a Case, name: &str) -> &'a Tensor {
    match &case.inputs[name] {
        Value::Tensor(tensor) => tensor,
        Value::Image(_) => panic!("{name} is a picture"),
    }
}

#[test]
fn inputs_are_numbers_lists_texts_and_pictures() {
    let first = r#"{"inputs": {"age": 3, "pixels": [[1, 2], [3, 4]], "mask": [true, false], "note": "good"}}"#;
    let second =
        r#"{"inputs": {"age": 4, "pixels": [[1.5, null], [3, 4]], "mask": [true, true], "note": {"text": "a.png"}}}"#;
    let read = cases(&format!("\u{feff}{first}\r\n\n{second}")).unwrap();
    assert_eq!((read[0].id.as_str(), read[1].id.as_str()), ("0", "1"));
    assert_eq!((tensor(&read[0], "age").dtype(), tensor(&read[0], "age").shape()), (DType::I64, &[][..]));
    // The second line says that they are floats.
    assert_eq!((tensor(&read[0], "pixels").dtype(), tensor(&read[0], "pixels").shape()), (DType::F32, &[2, 2][..]));
    assert!(tensor(&read[1], "pixels").to_f64()[1].is_nan());
    assert_eq!(tensor(&read[1], "mask").dtype(), DType::Bool);
    assert_eq!(tensor(&read[1], "note"), &Tensor::from_text(&[], vec!["a.png".to_owned()]).unwrap());
    let picture = cases(r#"{"inputs": {"image": "pictures/1.PNG"}}"#).unwrap();
    assert_eq!(picture[0].inputs["image"], Value::Image(b"picture".to_vec()));
    assert_eq!(cases(r#"{"inputs": {"image": {"image": "pictures/1.PNG"}}}"#).unwrap(), picture);
}

#[test]
fn answers_are_classes_or_values() {
    let expected = |fields: &str| cases(&format!(r#"{{"inputs": {{"x": 1}}{fields}}}"#)).map(|c| c[0].expected.clone());
    let class = |label, acceptable| Expected::Class { label, acceptable };
    let name = |name: &str| Class::Name(name.to_owned());
    assert_eq!(expected("").unwrap(), Expected::Nothing);
    assert_eq!(expected(r#", "label": null"#).unwrap(), Expected::Nothing);
    assert_eq!(expected(r#", "label": 3"#).unwrap(), class(Class::Index(3), vec![]));
    assert_eq!(expected(r#", "label": ["cat", "dog", "cat"]"#).unwrap(), class(name("cat"), vec![name("dog")]));
    assert_eq!(expected(r#", "label": "cat", "acceptable": ["dog"]"#).unwrap(), class(name("cat"), vec![name("dog")]));
    assert_eq!(expected(r#", "label": 0.5"#).unwrap(), Expected::Value(0.5));
    assert_eq!(expected(r#", "value": 3"#).unwrap(), Expected::Value(3.0));
    let error = |fields: &str| expected(fields).unwrap_err().to_string();
    assert!(error(r#", "label": -1"#).contains("line 1: label: -1 was found"));
    assert!(error(r#", "label": 1, "value": 3"#).contains("stands beside classes"));
}

#[test]
fn ids_and_tags_are_read() {
    let line =
        r#"{"id": "a", "inputs": {"x": [1]}, "tags": {"light": "dark", "year": 2020, "new": true, "none": null}}"#;
    let read = cases(&format!("{line}\n{}", line.replace("\"a\"", "7"))).unwrap();
    assert_eq!((read[0].id.as_str(), read[1].id.as_str()), ("a", "7"));
    let tags: Vec<_> = read[0].tags.iter().map(|(name, tag)| (name.as_str(), tag.clone())).collect();
    let text = |text: &str| Tag::Text(text.to_owned());
    assert_eq!(tags, [("light", text("dark")), ("new", text("true")), ("year", Tag::Number(2020.0))]);
}

#[test]
fn errors_name_the_line() {
    let check = |lines: &[&str], expect: &str| {
        let error = cases(&lines.join("\n")).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("at line"), "{error}");
    };
    let good = r#"{"inputs": {"x": [1, 2]}}"#;
    check(&[good, "", r#"{"inputs": "#], "line 3: column 10: EOF");
    check(
        &[good, r#"{"inputs": {"x": [1]}, "labels": 1}"#],
        "line 2: column 31: unknown field `labels`, expected one of",
    );
    check(&[r#"{"label": 1}"#], "missing field `inputs`");
    check(&[good, r#"{"inputs": {"x": [[1], [2, 3]]}}"#], "line 2: inputs.x: lists of uneven lengths");
    check(&[good, r#"{"inputs": {"x": [1, "a"]}}"#], "line 2: inputs.x: a text was found in a list beside a number");
    check(&[good, r#"{"inputs": {"x": "a"}}"#], "line 2: inputs.x: a text was found, the lines before have a number");
    check(&[r#"{"inputs": {"x": []}}"#], "without an element");
    check(&[r#"{"inputs": {"x": {"picture": "a"}}}"#], "line 1: inputs.x: an object was found");
    check(&[r#"{"inputs": {"x": {"image": "../a.png"}}}"#], "leads out of the folder");
    check(&[r#"{"inputs": {"x": "gone.png"}}"#], "gone.png");
    check(&[r#"{"inputs": {"x": 1}, "tags": {"a": [1]}}"#], "line 1: tags.a: [1] was found");
}

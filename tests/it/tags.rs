//! Pictures in a folder with tags: lines, slices, and a shard that fails as a whole.

use std::fs;
use std::path::Path;
use std::process::Output;

use assay::data::{self, Value};

use crate::cli::{assay, lines, stderr};

/// Twenty digits as PNG files, of which 2 and 3, which are one shard's, are torn behind their header.
fn pictures(folder: &Path, torn: &[usize]) {
    let digits = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    let mut labels = "file,label,light,number\n".to_owned();
    for (i, case) in digits.take(20).enumerate() {
        let case = case.unwrap();
        let Some(Value::Tensor(pixels)) = case.inputs.values().next() else { panic!("no pixels") };
        let unit = if pixels.to_f64().iter().any(|v| *v > 1.0) { 1.0 } else { 255.0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let pixels: Vec<u8> = pixels.to_f64().iter().map(|v| (v * unit) as u8).collect();
        let name = format!("{i:02}.png");
        let path = folder.join(&name);
        image::save_buffer(&path, &pixels, 28, 28, image::ExtendedColorType::L8).unwrap();
        if torn.contains(&i) {
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        let data::Expected::Class { label: data::Class::Index(label), .. } = &case.expected else { panic!("no label") };
        labels += &format!("{name},{label},{},{i}\n", ["day", "night"][i % 2]);
    }
    fs::write(folder.join("labels.csv"), labels).unwrap();
}

fn run(folder: &Path, extra: &[&str]) -> Output {
    let base = ["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", folder.to_str().unwrap()];
    assay(&[&base[..], &["--check", "clean", "--check", "gaussian_noise:severity=[1,3]"], extra].concat())
}

#[test]
fn a_shard_that_fails_as_a_whole_shifts_no_array() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    pictures(folder.path(), &[2, 3]);
    let output = run(folder.path(), &["--artifacts", out.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    for (array, points) in [("x_corrupted", Some(2)), ("x", None)] {
        let file = out.path().join("01-gaussian_noise.npz");
        let rows = data::read(&format!("{}#{array}", file.display())).unwrap();
        assert_eq!(rows.len(), 20, "{array}");
        for (i, case) in rows.enumerate() {
            let case = case.unwrap();
            let Value::Tensor(row) = &case.inputs[array] else { panic!("no array") };
            let shape: Vec<usize> = points.into_iter().chain([1, 28, 28]).collect();
            assert_eq!(row.shape(), shape, "{array} of case {i}");
            let blank = row.to_f64().iter().all(|v| *v == 0.0);
            assert_eq!(blank, i == 2 || i == 3, "{array} of case {i}");
        }
    }
    let png = |name: &str| out.path().join(name).exists();
    assert!(png("01-case00001-1.png") && png("x-case00001-0.png") && !png("01-case00001-2.png"));
    assert!(!png("01-case00002-0.png") && png("01-case00004-1.png"));
}

#[test]
fn lines_have_the_tags_and_gates_name_slices_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), &[]);
    let output = run(folder.path(), &["--output", "jsonl", "--gate", "clean.accuracy[light=day] >= 0.5"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let all = lines(&output);
    assert_eq!(all.len(), 20 * 3 + 1);
    assert_eq!(all[3]["tags"].to_string(), r#"{"light":"night","number":1}"#);
    assert!(all[..60].iter().enumerate().all(|(i, line)| line["tags"]["number"] == i / 3));
    let output = run(folder.path(), &["--output", "jsonl", "--slice", "light"]);
    assert_eq!(lines(&output)[3]["tags"].to_string(), r#"{"light":"night"}"#);

    for (gate, expect) in [
        ("clean.accuracy[light=dy] >= 0.5", "no slice `light=dy`; it has light=day, light=night"),
        ("clean.accuracy[lihgt=day] >= 0.5", "its cases have the tags light, number"),
        ("clean.recall[class=11] >= 0.5", "no slice `class=11`; it has class=0, class=1"),
    ] {
        let output = run(folder.path(), &["--gate", "clean.recall[class=7] >= 0", "--gate", gate]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("gates[1]") && stderr(&output).contains(expect), "{}", stderr(&output));
    }
}

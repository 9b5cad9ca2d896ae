//! Tests on the development corpus, where `ASSAY_CORPUS` names its folder.

use std::path::{Path, PathBuf};

use assay::data::{self, Value};
use assay::engine::Model;
use assay::tensor::{Tensor, Tensors};

pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("ASSAY_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ASSAY_CORPUS is not set");
    }
    folder
}

/// The array `name` of the golden outputs, `[n, ...]`.
fn golden(file: &Path, name: &str) -> Option<Tensor> {
    let cases = data::read(&format!("{}#{name}", file.display())).ok()?;
    let row = |case: &data::Case| match &case.inputs[name] {
        Value::Tensor(tensor) => tensor.clone(),
        Value::Image(_) => panic!("{name} is a picture"),
    };
    let rows: Vec<Tensor> = cases.iter().map(row).collect();
    Some(Tensor::stack(&rows.iter().collect::<Vec<_>>()).unwrap())
}

/// Every model that tract can load answers as onnxruntime does; the others are refused by the name of their operator.
#[test]
fn models_answer_as_onnxruntime_does_or_are_refused_by_name() {
    let Some(folder) = corpus() else { return };
    let file = folder.join("golden/outputs.npz");
    let list = std::fs::read(folder.join("corpus.json")).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let (mut same, mut refused) = (0, Vec::new());
    for (name, about) in list["models"].as_object().unwrap() {
        let onnx = std::fs::read(folder.join(about["file"].as_str().unwrap())).unwrap();
        // The one file that leaves the size of its picture open.
        let signature = if name == "ppocr_angle_cls" { "input: {shape: [3, 48, 192]}" } else { "" };
        let model = match Model::load(&onnx, signature) {
            Ok(model) => model,
            Err(e) => {
                println!("{name}: {e}");
                refused.push((name, e.to_string()));
                continue;
            }
        };
        let Some(input) = golden(&file, &format!("{name}__input")) else {
            println!("{name}: loads; there are no golden outputs");
            continue;
        };
        let inputs = Tensors::from([(model.signature().inputs[0].name.clone(), input)]);
        for (output, values) in model.predict(&inputs).unwrap() {
            let Some(expected) = golden(&file, &format!("{name}__{output}")) else { continue };
            let pairs = values.to_f64().into_iter().zip(expected.to_f64());
            assert_eq!(values.len(), expected.len(), "{name} {output}");
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            println!("{name} {output}: largest difference {worst:e} over {} values", values.len());
            assert!(worst <= 1e-4, "{name} {output}: {worst}");
            same += 1;
        }
    }
    assert!(same >= 9, "{same}");
    assert!(refused.iter().all(|(_, e)| e.contains("operators that cannot be run")), "{refused:?}");
}

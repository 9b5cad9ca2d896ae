//! Small models of every operator, opset and format with onnxruntime's answers: tests/models/make_zoo.py.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use assay::engine::{Model, OutputKind};
use assay::tensor::{Tensor, Tensors};
use ndarray::ArrayD;

use super::models::{array, difference};

/// A model of the zoo with what goes in and what onnxruntime gives.
pub(super) struct Specimen {
    pub(super) name: String,
    pub(super) onnx: Vec<u8>,
    pub(super) inputs: Tensors,
    outputs: Tensors,
}

/// An array of text, row by row.
#[derive(serde::Deserialize)]
struct Texts {
    shape: Vec<usize>,
    values: Vec<String>,
}

pub(super) fn zoo() -> Vec<Specimen> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/zoo.zip");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let names = archive.file_names().map(|n| n.unwrap().into_owned());
    let names: Vec<String> = names.filter_map(|n| n.strip_suffix(".onnx").map(str::to_owned)).collect();
    let mut specimens = Vec::new();
    for name in names {
        let mut read = |kind: &str| {
            let mut bytes = Vec::new();
            archive.by_name(&format!("{name}.{kind}")).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let (onnx, npz, texts) = (read("onnx"), read("npz"), read("json"));
        let file = folder.path().join("answers.npz");
        std::fs::write(&file, &npz).unwrap();
        let arrays = zip::ZipArchive::new(std::io::Cursor::new(npz)).unwrap();
        let (mut inputs, mut outputs) = (Tensors::new(), Tensors::new());
        let mut keep = |key: &str, value: Tensor| match key.split_once('_').unwrap() {
            ("in", key) => inputs.insert(key.to_owned(), value),
            (_, key) => outputs.insert(key.to_owned(), value),
        };
        let keys = arrays.file_names().map(|n| n.unwrap().into_owned());
        for key in keys.filter_map(|n| n.strip_suffix(".npy").map(str::to_owned)) {
            keep(&key, array(&file, &key).unwrap_or_else(|| panic!("{name} {key} cannot be read")));
        }
        let texts: BTreeMap<String, Texts> = serde_json::from_slice(&texts).unwrap();
        for (key, Texts { shape, values }) in texts {
            keep(&key, Tensor::Text(ArrayD::from_shape_vec(shape, values).unwrap()));
        }
        specimens.push(Specimen { name, onnx, inputs, outputs });
    }
    specimens.sort_by(|a, b| a.name.cmp(&b.name));
    specimens
}

impl Specimen {
    /// What is allowed between onnxruntime's answer and ours.
    fn tolerance(&self) -> f64 {
        match self.name.as_str() {
            // onnxruntime rounds to float16 at the border of every operator that it fuses.
            name if name.starts_with("half") => 2e-3,
            _ => 1e-4,
        }
    }
}

/// The models that are refused, with every operator in them that cannot be run.
const REFUSED: &[(&str, &str)] = &[(
    "qoperator",
    "model: the file uses operators that cannot be run: com.microsoft.QGemm (opset 1), com.microsoft.QLinearConcat \
     (opset 1), com.microsoft.QLinearMul (opset 1), com.microsoft.QLinearSoftmax (opset 1)",
)];

#[test]
fn every_small_model_answers_as_onnxruntime_does() {
    let (mut wrong, mut worst) = (Vec::new(), BTreeMap::<String, f64>::new());
    let mut refused = Vec::new();
    for specimen in zoo() {
        let name = &specimen.name;
        let outputs = Model::load(&specimen.onnx, "").and_then(|model| model.predict(&specimen.inputs));
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(e) => {
                refused.push((name.clone(), e.to_string()));
                continue;
            }
        };
        for (key, expected) in specimen.outputs.iter().filter(|(key, _)| *key != "unjudged") {
            let found = &outputs[key];
            if found.shape() != expected.shape() {
                wrong.push(format!("{name} {key}: {:?} was found, {:?} expected", found.shape(), expected.shape()));
                continue;
            }
            let apart = difference(found, expected);
            let family = name.split('_').next().unwrap_or(name).to_owned();
            let entry = worst.entry(family).or_default();
            *entry = entry.max(apart);
            if apart > specimen.tolerance() {
                wrong.push(format!("{name} {key}: {apart:e} apart"));
            }
        }
    }
    worst.iter().for_each(|(family, worst)| println!("{family}: {worst:.1e}"));
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    let refused: Vec<_> = refused.iter().map(|(name, error)| (name.as_str(), error.as_str())).collect();
    assert_eq!(refused, REFUSED);
}

fn load(name: &str) -> Model {
    let specimen = zoo().into_iter().find(|s| s.name == name).unwrap();
    Model::load(&specimen.onnx, "").unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn the_scores_are_judged_and_the_file_names_the_classes() {
    let iris = ["setosa", "versicolor", "virginica"];
    for (name, kind, classes, labels) in [
        ("sk_logistic", OutputKind::Probabilities, &[][..], &[][..]),
        ("sk_logistic_zipmap", OutputKind::Probabilities, &[], &[]),
        ("sk_logistic_strings", OutputKind::Probabilities, &iris, &[]),
        ("sk_logistic_strings_zipmap", OutputKind::Probabilities, &iris, &[]),
        ("sk_logistic_from_one", OutputKind::Probabilities, &["1", "2", "3"], &[1, 2, 3]),
        ("sk_logistic_from_one_zipmap", OutputKind::Probabilities, &["1", "2", "3"], &[1, 2, 3]),
        ("sk_one_vs_rest", OutputKind::Probabilities, &[], &[]),
        ("sk_forest", OutputKind::Probabilities, &[], &[]),
        ("sk_extra_trees", OutputKind::Probabilities, &iris, &[]),
        ("sk_boosting", OutputKind::Probabilities, &[], &[]),
        ("sk_mlp", OutputKind::Probabilities, &iris, &[]),
        ("sk_svc", OutputKind::Logits, &[], &[]),
        ("sk_svc_probability", OutputKind::Probabilities, &iris, &[]),
        ("sk_ridge", OutputKind::Value, &[], &[]),
        ("sk_forest_regressor", OutputKind::Value, &[], &[]),
        ("sk_forest_regressor_two", OutputKind::Value, &[], &[]),
        ("trees_two_class_none", OutputKind::Logits, &[], &[]),
        ("trees_two_base_class_logistic", OutputKind::Probabilities, &["no", "yes"], &[]),
    ] {
        let model = load(name);
        let output = &model.signature().output;
        assert_eq!(
            (output.kind, output.classes.as_slice(), output.labels.as_slice()),
            (kind, &*owned(classes), labels),
            "{name}"
        );
        assert_ne!(output.name, "label", "{name}");
        let again = Model::load(
            &zoo().into_iter().find(|s| s.name == name).unwrap().onnx,
            &model.signature().to_yaml().unwrap(),
        );
        assert_eq!(again.unwrap().signature(), model.signature(), "{name}");
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// A row's answer has the same bits at any place of a batch, for every operator.
#[test]
fn rows_do_not_depend_on_their_place() {
    for specimen in zoo() {
        let Ok(model) = Model::load(&specimen.onnx, "") else { continue };
        let predict = |rows: &[usize]| {
            let pick = |(name, x): (&String, &Tensor)| (name.clone(), x.select(rows));
            model.predict(&specimen.inputs.iter().map(pick).collect()).unwrap()
        };
        let n = specimen.inputs.values().next().unwrap().shape()[0];
        let (whole, turned) = (predict(&(0..n).collect::<Vec<_>>()), predict(&(0..n).rev().collect::<Vec<_>>()));
        for (key, values) in &whole {
            for row in 0..n {
                // Bits, so that NaN equals itself.
                let bits = |t: Tensor| t.to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>();
                let name = &specimen.name;
                assert_eq!(bits(turned[key].row(n - 1 - row)), bits(values.row(row)), "{name} {key}: row {row}");
            }
        }
    }
}

/// Damaged ensembles and machines are refused with an error and never a panic that escapes.
#[test]
fn damaged_tables_are_errors() {
    let mut refused = 0;
    for specimen in zoo().into_iter().filter(|s| s.name.starts_with("trees_three") || s.name.starts_with("svc_three")) {
        for step in [7, 11, 13] {
            let mut onnx = specimen.onnx.clone();
            let mut at = 200;
            while at < onnx.len() {
                onnx[at] ^= 0x55;
                at += onnx.len() / step + 1;
            }
            refused += usize::from(Model::load(&onnx, "").and_then(|m| m.predict(&specimen.inputs)).is_err());
        }
    }
    assert!(refused > 0);
}

//! Tests on the development corpus, where `ASSAY_CORPUS` names its folder.

use std::path::PathBuf;

use assay::data::{self, Value};
use assay::probe::corruption::{Severity, find};
use assay::tensor::{Pixels, Rng, Tensor};

pub(super) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("ASSAY_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ASSAY_CORPUS is not set");
    }
    folder
}

/// Pictures [n, height, width, channels] of uint8 as flat samples.
fn pictures(spec: &str, name: &str) -> Vec<Vec<u8>> {
    let cases = data::read(&format!("{spec}#{name}")).unwrap();
    let samples = |case: &data::Case| match &case.inputs[name] {
        Value::Tensor(Tensor::U8(a)) => a.iter().copied().collect(),
        other => panic!("{name} is not uint8: {other:?}"),
    };
    cases.iter().map(samples).collect()
}

#[test]
fn jpeg_compression_is_near_pillows() {
    let Some(folder) = corpus() else { return };
    let file = folder.join("golden/corruptions_reference.npz").display().to_string();
    let clean = pictures(&file, "clean");
    for level in [1, 3, 5] {
        let expected = pictures(&file, &format!("jpeg_compression_{level}"));
        for (clean, expected) in clean.iter().zip(&expected) {
            let mut image = Pixels::new(224, 224, 3, clean.clone()).unwrap();
            let severity = Severity::new(level).unwrap();
            (find("jpeg_compression").unwrap().corrupt)(&mut image, severity, &mut Rng::new(0, "", "", 0)).unwrap();
            let differences: Vec<u8> = image.data.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / differences.len() as f64;
            let exact = differences.iter().filter(|&&d| d == 0).count() as f64 / differences.len() as f64;
            println!("severity {level}: mean {mean:.3}, max {:?}, equal {exact:.3}", differences.iter().max());
            assert!(mean < 1.0, "severity {level}: mean difference {mean}");
        }
    }
}

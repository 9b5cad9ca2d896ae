//! Corruptions against the Python package imagecorruptions, on photographs of the development corpus.

use std::path::Path;

use assay::data::{self, Value};
use assay::engine::{Crop, Filter, Geometry, Input, Layout, Output, OutputKind, Resize, Signature, Task, prepare};
use assay::probe::corruption::{CORRUPTIONS, Corrupter, Sample, find};
use assay::tensor::{DType, Pixels, Rng, Tensor};
use serde_json::{Map, Value as Json, json};

use crate::corpus::corpus;

fn corrupter(name: &str, severity: u64) -> Corrupter {
    let entry = find(name).unwrap();
    (entry.read)(&Map::from_iter([("severity".to_owned(), json!(severity))])).unwrap()
}

fn corrupted(clean: &Pixels, corrupter: &Corrupter, mut rng: Rng) -> Pixels {
    let mut sample = Sample::Picture(clean.clone());
    corrupter(&mut sample, &mut rng).unwrap();
    let Sample::Picture(picture) = sample else { panic!("no picture any more") };
    picture
}

/// Absolute differences of samples: the mean, the largest, and the share of equal ones.
fn difference(a: &[u8], b: &[u8]) -> (f64, u8, f64) {
    assert_eq!(a.len(), b.len());
    let (mut sum, mut largest, mut equal) = (0u64, 0, 0u32);
    for (a, b) in a.iter().zip(b) {
        let difference = a.abs_diff(*b);
        sum += u64::from(difference);
        largest = largest.max(difference);
        equal += u32::from(difference == 0);
    }
    (sum as f64 / a.len() as f64, largest, f64::from(equal) / a.len() as f64)
}

/// Pictures [n, height, width, channels] of uint8.
fn pictures(file: &Path, name: &str) -> Vec<Pixels> {
    let cases: Vec<_> = data::read(&format!("{}#{name}", file.display())).unwrap().map(Result::unwrap).collect();
    let picture = |case: &data::Case| match &case.inputs[name] {
        Value::Tensor(Tensor::U8(a)) => Pixels::new(224, 224, 3, a.iter().copied().collect()).unwrap(),
        other => panic!("{name} is not uint8: {other:?}"),
    };
    cases.iter().map(picture).collect()
}

/// The eight that draw no random number are the package's pictures, but for rounding.
#[test]
fn corruptions_without_chance_are_the_packages_pictures() {
    let Some(folder) = corpus() else { return };
    let file = folder.join("golden/corruptions_reference.npz");
    let clean = pictures(&file, "clean");
    // Largest mean difference of a picture, in levels of 255.
    for (name, bound) in [
        ("gaussian_blur", 0.05),
        ("defocus_blur", 0.05),
        ("zoom_blur", 0.05),
        ("brightness", 0.001),
        ("contrast", 0.001),
        ("saturate", 0.001),
        ("pixelate", 0.01),
        ("jpeg_compression", 0.001),
    ] {
        for severity in [1, 3, 5] {
            let corrupter = corrupter(name, severity);
            for (clean, expected) in clean.iter().zip(pictures(&file, &format!("{name}_{severity}"))) {
                let found = corrupted(clean, &corrupter, Rng::new(0, "", "", 0));
                let expected = if name == "defocus_blur" { flat_kept(clean, &found, expected) } else { expected };
                let (mean, largest, equal) = difference(&found.data, &expected.data);
                println!("{name} {severity}: mean {mean:.5}, largest {largest}, equal {equal:.5}");
                assert!(mean <= bound, "{name} {severity}: mean difference {mean}");
            }
        }
    }
}

/// The package filters large kernels by Fourier transforms, whose rounding takes a level from flat areas (white stays 254
/// when it is cut to 8 bits). Where a sample stays as it was here and is one lower there, that is what happened.
fn flat_kept(clean: &Pixels, found: &Pixels, mut expected: Pixels) -> Pixels {
    for (expected, (clean, found)) in expected.data.iter_mut().zip(clean.data.iter().zip(&found.data)) {
        *expected += u8::from(found == clean && *expected != 255 && *expected + 1 == *found);
    }
    expected
}

/// Every `every`-th photograph, its shorter side 256 pixels, the middle 224.
fn photographs(folder: &Path, every: usize) -> Vec<Pixels> {
    let resize = Resize { shorter: Some(256), size: None, filter: Filter::Bicubic };
    let input = Input {
        name: "image".to_owned(),
        dtype: DType::F32,
        shape: vec![224, 224, 3],
        layout: Layout::Nhwc,
        range: None,
        geometry: vec![Geometry::Resize(resize), Geometry::Crop(Crop { center: 224 })],
        preprocess: Vec::new(),
        features: Vec::new(),
        vocabulary: Vec::new(),
    };
    let output =
        Output { name: String::new(), kind: OutputKind::Logits, size: 1000, classes: Vec::new(), labels: Vec::new() };
    let signature = Signature { task: Task::Classification, inputs: vec![input], output };
    let cases = data::read(&folder.join("data/photos").display().to_string()).unwrap();
    let cases: Vec<_> = cases.map(Result::unwrap).collect();
    let photograph = |case: &data::Case| match &prepare(case, &signature).unwrap().inputs["image"] {
        Tensor::U8(a) => Pixels::new(224, 224, 3, a.iter().copied().collect()).unwrap(),
        other => panic!("no picture: {other:?}"),
    };
    cases.iter().step_by(every).map(photograph).collect()
}

/// All 19 at all severities move photographs as far as the package does: within 10 % of the mean absolute difference.
#[test]
fn corruptions_move_photographs_as_far_as_the_package_does() {
    let Some(folder) = corpus() else { return };
    let golden: Json = serde_json::from_str(include_str!("../golden/corruptions.json")).unwrap();
    let photographs = photographs(&folder, golden["every"].as_u64().unwrap() as usize);
    assert_eq!(photographs.len() as u64, golden["photos"].as_u64().unwrap());
    let mut off = Vec::new();
    for (name, means) in golden["mean_abs_diff"].as_object().unwrap() {
        assert!(CORRUPTIONS.iter().any(|entry| entry.manual.name == name));
        for (severity, expected) in (1..).zip(means.as_array().unwrap()) {
            let corrupter = corrupter(name, severity);
            let moved = |(i, clean): (usize, &Pixels)| {
                let found = corrupted(clean, &corrupter, Rng::new(severity, name, &i.to_string(), 0));
                difference(&found.data, &clean.data).0
            };
            let mean = photographs.iter().enumerate().map(moved).sum::<f64>() / photographs.len() as f64;
            let ratio = mean / expected.as_f64().unwrap();
            println!("{name} {severity}: {mean:.3}, {ratio:.3} of the package's");
            if (ratio - 1.0).abs() > 0.1 {
                off.push(format!("{name} {severity}: {ratio:.3}"));
            }
        }
    }
    assert!(off.is_empty(), "{off:?}");
}

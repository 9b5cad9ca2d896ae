//! Bodies for what machines write: pictures, tensors, files of cases.

use std::collections::BTreeMap;
use std::path::Path;

use assay::api::tensor_from_bytes;
use assay::data::{self, Case, Expected, Value, picture};
use assay::suite::Summary;
use assay::tensor::DType;

/// A picture as the value of a case: what its suite notes of it, then all of its pixels.
pub(super) fn image(bytes: &[u8]) -> bool {
    let case = Case {
        id: "0".to_owned(),
        inputs: BTreeMap::from([("x".to_owned(), Value::Image(bytes.to_vec()))]),
        expected: Expected::Nothing,
        tags: BTreeMap::new(),
    };
    let noted = Summary::default().add(&case).is_ok();
    let decoded = picture::decode(bytes, 3);
    assert_eq!(decoded.is_ok(), picture::decode(bytes, 1).is_ok());
    let Ok(pixels) = decoded else { return false };
    // A suite must not be refused for a picture that a slot can read.
    assert!(noted);
    assert_eq!(picture::dimensions(bytes).unwrap(), (pixels.height, pixels.width));
    true
}

pub(super) fn pictures() -> Vec<Vec<u8>> {
    let pixels = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 99]));
    let grey = image::DynamicImage::ImageRgb8(pixels.clone()).into_luma16();
    let pictures = [image::DynamicImage::ImageRgb8(pixels), image::DynamicImage::ImageLuma16(grey)];
    let mut files = Vec::new();
    for (picture, format) in [(0, image::ImageFormat::Png), (1, image::ImageFormat::Png), (0, image::ImageFormat::Jpeg)]
    {
        let mut file = std::io::Cursor::new(Vec::new());
        pictures[picture].write_to(&mut file, format).unwrap();
        files.push(file.into_inner());
    }
    files.push(webp(&pictures[0]));
    files
}

fn webp(picture: &image::DynamicImage) -> Vec<u8> {
    let mut file = Vec::new();
    picture.write_with_encoder(image::codecs::webp::WebPEncoder::new_lossless(&mut file)).unwrap();
    file
}

/// A tensor of the contract: its type, its number of axes, their lengths in eight bytes each, its data.
pub(super) fn tensor(bytes: &[u8]) -> bool {
    let &[kind, axes, ref rest @ ..] = bytes else { return false };
    let (kind, axes) = (i32::from(kind), usize::from(axes % 6));
    let Some((lengths, data)) = rest.split_at_checked(axes * 8) else { return false };
    let shape: Vec<u64> = lengths.as_chunks::<8>().0.iter().map(|length| u64::from_le_bytes(*length)).collect();
    let Ok(tensor) = tensor_from_bytes(kind, &shape, data) else { return false };
    assert_eq!(tensor.shape().iter().map(|n| *n as u64).collect::<Vec<_>>(), shape);
    let again = tensor_from_bytes(kind, &shape, &tensor.to_bytes()).unwrap();
    assert_eq!(again.to_bytes(), tensor.to_bytes());
    true
}

pub(super) fn tensors() -> Vec<Vec<u8>> {
    let sample = |kind: u8, shape: &[u64], size: usize| {
        let lengths = shape.iter().flat_map(|n| n.to_le_bytes());
        let count = shape.iter().product::<u64>() as usize;
        [kind, shape.len() as u8].into_iter().chain(lengths).chain((0..count * size).map(|i| (i % 2) as u8)).collect()
    };
    let sizes = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::Bool].map(DType::size);
    (1u8..).zip(sizes).map(|(kind, size)| sample(kind, &[2, 3], size)).collect()
}

/// Forms of files of cases.
const FORMS: [&str; 4] = ["csv", "jsonl", "npz", "parquet"];

/// A file of cases, of which the first byte says the form. Its cases are what a suite takes, or errors.
pub(super) fn cases(bytes: &[u8]) -> bool {
    let Some((form, file)) = bytes.split_first() else { return false };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("cases.{}", FORMS[usize::from(*form) % FORMS.len()]));
    std::fs::write(&path, file).unwrap();
    let Ok(cases) = data::read(path.to_str().unwrap()) else { return false };
    // What fits no suite is none of the file's matter, but must be told without a panic.
    let mut summary = Summary::default();
    cases.take(1000).all(|case| case.map(|case| summary.add(&case).is_ok()).is_ok())
}

pub(super) fn cases_samples() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases");
    let names = ["table.csv", "table_semicolon.csv", "table.jsonl", "vectors.npz", "vectors.parquet", "bytes.parquet"];
    let sample = |name: &str| {
        let form = FORMS.iter().position(|form| name.ends_with(form)).unwrap() as u8;
        [vec![form], std::fs::read(golden.join(name)).unwrap()].concat()
    };
    names.into_iter().map(sample).collect()
}

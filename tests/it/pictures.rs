//! Picture files decoded as Pillow decodes them: `tests/golden/pictures.py` made the files and their samples.

use std::path::{Path, PathBuf};

use assay::data::{self, Value, picture};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Height, width and RGB samples of a picture as Pillow has it.
fn samples(name: &str) -> (usize, usize, Vec<f64>) {
    let rows = data::read(&format!("{}#{name}", golden().join("pictures.npz").display())).unwrap();
    let (height, mut width, mut samples) = (rows.len(), 0, Vec::new());
    for row in rows {
        let Value::Tensor(row) = &row.unwrap().inputs[name] else { panic!("{name} is no array") };
        width = row.shape()[0];
        samples.extend(row.to_f64());
    }
    (height, width, samples)
}

#[test]
fn every_kind_of_file_gives_pillows_samples() {
    let mut apart = Vec::new();
    let mut names: Vec<_> =
        std::fs::read_dir(golden().join("pictures")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 36);
    for name in names {
        let name = name.to_str().unwrap();
        let file = std::fs::read(golden().join("pictures").join(name)).unwrap();
        let (height, width, expected) = samples(name);
        let found = picture::decode(&file, 3).unwrap();
        assert_eq!(picture::dimensions(&file).unwrap(), (height, width), "{name}");
        assert_eq!((found.height, found.width), (height, width), "{name}");
        let differences = found.data.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
        let (worst, count) = differences.fold((0.0f64, 0), |(worst, n), d| (worst.max(d), n + usize::from(d > 0.0)));
        if worst > 0.0 {
            apart.push(format!("{name}: {count} of {} samples, by up to {worst}", expected.len()));
        }
    }
    assert!(apart.is_empty(), "{apart:#?}");
}

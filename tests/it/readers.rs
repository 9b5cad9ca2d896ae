//! Files of cases: the same cases in every form, and damaged files, which are errors and nothing worse.

use std::path::{Path, PathBuf};

use assay::data::{self, Case, Class, Expected, Value};
use assay::error::Result;
use proptest::prelude::*;

/// Files that `tests/golden/cases.py` made.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases").join(name)
}

fn read(path: &Path) -> Result<Vec<Case>> {
    data::read(path.to_str().unwrap())?.collect()
}

/// Equal cases print the same; as values, those with NaN are not equal.
fn printed(name: &str) -> Vec<String> {
    read(&golden(name)).unwrap().iter().map(|case| format!("{case:?}")).collect()
}

#[test]
fn a_table_is_the_same_in_every_form() {
    let expected = printed("table.csv");
    assert_eq!(expected.len(), 300);
    let forms = ["table_semicolon.csv", "table.jsonl"];
    let parquet = ["snappy", "zstd", "gzip", "none"].map(|packing| format!("table_{packing}.parquet"));
    for name in forms.into_iter().chain(parquet.iter().map(String::as_str)) {
        for (found, expected) in printed(name).iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(printed(name).len(), expected.len(), "{name}");
    }
}

#[test]
fn vectors_and_texts_are_the_same_in_parquet_and_npz() {
    let expected = printed("vectors.parquet");
    assert_eq!(expected.len(), 12);
    assert_eq!(printed("vectors.npz"), expected);
    assert_eq!(printed("vectors_big_endian_fortran.npz"), expected);
}

#[test]
fn pictures_come_as_structs_or_bytes() {
    let cases = read(&golden("pictures.parquet")).unwrap();
    let plain = read(&golden("bytes.parquet")).unwrap();
    for (i, (case, plain)) in cases.iter().zip(&plain).enumerate() {
        let file = Value::Image(std::fs::read(golden(&format!("picture_{i}.png"))).unwrap());
        assert_eq!((&case.inputs["image"], &plain.inputs["image"]), (&file, &file));
    }
    let class = |index| Expected::Class { label: Class::Index(index), acceptable: Vec::new() };
    let several = Expected::Class { label: Class::Index(0), acceptable: vec![Class::Index(2)] };
    let expected: Vec<_> = cases.iter().map(|case| case.expected.clone()).collect();
    assert_eq!(expected, [class(1), several, Expected::Nothing]);
    assert_eq!((&plain[0].expected, &plain[2].expected), (&Expected::Value(1.5), &Expected::Nothing));
}

#[test]
fn columns_that_are_not_there_are_named() {
    for form in ["csv", "parquet"] {
        let name = if form == "csv" { "table.csv" } else { "table_none.parquet" };
        let error = data::read(&format!("{}#labels", golden(name).display())).err().unwrap().to_string();
        assert!(error.contains("no column `labels`; it has id, width, count, label"), "{error}");
    }
    let error = data::read(&format!("{}#x", golden("vectors.npz").display())).err().unwrap().to_string();
    assert!(error.contains("the file holds weights, tokens"), "{error}");
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["table_snappy.parquet", "pictures.parquet", "vectors.npz", "vectors_big_endian_fortran.npz"] {
        let whole = std::fs::read(golden(name)).unwrap();
        let path = folder.path().join(name);
        for end in (0..whole.len()).step_by(whole.len() / 150) {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(read(&path).is_err(), "{name} of {end} bytes");
        }
    }
}

/// Bytes of a file and how they are damaged: some are replaced, and the end may be cut.
fn damaged(names: &'static [&'static str]) -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (prop::sample::select(names), edits, cut).prop_map(|(name, edits, cut)| {
        let mut bytes = std::fs::read(golden(name)).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len())));
        (name, bytes)
    })
}

/// Reads what may be anything; only the end matters.
fn survives(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    if let Ok(cases) = data::read(path.to_str().unwrap()) {
        let (announced, mut errors) = (cases.len(), 0);
        let found = cases.take(1000).inspect(|case| errors += usize::from(case.is_err())).count();
        assert!(found == announced.min(1000) || errors == 1, "{found} of {announced} cases came, {errors} errors");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_tables_do_not_panic((name, bytes) in damaged(&["table.csv", "table_semicolon.csv", "table.jsonl"])) {
        survives(name, &bytes);
    }

    #[test]
    fn damaged_archives_do_not_panic(
        (name, bytes) in damaged(&["vectors.npz", "vectors_big_endian_fortran.npz"])
    ) {
        survives(name, &bytes);
    }

    #[test]
    fn damaged_parquet_does_not_panic(
        (name, bytes) in damaged(&["table_snappy.parquet", "table_none.parquet", "vectors.parquet", "pictures.parquet"])
    ) {
        survives(name, &bytes);
    }

    #[test]
    fn random_bytes_do_not_panic(
        form in prop::sample::select(&["csv", "jsonl", "npz", "parquet"][..]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        survives(&format!("cases.{form}"), &bytes);
    }
}

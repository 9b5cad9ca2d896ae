//! Arrays of numpy's `.npz` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use zip::ZipArchive;

use crate::data::{Case, Class, Expected, Value};
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

/// Largest array that is read, in bytes: a small file must not unpack into all of the memory.
const ARRAY_BYTES_MAX: u64 = 4 << 30;

/// Cases of an `.npz`: rows of the array `x` (or, where there is none, of every array but `y`, each an input of its own
/// name), answers from `y`; or the two (or one) arrays named, comma-separated.
///
/// Ids are row numbers from 0. Whole-number answers are classes, others values.
pub(super) fn read(path: &Path, arrays: Option<&str>) -> Result<Vec<Case>> {
    let file = File::open(path).map_err(|e| Error::invalid("cases", format!("{}: {e}", path.display())))?;
    read_from(BufReader::new(file), arrays)
}

/// The same from an open file.
pub(super) fn read_from(file: impl Read + Seek, arrays: Option<&str>) -> Result<Vec<Case>> {
    let refuse = |e: &dyn std::fmt::Display| Error::invalid("cases", format!("not an .npz file: {e}"));
    let mut archive = ZipArchive::new(file).map_err(|e| refuse(&e))?;
    let present = names(&archive);
    let (inputs, y_name) = match arrays.map(|a| a.split_once(',').unwrap_or((a, ""))) {
        Some((x, y)) => (vec![x.to_owned()], (!y.is_empty()).then_some(y)),
        // Only the default `y` may be absent: cases without an expected answer are allowed.
        None => (inputs(&present), present.iter().any(|n| n == "y").then_some("y")),
    };
    let read = |name: String| array(&mut archive, &name, &present).map(|tensor| (name, tensor));
    let inputs: Vec<(String, Tensor)> = inputs.into_iter().map(read).collect::<Result<_>>()?;
    let answers = y_name.map(|name| array(&mut archive, name, &present)).transpose()?;
    cases(&inputs, answers.as_ref())
}

/// Arrays of an archive, in its order.
fn names<R: Read + Seek>(archive: &ZipArchive<R>) -> Vec<String> {
    archive.file_names().filter_map(|n| Some(n.ok()?.strip_suffix(".npy")?.to_owned())).collect()
}

/// The arrays that are inputs where nobody names them. With neither `x` nor another array `x` is what is missed.
fn inputs(present: &[String]) -> Vec<String> {
    let others: Vec<String> = present.iter().filter(|n| *n != "y").cloned().collect();
    if others.is_empty() || others.iter().any(|n| n == "x") { vec!["x".to_owned()] } else { others }
}

fn cases(inputs: &[(String, Tensor)], y: Option<&Tensor>) -> Result<Vec<Case>> {
    let mut lengths = Vec::new();
    for (name, tensor) in inputs {
        let Some(&rows) = tensor.shape().first() else {
            let found = format!("array {name} is a single number; rows of samples were expected");
            return Err(Error::invalid("cases", found));
        };
        lengths.push(rows);
    }
    let rows = lengths.first().copied().unwrap_or(0);
    if lengths.iter().any(|n| *n != rows) {
        let found: Vec<String> = inputs.iter().map(|(name, t)| format!("{name} {:?}", t.shape())).collect();
        let found = found.join(", ");
        return Err(Error::invalid("cases", format!("arrays of different lengths were found: {found}; name one")));
    }
    if let Some(y) = y
        && y.shape() != [rows]
    {
        let found = format!("the samples have {rows} rows but the answers have shape {:?}", y.shape());
        return Err(Error::invalid("cases", format!("{found}; one answer a row was expected")));
    }
    (0..rows)
        .map(|i| {
            let expected = y.map_or(Ok(Expected::Nothing), |y| answer(y, i))?;
            let inputs = inputs.iter().map(|(name, x)| (name.clone(), Value::Tensor(x.row(i)))).collect();
            Ok(Case { id: i.to_string(), inputs, expected, tags: BTreeMap::new() })
        })
        .collect()
}

fn answer(y: &Tensor, row: usize) -> Result<Expected> {
    let class = |index: i64| {
        let index = u64::try_from(index).map_err(|_| {
            Error::invalid("cases", format!("row {row}: label {index} is negative; classes start at 0"))
        })?;
        Ok(Expected::Class { label: Class::Index(index), acceptable: Vec::new() })
    };
    match y {
        Tensor::I64(a) => class(a[[row]]),
        Tensor::I32(a) => class(i64::from(a[[row]])),
        Tensor::U8(a) => class(i64::from(a[[row]])),
        Tensor::Bool(a) => class(i64::from(a[[row]])),
        Tensor::F32(a) => Ok(Expected::Value(f64::from(a[[row]]))),
        Tensor::F64(a) => Ok(Expected::Value(a[[row]])),
        Tensor::Text(a) => Ok(Expected::Class { label: Class::Name(a[[row]].clone()), acceptable: Vec::new() }),
    }
}

/// The array `name` of an open archive, with all that numpy's format 1 to 3 says of it checked.
fn array<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str, present: &[String]) -> Result<Tensor> {
    let refuse = |what: String| Error::invalid("cases", format!("array {name}: {what}"));
    let entry = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|e| refuse(format!("cannot be read ({e}); the file holds {}", present.join(", "))))?;
    let mut bytes = Vec::new();
    entry.take(ARRAY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| refuse(format!("cannot be unpacked: {e}")))?;
    if bytes.len() as u64 > ARRAY_BYTES_MAX {
        return Err(refuse(format!("is over the limit array_bytes = {ARRAY_BYTES_MAX}")));
    }
    parse(&bytes).map_err(refuse)
}

/// A tensor from the bytes of an `.npy` file (numpy's NEP 1).
fn parse(bytes: &[u8]) -> std::result::Result<Tensor, String> {
    let cut = || "ends too early".to_owned();
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err("is not a numpy array".to_owned());
    }
    let start = match bytes.get(6) {
        Some(1) => 10,
        Some(2 | 3) => 12,
        other => return Err(format!("has the unknown format version {other:?}")),
    };
    let length = bytes.get(8..start).ok_or_else(cut)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    let header = bytes.get(start..start + length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text".to_owned())?;
    let field = |key: &str, open: char, close: char| {
        let rest = header.split_once(key)?.1.split_once(open)?.1;
        Some(rest.split_once(close)?.0)
    };
    if header.contains("'fortran_order': True") {
        return Err("is in Fortran order; save it with numpy.ascontiguousarray".to_owned());
    }
    let dtype = match field("'descr':", '\'', '\'') {
        Some("<f4") => DType::F32,
        Some("<f8") => DType::F64,
        Some("<i4") => DType::I32,
        Some("<i8") => DType::I64,
        Some("|u1") => DType::U8,
        Some("|b1") => DType::Bool,
        other => {
            let found = other.unwrap_or("no type");
            return Err(format!("has the type {found}; float32, float64, int32, int64, uint8 or bool was expected"));
        }
    };
    let shape = field("'shape':", '(', ')').ok_or_else(|| "has no shape".to_owned())?;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().map_err(|_| format!("has the unreadable axis length {d}")))
        .collect::<std::result::Result<_, _>>()?;
    Tensor::from_bytes(dtype, &shape, &bytes[start + length..]).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn a_good_array_is_read() {
        let tensor = parse(&npy("<i4", "(2,)", &[1, 0, 0, 0, 2, 0, 0, 0])).unwrap();
        assert_eq!(tensor.to_f64(), [1.0, 2.0]);
    }

    #[test]
    fn without_x_every_array_is_an_input_of_its_name() {
        let mut file = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, shape, data) in [("ids", "(2, 1)", &[7, 8][..]), ("mask", "(2,)", &[1, 0]), ("y", "(2,)", &[0, 1])] {
            file.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut file, &npy("|u1", shape, data)).unwrap();
        }
        let cases = read_from(file.finish().unwrap(), None).unwrap();
        assert_eq!(cases[1].inputs.keys().collect::<Vec<_>>(), ["ids", "mask"]);
        assert!(matches!(&cases[1].expected, Expected::Class { label: Class::Index(1), .. }));
    }

    #[test]
    fn lies_and_torn_files_are_refused_by_name() {
        let check = |bytes: &[u8], expect: &str| assert!(parse(bytes).unwrap_err().contains(expect));
        check(b"", "not a numpy array");
        check(&npy("<f4", "(99999999999999999999,)", &[]), "axis length");
        check(&npy("<f4", "(4294967296, 4294967296)", &[0; 4]), "4 bytes");
        check(&npy("|O", "(1,)", &[]), "|O");
        check(&npy("<f4", "(2,)", &[0; 8])[..20], "ends too early");
    }
}

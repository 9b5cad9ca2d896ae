//! Arrays of numpy's `.npz` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::npy::Array;
use super::{Case, Cases, Class, Expected, Value};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Cases of an `.npz`: rows of the array `x` and of a `mask` beside it (or, where there is no `x`, of every array but `y`,
/// each an input of its own name), answers from `y`; or the two (or one) arrays named, comma-separated.
///
/// Ids are row numbers from 0. Answers that are integers are classes, floats are values, texts are class names.
pub(super) fn read(path: &Path, arrays: Option<&str>) -> Result<Cases> {
    let path: PathBuf = path.to_owned();
    let refuse = |e: io::Error| Error::invalid("cases", format!("{}: {e}", path.display()));
    read_from(|| File::open(&path).map(BufReader::new).map_err(refuse), arrays)
}

/// The same from a source that can be opened several times: each array is read on its own.
pub(super) fn read_from<R>(open: impl Fn() -> Result<R>, arrays: Option<&str>) -> Result<Cases>
where
    R: Read + Seek + Send + 'static,
{
    let archive = ZipArchive::new(open()?).map_err(|e| not_npz(&e))?;
    let present: Vec<String> =
        archive.file_names().filter_map(|n| Some(n.ok()?.strip_suffix(".npy")?.to_owned())).collect();
    let (inputs, answers) = match arrays.map(|a| a.split_once(',').unwrap_or((a, ""))) {
        Some((x, y)) => (vec![x.to_owned()], (!y.is_empty()).then_some(y)),
        // Only the default `y` may be absent: cases without an expected answer are allowed.
        None => (inputs(&present), present.iter().any(|n| n == "y").then_some("y")),
    };
    let array = |name: &str| Column::open(open()?, name, &present);
    let inputs: Vec<Column> = inputs.iter().map(|name| array(name)).collect::<Result<_>>()?;
    let answers = answers.map(array).transpose()?;
    let rows = count(&inputs, answers.as_ref())?;
    Ok(Cases::new(rows, Rows { inputs, answers, next: 0 }))
}

fn not_npz(e: &dyn std::fmt::Display) -> Error {
    Error::invalid("cases", format!("not an .npz file: {e}"))
}

/// The arrays that are inputs where nobody names them: beside `x` its `mask` alone. With neither `x` nor another array `x`
/// is what is missed.
fn inputs(present: &[String]) -> Vec<String> {
    let others: Vec<String> = present.iter().filter(|n| !["x", "y"].contains(&n.as_str())).cloned().collect();
    if !others.is_empty() && !present.iter().any(|n| n == "x") {
        return others;
    }
    let (masks, others): (Vec<String>, Vec<String>) = others.into_iter().partition(|name| name == "mask");
    if let Some(first) = others.first() {
        let named = others.join(", ");
        tracing::warn!("these arrays stand beside x and y and are left out: {named} (file.npz#{first} reads that one)");
    }
    [vec!["x".to_owned()], masks].concat()
}

/// The number of rows, which all arrays share.
fn count(inputs: &[Column], answers: Option<&Column>) -> Result<usize> {
    let rows = inputs.first().map_or(0, |x| x.array.shape()[0]);
    if inputs.iter().any(|x| x.array.shape()[0] != rows) {
        let found: Vec<String> = inputs.iter().map(|x| format!("{} {:?}", x.name, x.array.shape())).collect();
        let found = found.join(", ");
        return Err(Error::invalid("cases", format!("arrays of different lengths were found: {found}; name one")));
    }
    match answers.map(|y| y.array.shape()) {
        Some(shape) if shape != [rows] && shape != [rows, 1] => {
            let found = format!("the samples have {rows} rows but the answers have shape {shape:?}");
            Err(Error::invalid("cases", format!("{found}; one answer a row was expected")))
        }
        _ => Ok(rows),
    }
}

/// An array of the file that is being read.
struct Column {
    name: String,
    array: Array<BufReader<Entry>>,
}

impl Column {
    fn open(file: impl Read + Seek + Send + 'static, name: &str, present: &[String]) -> Result<Self> {
        let refuse = |what: String| Error::invalid("cases", format!("array {name}: {what}"));
        let missing = |e| refuse(format!("cannot be read ({e}); the file holds {}", present.join(", ")));
        let mut archive = ZipArchive::new(file).map_err(|e| not_npz(&e))?;
        let entry = archive.by_name(&format!("{name}.npy")).map_err(missing)?;
        let (start, size, crc) = (entry.data_start(), entry.compressed_size(), entry.crc32());
        let deflated = entry.compression() == CompressionMethod::Deflated;
        drop(entry);
        let mut file = archive.into_inner();
        let start = start.ok_or_else(|| refuse("cannot be found in the file".to_owned()))?;
        file.seek(SeekFrom::Start(start)).map_err(|e| refuse(e.to_string()))?;
        let packed = file.take(size);
        // The other methods were refused above: the library is built without them.
        let data: Box<dyn Read + Send> =
            if deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        let entry = BufReader::new(Entry { data: CrcReader::new(data), crc });
        Ok(Self { name: name.to_owned(), array: Array::open(entry).map_err(refuse)? })
    }

    fn next(&mut self) -> Result<Tensor> {
        self.array.next().map_err(|what| Error::invalid("cases", format!("array {}: {what}", self.name)))
    }
}

/// The unpacked bytes of a file in an archive, with their checksum compared at the end.
struct Entry {
    data: CrcReader<Box<dyn Read + Send>>,
    crc: u32,
}

impl Read for Entry {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.data.crc().sum() != self.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong, the file is damaged"));
        }
        Ok(count)
    }
}

/// Cases row by row.
struct Rows {
    inputs: Vec<Column>,
    answers: Option<Column>,
    next: usize,
}

impl Rows {
    fn case(&mut self) -> Result<Case> {
        let inputs = self.inputs.iter_mut().map(|x| Ok((x.name.clone(), Value::Tensor(x.next()?))));
        let inputs = inputs.collect::<Result<BTreeMap<_, _>>>()?;
        let expected = match &mut self.answers {
            None => Expected::Nothing,
            Some(y) => answer(&y.next()?)
                .map_err(|what| Error::invalid("cases", format!("array {}: row {}: {what}", y.name, self.next)))?,
        };
        let id = self.next.to_string();
        self.next += 1;
        Ok(Case { id, inputs, expected, tags: BTreeMap::new() })
    }
}

impl Iterator for Rows {
    type Item = Result<Case>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.case())
    }
}

/// What a single element says of the answer.
fn answer(y: &Tensor) -> std::result::Result<Expected, String> {
    let class = |label| Ok(Expected::Class { label, acceptable: Vec::new() });
    let index = |index: i64| match u64::try_from(index) {
        Ok(index) => class(Class::Index(index)),
        Err(_) => Err(format!("label {index} is negative; classes start at 0")),
    };
    let single = "one answer a row was expected";
    match y {
        Tensor::I64(a) => index(*a.first().ok_or(single)?),
        Tensor::I32(a) => index(i64::from(*a.first().ok_or(single)?)),
        Tensor::U8(a) => index(i64::from(*a.first().ok_or(single)?)),
        Tensor::Bool(a) => index(i64::from(*a.first().ok_or(single)?)),
        Tensor::F32(a) => Ok(Expected::Value(f64::from(*a.first().ok_or(single)?))),
        Tensor::F64(a) => Ok(Expected::Value(*a.first().ok_or(single)?)),
        // As in a table, nothing written is nothing known.
        Tensor::Text(a) => match a.first().ok_or(single)?.as_str() {
            "" => Ok(Expected::Nothing),
            name => class(Class::Name(name.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_x_stands_its_mask_alone() {
        let found = |present: &[&str]| inputs(&present.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(found(&["mask", "x", "y", "z"]), ["x", "mask"]);
        assert_eq!(found(&["mask", "tokens", "y"]), ["mask", "tokens"]);
        assert_eq!(found(&["x", "y"]), ["x"]);
    }
}

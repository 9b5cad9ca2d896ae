//! The file of a suite's cases: frames of MessagePack, then the index: for each case where its frame begins and its
//! digest, then where the last frame ends, then how many cases there are.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use crate::data::Case;
use crate::error::{Error, Result};

/// Longest case in bytes.
const CASE_MAX: u64 = 1 << 30;

/// The first half of a case's SHA-256.
pub(super) type CaseDigest = [u8; 16];

/// Bytes of a case in the index.
const ENTRY_BYTES: u64 = 24;

/// Bytes of the index that are given at once.
const PIECE: u64 = 1 << 20;

/// Writes the file piece by piece. The index waits in a temporary file, so that memory does not grow with the suite.
pub(super) struct Writer {
    index: BufWriter<File>,
    end: u64,
    count: u64,
}

impl Writer {
    pub(super) fn new() -> Result<Self> {
        let index = tempfile::tempfile().map_err(|e| Error::internal("the index of a suite", e))?;
        Ok(Self { index: BufWriter::new(index), end: 0, count: 0 })
    }

    /// The bytes of the next case.
    pub(super) fn case(&mut self, case: &Case) -> Result<Vec<u8>> {
        let frame = super::records::encode(case)?;
        self.put(&self.end.to_le_bytes())?;
        self.put(&case.digest()[..16])?;
        self.end += frame.len() as u64;
        self.count += 1;
        Ok(frame)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.index.write_all(bytes).map_err(|e| Error::internal("the index of a suite", e))
    }

    /// The bytes after the last case, in pieces.
    pub(super) fn finish(mut self) -> Result<impl Iterator<Item = Result<Vec<u8>>>> {
        self.put(&self.end.to_le_bytes())?;
        self.put(&self.count.to_le_bytes())?;
        let failed = |e: std::io::Error| Error::internal("the index of a suite", e);
        let mut index = self.index.into_inner().map_err(|e| failed(e.into_error()))?;
        index.rewind().map_err(failed)?;
        Ok(std::iter::from_fn(move || {
            let mut piece = Vec::new();
            match (&mut index).take(PIECE).read_to_end(&mut piece) {
                Ok(0) => None,
                Ok(_) => Some(Ok(piece)),
                Err(e) => Some(Err(failed(e))),
            }
        }))
    }
}

fn damaged(e: &dyn std::fmt::Display) -> Error {
    Error::DataLoss(format!("the suite's file cannot be read: {e}"))
}

/// What the index says of a case.
struct Entry {
    digest: CaseDigest,
    /// Of its frame.
    place: Range<u64>,
}

/// The file, and the entries of a range of cases.
fn open(path: &Path, cases: &Range<u64>) -> Result<(BufReader<File>, Vec<Entry>)> {
    let torn = || damaged(&"its index is torn");
    let mut file = BufReader::new(File::open(path).map_err(|e| damaged(&e))?);
    let length = file.seek(SeekFrom::End(-8)).map_err(|e| damaged(&e))? + 8;
    let count = word(&mut file)?;
    let size = count.checked_mul(ENTRY_BYTES).and_then(|n| n.checked_add(16));
    let index = size.and_then(|size| length.checked_sub(size)).ok_or_else(torn)?;
    if cases.start > cases.end || cases.end > count {
        return Err(damaged(&format!("cases {cases:?} were asked for, it has {count}")));
    }
    file.seek(SeekFrom::Start(index + ENTRY_BYTES * cases.start)).map_err(|e| damaged(&e))?;
    let mut found = Vec::new();
    let mut start = word(&mut file)?;
    for _ in cases.clone() {
        let mut digest = CaseDigest::default();
        file.read_exact(&mut digest).map_err(|e| damaged(&e))?;
        let end = word(&mut file)?;
        if start > end || end > index {
            return Err(torn());
        }
        found.push(Entry { digest, place: start..end });
        start = end;
    }
    Ok((file, found))
}

/// Digests of the cases of a range of positions.
pub(super) fn digests(path: &Path, cases: &Range<u64>) -> Result<Vec<CaseDigest>> {
    Ok(open(path, cases)?.1.into_iter().map(|entry| entry.digest).collect())
}

/// The cases of a range of positions.
pub(super) fn read(path: &Path, cases: Range<u64>) -> Result<Vec<Case>> {
    let (mut file, found) = open(path, &cases)?;
    let Some(first) = found.first() else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(first.place.start)).map_err(|e| damaged(&e))?;
    let case = |Entry { place, .. }: Entry| {
        let size = place.end - place.start;
        if size > CASE_MAX {
            return Err(damaged(&format!("a case of {size} bytes")));
        }
        let mut frame = Vec::new();
        file.by_ref().take(size).read_to_end(&mut frame).map_err(|e| damaged(&e))?;
        super::records::decode(&frame)
    };
    found.into_iter().map(case).collect()
}

fn word(file: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).map_err(|e| Error::DataLoss(format!("the suite's file is torn: {e}")))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::{Expected, Value};

    fn case(id: &str) -> Case {
        let inputs = BTreeMap::from([("image".to_owned(), Value::Image(id.as_bytes().to_vec()))]);
        Case { id: id.to_owned(), inputs, expected: Expected::Nothing, tags: BTreeMap::new() }
    }

    #[test]
    fn ranges_are_read_and_torn_files_are_refused() {
        let cases = ["a", "longer", "c"].map(case);
        let (mut writer, mut bytes) = (Writer::new().unwrap(), Vec::new());
        cases.iter().for_each(|case| bytes.extend(writer.case(case).unwrap()));
        writer.finish().unwrap().for_each(|piece| bytes.extend(piece.unwrap()));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(read(file.path(), 0..3).unwrap(), cases);
        assert_eq!(read(file.path(), 1..2).unwrap(), cases[1..2]);
        assert_eq!(read(file.path(), 3..3).unwrap(), []);
        assert_eq!(digests(file.path(), &(2..3)).unwrap()[0], cases[2].digest()[..16]);
        assert!(read(file.path(), 2..4).is_err());
        for end in 0..bytes.len() {
            std::fs::write(file.path(), &bytes[..end]).unwrap();
            assert!(read(file.path(), 0..3).is_err(), "{end} bytes");
        }
    }
}

//! The file of a suite's cases: frames of MessagePack, then a digest of each case, then where each frame begins, then how
//! many there are.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::data::Case;
use crate::error::{Error, Result};

/// Longest case in bytes.
const CASE_MAX: u64 = 1 << 30;

/// The first half of a case's SHA-256.
pub(super) type CaseDigest = [u8; 16];

/// Writes the file piece by piece.
#[derive(Default)]
pub(super) struct Writer {
    offsets: Vec<u64>,
    digests: Vec<u8>,
    end: u64,
}

impl Writer {
    /// The bytes of the next case.
    pub(super) fn case(&mut self, case: &Case) -> Result<Vec<u8>> {
        let frame = super::records::encode(case)?;
        self.offsets.push(self.end);
        self.digests.extend(&case.digest()[..16]);
        self.end += frame.len() as u64;
        Ok(frame)
    }

    /// The bytes after the last case.
    pub(super) fn finish(self) -> Vec<u8> {
        let count = self.offsets.len() as u64;
        let mut end = self.digests;
        end.extend(self.offsets.into_iter().chain([self.end, count]).flat_map(u64::to_le_bytes));
        end
    }
}

/// An open file with the places of its tables.
struct Reader {
    file: BufReader<File>,
    digests: u64,
    offsets: u64,
}

fn damaged(e: &dyn std::fmt::Display) -> Error {
    Error::DataLoss(format!("the suite's file cannot be read: {e}"))
}

fn open(path: &Path, cases: &Range<u64>) -> Result<Reader> {
    let mut file = BufReader::new(File::open(path).map_err(|e| damaged(&e))?);
    let length = file.seek(SeekFrom::End(-8)).map_err(|e| damaged(&e))? + 8;
    let count = word(&mut file)?;
    let before = |size: Option<u64>, end: u64| size.and_then(|n| end.checked_sub(n));
    let offsets = before(count.checked_add(2).and_then(|n| n.checked_mul(8)), length);
    let digests = offsets.and_then(|offsets| before(count.checked_mul(16), offsets));
    let (Some(digests), Some(offsets)) = (digests, offsets) else {
        return Err(damaged(&"its table of cases is torn"));
    };
    if cases.start > cases.end || cases.end > count {
        return Err(damaged(&format!("cases {cases:?} were asked for, it has {count}")));
    }
    Ok(Reader { file, digests, offsets })
}

/// Digests of the cases of a range of positions.
pub(super) fn digests(path: &Path, cases: &Range<u64>) -> Result<Vec<CaseDigest>> {
    let Reader { mut file, digests, .. } = open(path, cases)?;
    file.seek(SeekFrom::Start(digests + 16 * cases.start)).map_err(|e| damaged(&e))?;
    let mut digest = || {
        let mut bytes = [0; 16];
        file.read_exact(&mut bytes).map(|()| bytes).map_err(|e| damaged(&e))
    };
    cases.clone().map(|_| digest()).collect()
}

/// The cases of a range of positions.
pub(super) fn read(path: &Path, cases: Range<u64>) -> Result<Vec<Case>> {
    let Reader { mut file, digests: table, offsets, .. } = open(path, &cases)?;
    file.seek(SeekFrom::Start(offsets + 8 * cases.start)).map_err(|e| damaged(&e))?;
    let offsets = (cases.start..=cases.end).map(|_| word(&mut file)).collect::<Result<Vec<u64>>>()?;
    file.seek(SeekFrom::Start(offsets[0])).map_err(|e| damaged(&e))?;
    offsets
        .windows(2)
        .map(|pair| {
            let size = pair[1].checked_sub(pair[0]).filter(|s| *s <= CASE_MAX && pair[1] <= table);
            let size = size.ok_or_else(|| damaged(&"its table of cases is torn"))?;
            let mut frame = Vec::new();
            file.by_ref().take(size).read_to_end(&mut frame).map_err(|e| damaged(&e))?;
            super::records::decode(&frame)
        })
        .collect()
}

fn word(file: &mut impl Read) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).map_err(|e| Error::DataLoss(format!("the suite's file is torn: {e}")))?;
    Ok(u64::from_le_bytes(bytes))
}

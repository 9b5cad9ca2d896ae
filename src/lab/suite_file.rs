//! The file of a suite's cases: frames of MessagePack, then where each begins, then how many there are.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::data::Case;
use crate::error::{Error, Result};

/// Longest case in bytes.
const CASE_MAX: u64 = 1 << 30;

/// Writes the file piece by piece.
#[derive(Default)]
pub(super) struct Writer {
    offsets: Vec<u64>,
    end: u64,
}

impl Writer {
    /// The bytes of the next case.
    pub(super) fn case(&mut self, case: &Case) -> Result<Vec<u8>> {
        let frame = super::records::encode(case)?;
        self.offsets.push(self.end);
        self.end += frame.len() as u64;
        Ok(frame)
    }

    /// The bytes after the last case.
    pub(super) fn finish(self) -> Vec<u8> {
        let count = self.offsets.len() as u64;
        self.offsets.into_iter().chain([self.end, count]).flat_map(u64::to_le_bytes).collect()
    }
}

/// The cases of a range of positions.
pub(super) fn read(path: &Path, cases: Range<u64>) -> Result<Vec<Case>> {
    let damaged = |e: &dyn std::fmt::Display| Error::DataLoss(format!("the suite's file cannot be read: {e}"));
    let mut file = BufReader::new(File::open(path).map_err(|e| damaged(&e))?);
    let length = file.seek(SeekFrom::End(-8)).map_err(|e| damaged(&e))? + 8;
    let count = word(&mut file)?;
    let table = count.checked_add(2).and_then(|n| n.checked_mul(8)).and_then(|n| length.checked_sub(n));
    let table = table.ok_or_else(|| damaged(&"its table of cases is torn"))?;
    if cases.start > cases.end || cases.end > count {
        return Err(damaged(&format!("cases {cases:?} were asked for, it has {count}")));
    }
    file.seek(SeekFrom::Start(table + 8 * cases.start)).map_err(|e| damaged(&e))?;
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

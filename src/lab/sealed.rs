//! Stored records with a checksum. A database notices a torn page, but not a byte that has changed within a value: that
//! would be read as another verdict.

use sha2::{Digest, Sha256};

use super::limits::within;
use super::records::encode;
use crate::error::{Error, Result};

/// What no `MessagePack` begins with, so that records from before there were seals are told apart.
const MARK: u8 = 0xc1;

/// Bytes of a checksum: what it is up against is chance.
const SUM: usize = 8;

/// Bytes of a record with their seal in front.
pub(super) fn seal<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    let bytes = encode(value)?;
    let mut sealed = vec![MARK];
    sealed.extend(sum(&bytes));
    sealed.extend(bytes);
    Ok(sealed)
}

/// Bytes of the longest record. Each is read in whole wherever records are listed.
const RECORD_MAX: u64 = 8 << 20;

/// A sealed record that callers have put something into, which is not too long.
pub(super) fn record<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    let sealed = seal(value)?;
    within("record_bytes", RECORD_MAX, sealed.len() as u64, "what is to be kept beside the bytes and cases")?;
    Ok(sealed)
}

/// The record's bytes, whose seal is unbroken if they have one.
pub(super) fn open(sealed: &[u8]) -> Result<&[u8]> {
    let Some(rest) = sealed.strip_prefix(&[MARK]) else { return Ok(sealed) };
    match rest.split_at_checked(SUM) {
        Some((found, bytes)) if found == sum(bytes) => Ok(bytes),
        _ => Err(Error::DataLoss("a stored record has changed since it was written; see `assay doctor`".to_owned())),
    }
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&Sha256::digest(bytes)[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::records::decode;

    #[test]
    fn every_changed_byte_is_noticed_and_old_records_are_read() {
        let value = ("held".to_owned(), 7u64);
        let sealed = seal(&value).unwrap();
        assert_eq!(decode::<(String, u64)>(&sealed).unwrap(), value);
        assert_eq!(decode::<(String, u64)>(&encode(&value).unwrap()).unwrap(), value);
        for at in 0..sealed.len() {
            let mut torn = sealed.clone();
            torn[at] ^= 0x10;
            assert!(decode::<(String, u64)>(&torn).is_err(), "byte {at}");
        }
    }
}

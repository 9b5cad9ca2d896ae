//! Which blobs were found to be what their names say. A disk may give back other bytes than it was given.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::files::{digest, io};
use crate::error::{Error, Result};

/// What changes when somebody writes to a file: its inode, its size, and when it was written last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64);

impl Stamp {
    fn of(data: &Metadata) -> Self {
        Self(data.ino(), data.size(), data.mtime(), data.mtime_nsec())
    }
}

/// Blobs that this process has read in full, by digest.
#[derive(Default)]
pub(super) struct Verified(Mutex<HashMap<String, Stamp>>);

impl Verified {
    /// Reads the whole file unless it was read before and was not written since; [`Error::NotFound`] where there is none,
    /// [`Error::DataLoss`] if it holds other bytes than its name says.
    pub(super) fn check(&self, path: &Path, name: &str) -> Result<()> {
        let missing = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound(format!("blob {name}")),
            _ => io("reading a blob", &e),
        };
        let stamp = Stamp::of(&fs::metadata(path).map_err(missing)?);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().get(name) == Some(&stamp) {
            return Ok(());
        }
        let found = digest(path).map_err(missing)?;
        if found != name {
            return Err(Error::DataLoss(format!(
                "blob {name} is torn: its bytes have the SHA-256 {found}; upload the model or suite again, which puts \
                 them right, and see to the disk"
            )));
        }
        known().insert(name.to_owned(), stamp);
        Ok(())
    }

    /// Forgets a blob that is deleted.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Notes a blob that was hashed on its way to the disk.
    pub(super) fn note(&self, path: &Path, name: &str) {
        // What cannot be looked at now is read in full before it is used.
        if let Ok(data) = fs::metadata(path) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Stamp::of(&data));
        }
    }
}

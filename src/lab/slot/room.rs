//! A slot's folder. Files elsewhere are shut off from it, so what an order names is linked into here.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::fs;

use super::Ask;
use crate::error::{Error, Result};

/// A folder that goes when its slot does.
pub(super) struct Room(TempDir);

impl Room {
    /// A new one in `scratch`, which is best on the file system of what will be brought.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let room = tempfile::Builder::new().prefix("slot-").tempdir_in(scratch);
        room.map(Self).map_err(|e| Error::internal("making a slot's folder", e))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The order with its files brought here. What no longer belongs to the slot's work is taken away.
    pub(super) async fn furnish(&self, mut ask: Ask) -> Result<Ask> {
        let failed = |e: std::io::Error| Error::internal("bringing a slot its files", e);
        let mut wanted = Vec::new();
        for file in ask.files() {
            *file = self.bring(file).await.map_err(failed)?;
            wanted.push(file.clone());
        }
        let mut there = fs::read_dir(self.path()).await.map_err(failed)?;
        while let Some(entry) = there.next_entry().await.map_err(failed)? {
            if !wanted.contains(&entry.path()) {
                fs::remove_file(entry.path()).await.map_err(failed)?;
            }
        }
        Ok(ask)
    }

    /// Links a file, or copies it where the file systems differ.
    async fn bring(&self, file: &Path) -> std::io::Result<PathBuf> {
        let name = file.file_name().ok_or_else(|| std::io::Error::other("a file without a name"))?;
        let here = self.path().join(name);
        match fs::hard_link(file, &here).await {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let (theirs, ours) = (fs::metadata(file).await?, fs::metadata(&here).await?);
                // A file that was torn and then uploaded again is another one under the same name.
                if theirs.dev() == ours.dev() && theirs.ino() != ours.ino() {
                    fs::remove_file(&here).await?;
                    fs::hard_link(file, &here).await?;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(e),
            Err(_) => drop(fs::copy(file, &here).await?),
        }
        Ok(here)
    }
}

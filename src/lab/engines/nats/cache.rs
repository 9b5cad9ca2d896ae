//! Copies of blobs on the local disk, no more than so many bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use super::Settings;
use crate::error::{Error, Result};
use crate::lab::engines::files::{hold, io};

/// How long a blob that was used is not removed: until it is linked, which takes a moment.
const GRACE: Duration = Duration::from_secs(60);

/// Processes on one machine that may share a folder.
const PARTS: usize = 1024;

/// The folder of this process's copies.
pub(super) struct Cache {
    dir: PathBuf,
    most: u64,
    /// How long what was used stays.
    grace: Duration,
    /// Blobs that were used here, and when.
    used: Mutex<HashMap<String, Instant>>,
    /// Held, or removed, when the process ends.
    _lock: Option<File>,
    _folder: Option<TempDir>,
}

impl Cache {
    /// The first part of the folder that no other process has.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let (most, grace, used) = (settings.cache_bytes, GRACE, Mutex::default());
        let Some(folder) = &settings.cache else {
            let folder = tempfile::Builder::new().prefix("assay-").tempdir();
            let folder = folder.map_err(|e| Error::internal("making a temporary folder", e))?;
            return Ok(Self { dir: folder.path().to_owned(), most, grace, used, _lock: None, _folder: Some(folder) });
        };
        for part in 0..PARTS {
            let dir = folder.join(part.to_string());
            fs::create_dir_all(&dir).map_err(|e| io(&format!("making {}", dir.display()), &e))?;
            match hold(&dir) {
                Ok(lock) => return Ok(Self { dir, most, grace, used, _lock: Some(lock), _folder: None }),
                Err(Error::Precondition(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Error::Precondition(format!("{PARTS} processes hold parts of {}", folder.display())))
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes that a blob is used, and removes those that were not for longest, until the rest is small enough. A slot links what
    /// it reads into a folder of its own; what was used a moment ago stays, whatever its size, since it may not be linked yet.
    pub(super) fn touch(&self, digest: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(digest.to_owned(), Instant::now());
        let mut copies = self.copies();
        // Those of an earlier process come first, the oldest of them first.
        copies.sort_by_key(|copy| (used.get(&copy.digest).copied(), copy.written));
        let mut total: u64 = copies.iter().map(|copy| copy.size).sum();
        for copy in copies {
            if total <= self.most {
                return;
            }
            let lately = used.get(&copy.digest).is_some_and(|at| at.elapsed() < self.grace);
            if !lately && fs::remove_file(&copy.path).is_ok() {
                total = total.saturating_sub(copy.size);
                used.remove(&copy.digest);
            }
        }
    }

    fn copies(&self) -> Vec<Copy> {
        let folders = fs::read_dir(self.dir.join("blobs")).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let copy = |file: fs::DirEntry| {
            let data = file.metadata().ok()?;
            let written = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let digest = file.file_name().to_string_lossy().into_owned();
            Some(Copy { digest, size: data.len(), written, path: file.path() })
        };
        files.filter_map(copy).collect()
    }
}

/// One file.
struct Copy {
    digest: String,
    size: u64,
    written: SystemTime,
    path: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { cache: Some(folder.path().to_owned()), cache_bytes: 25, ..Settings::default() };
        let (mut cache, other) = (Cache::open(&settings).unwrap(), Cache::open(&settings).unwrap());
        assert_ne!(cache.dir(), other.dir(), "each process has a part of its own");
        let fill = |cache: &Cache, digest: &str| {
            let dir = cache.dir().join("blobs").join(digest);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(digest), [0; 10]).unwrap();
            cache.touch(digest);
        };
        let left = |cache: &Cache| {
            let mut left: Vec<_> = cache.copies().into_iter().map(|copy| copy.digest).collect();
            left.sort();
            left
        };
        for digest in ["aa", "bb", "cc"] {
            fill(&cache, digest);
        }
        assert_eq!(left(&cache), ["aa", "bb", "cc"], "they were used a moment ago");
        cache.grace = Duration::ZERO;
        cache.touch("aa");
        assert_eq!(left(&cache), ["aa", "cc"]);
        // One that is larger than all is kept for whoever wants it now.
        cache.grace = GRACE;
        fs::write(cache.dir().join("blobs/aa/aa"), [0; 100]).unwrap();
        cache.touch("aa");
        assert_eq!(left(&cache), ["aa", "cc"]);
    }
}

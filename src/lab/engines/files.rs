//! Blobs as files named by their SHA-256.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

use super::verified::Verified;
use super::{Blobs, Staged};
use crate::error::{Error, Result};

/// How long a blob under way waits to be gone on with.
pub(in crate::lab) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The folder's lock, until it is dropped; [`Error::Precondition`] while another process has it.
pub(in crate::lab) fn hold(dir: &Path) -> Result<File> {
    let lock = File::create(dir.join("lock")).map_err(|e| {
        Error::internal(&format!("making {}, which says whose the folder is", dir.join("lock").display()), e)
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => Err(Error::Precondition(format!("another assay holds the folder {}", dir.display()))),
    }
}

/// `<dir>/blobs/<aa>/<digest>`, with `<dir>/staging` for what is under way, `<dir>/partial` for what may be gone on with,
/// and `<dir>/slots` for the folders of slots.
pub(super) struct Files {
    dir: PathBuf,
    next: AtomicU64,
    /// Keys of partial blobs that someone writes now.
    busy: Arc<Mutex<HashSet<String>>>,
    verified: Arc<Verified>,
}

impl Files {
    /// Opens (or makes) the folders; what was left under way by an earlier process is removed.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let (staging, slots) = (dir.join("staging"), dir.join("slots"));
        for folder in [&staging, &slots].into_iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).map_err(|e| io("clearing what an earlier process left", &e))?;
        }
        for folder in [staging, slots, dir.join("blobs"), dir.join("partial")] {
            fs::create_dir_all(&folder).map_err(|e| io("making the data folder", &e))?;
        }
        let files =
            Self { dir: dir.to_owned(), next: AtomicU64::new(0), busy: Arc::default(), verified: Arc::default() };
        files.forget_old();
        Ok(files)
    }

    /// Where a partial blob lies. Nothing but letters, digits and `-` ever becomes a path.
    fn partial(&self, key: &str) -> Result<PathBuf> {
        let sound = (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !sound {
            return Err(Error::internal("partial blob", "the key is not sound"));
        }
        Ok(self.dir.join("partial").join(key))
    }

    /// Removes partial blobs that nobody has come back for.
    fn forget_old(&self) {
        let entries = fs::read_dir(self.dir.join("partial")).into_iter().flatten().flatten();
        for entry in entries {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > KEPT) {
                // What cannot be removed now is tried again at the next turn.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Where a blob lies. Nothing but 64 hexadecimal digits ever becomes a path.
    pub(super) fn path(&self, digest: &str) -> Result<PathBuf> {
        let sound = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !sound {
            return Err(Error::invalid("digest", "64 lower-case hexadecimal digits were expected"));
        }
        Ok(self.dir.join("blobs").join(&digest[..2]).join(digest))
    }

    /// Where a blob lies whose bytes are those that its name says.
    async fn sound(&self, digest: &str) -> Result<PathBuf> {
        let (path, name, verified) = (self.path(digest)?, digest.to_owned(), self.verified.clone());
        blocking(move || verified.check(&path, &name).map(|()| path)).await
    }

    /// A draft that begins with what was hashed already.
    fn draft(&self, path: PathBuf, open: Open, size: u64, hold: Option<Hold>) -> Draft {
        let (blobs, verified) = (self.dir.join("blobs"), self.verified.clone());
        let (open, written) = (Some(spawn_blocking(|| Ok(open))), channel().1);
        Draft { path, open, written, size, blobs, verified, hold }
    }
}

/// Errors of the file system as the caller sees them.
pub(super) fn io(what: &str, e: &std::io::Error) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        return Error::Exhausted { limit: "disk".to_owned(), value: 0, what: what.to_owned() };
    }
    Error::internal(what, e)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|e| Error::internal("file task", e))?
}

/// The place of a partial blob, held by one writer.
struct Hold {
    key: String,
    busy: Arc<Mutex<HashSet<String>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub(in crate::lab) fn digest(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// Hashes what is written.
struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file with the hash of what is in it.
type Open = (File, Sha256);

/// A file under way, removed when dropped unless it is held under a key.
struct Draft {
    path: PathBuf,
    /// The last write, so that the next bytes are received while these are hashed and written. `None` only while it is
    /// waited for, or after that was interrupted.
    open: Option<JoinHandle<Result<Open>>>,
    /// Tells by its end that the last write is over.
    written: Receiver<()>,
    size: u64,
    blobs: PathBuf,
    verified: Arc<Verified>,
    hold: Option<Hold>,
}

impl Draft {
    /// The file, once all bytes are in it.
    async fn open(&mut self) -> Result<Open> {
        let last = self.open.take().ok_or_else(|| Error::internal("upload", "an earlier write was interrupted"))?;
        last.await.map_err(|e| Error::internal("file task", e))?
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.hold.is_some() {
            // Whoever goes on must find all bytes. This takes as long as one piece takes to write.
            let _ = self.written.recv();
            return;
        }
        // After publishing there is nothing to remove; a failure here is cleared at the next open.
        let _ = fs::remove_file(&self.path);
    }
}

#[async_trait]
impl Staged for Draft {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let (mut file, mut hash) = self.open().await?;
        self.size += bytes.len() as u64;
        let (end, written) = channel();
        self.written = written;
        self.open = Some(spawn_blocking(move || {
            let _end = end;
            file.write_all(&bytes).map_err(|e| io("writing a blob", &e))?;
            hash.update(&bytes);
            Ok((file, hash))
        }));
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn publish(mut self: Box<Self>, expected: Option<&str>) -> Result<String> {
        let (file, hash) = self.open().await?;
        // Whatever comes of it, there is nothing to go on with any more.
        self.hold = None;
        let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        if let Some(expected) = expected.filter(|e| *e != digest) {
            return Err(Error::DataLoss(format!("SHA-256 {digest} was received, {expected} was announced")));
        }
        let folder = self.blobs.join(&digest[..2]);
        let (from, to) = (self.path.clone(), folder.join(&digest));
        let (verified, name) = (self.verified.clone(), digest.clone());
        blocking(move || {
            let failed = |e: std::io::Error| io("publishing a blob", &e);
            file.sync_all().map_err(failed)?;
            fs::create_dir_all(&folder).map_err(failed)?;
            // Over an existing blob of the same digest this changes nothing but the inode.
            fs::rename(from, &to).map_err(failed)?;
            File::open(&folder).and_then(|f| f.sync_all()).map_err(failed)?;
            verified.note(&to, &name);
            Ok(())
        })
        .await?;
        Ok(digest)
    }
}

#[async_trait]
impl Blobs for Files {
    async fn stage(&self) -> Result<Box<dyn Staged>> {
        let path = self.dir.join("staging").join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = File::create_new(&path).map_err(|e| io("making a staging file", &e))?;
        Ok(Box::new(self.draft(path, (file, Sha256::new()), 0, None)))
    }

    async fn resume(&self, key: &str) -> Result<Box<dyn Staged>> {
        let path = self.partial(key)?;
        self.forget_old();
        if !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
            return Err(Error::Unavailable("the same upload is under way on another connection; retry".to_owned()));
        }
        let hold = Some(Hold { key: key.to_owned(), busy: self.busy.clone() });
        let from = path.clone();
        let (open, size) = blocking(move || {
            let failed = |e: std::io::Error| io("going on with a blob", &e);
            let options = File::options().read(true).append(true).create(true).clone();
            let mut file = options.open(from).map_err(failed)?;
            let mut hash = Sha256::new();
            let size = std::io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(failed)?;
            Ok(((file, hash), size))
        })
        .await?;
        Ok(Box::new(self.draft(path, open, size, hold)))
    }

    async fn kept(&self, key: &str) -> Result<u64> {
        match fs::metadata(self.partial(key)?) {
            Ok(data) => Ok(data.len()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(io("looking for a blob", &e)),
        }
    }

    async fn size(&self, digest: &str) -> Result<Option<u64>> {
        match fs::metadata(self.path(digest)?) {
            Ok(data) => Ok(Some(data.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("looking for a blob", &e)),
        }
    }

    async fn read(&self, digest: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let path = self.sound(digest).await?;
        blocking(move || {
            let failed = |e: std::io::Error| io("reading a blob", &e);
            let mut file = File::open(path).map_err(failed)?;
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            file.take(length as u64).read_to_end(&mut bytes).map_err(failed)?;
            Ok(bytes)
        })
        .await
    }

    async fn delete(&self, digest: &str) -> Result<bool> {
        self.verified.forget(digest);
        match fs::remove_file(self.path(digest)?) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(io("deleting a blob", &e)),
        }
    }

    async fn local(&self, digest: &str) -> Result<PathBuf> {
        self.sound(digest).await
    }

    fn scratch(&self) -> PathBuf {
        self.dir.join("slots")
    }

    fn free(&self) -> Result<u64> {
        super::free(&self.dir)
    }
}

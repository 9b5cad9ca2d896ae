//! Blobs for all processes, with copies on the local disk: what a slot reads is a file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::object_store::ObjectStore;
use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::Settings;
use super::cache::Cache;
use super::link::Link;
use super::store::{Bytes, Store};
use crate::error::{Error, Result};
use crate::lab::engines::files::{Files, io};
use crate::lab::engines::{Blobs, Staged};

/// Bytes that are fetched at once, and how long they may take.
const PIECE: usize = 1 << 20;
const STALL: Duration = Duration::from_secs(10);

/// Blobs in the store, of which some have copies here. A blob that is under way lies on this process's disk alone.
pub(super) struct Cached {
    link: Arc<Link>,
    files: Arc<Files>,
    cache: Arc<Cache>,
    store: Arc<Store>,
}

impl Cached {
    pub(super) fn open(link: Arc<Link>, objects: Option<ObjectStore>, settings: &Settings) -> Result<Self> {
        let cache = Arc::new(Cache::open(settings)?);
        let store = Arc::new(Store::open(link.clone(), objects, &settings.blobs)?);
        Ok(Self { link, files: Arc::new(Files::open(cache.dir())?), cache, store })
    }

    fn upload(&self, draft: Box<dyn Staged>) -> Box<dyn Staged> {
        let (files, cache, store) = (self.files.clone(), self.cache.clone(), self.store.clone());
        Box::new(Upload { draft, files, store, cache })
    }

    /// Makes sure of a copy.
    async fn copy(&self, digest: &str) -> Result<PathBuf> {
        // From here on it is not removed for a while.
        self.cache.touch(digest);
        match self.files.local(digest).await {
            // A copy that the disk has damaged is as good as none.
            Err(Error::NotFound(_) | Error::DataLoss(_)) => {
                self.fetch(digest).await?;
                self.files.local(digest).await
            }
            other => other,
        }
    }

    /// Fetches a blob, whose bytes are looked at on their way.
    async fn fetch(&self, digest: &str) -> Result<()> {
        let fetch = || async {
            match self.receive(digest).await {
                // No waiting mends these.
                Err(e @ (Error::NotFound(_) | Error::DataLoss(_) | Error::Exhausted { .. } | Error::Internal(_))) => {
                    Ok(Err(e))
                }
                Err(e) => Err(e),
                Ok(()) => Ok(Ok(())),
            }
        };
        self.link.ask("fetching a blob", fetch).await?
    }

    async fn receive(&self, digest: &str) -> Result<()> {
        let missing = || Error::NotFound(format!("blob {digest}"));
        let mut object = self.store.read(digest).await?.ok_or_else(missing)?;
        let mut draft = self.files.stage().await?;
        loop {
            let piece = piece(&mut object).await?;
            if piece.is_empty() {
                return draft.publish(Some(digest)).await.map(drop);
            }
            draft.write(piece).await?;
        }
    }

    /// The bytes of an object that is not a blob.
    pub(super) async fn object(&self, name: &str) -> Result<Vec<u8>> {
        let read = || async {
            let Some(mut object) = self.store.read(name).await? else { return Ok(None) };
            let mut bytes = Vec::new();
            loop {
                let piece = piece(&mut object).await?;
                if piece.is_empty() {
                    return Ok::<_, Error>(Some(bytes));
                }
                bytes.extend(piece);
            }
        };
        let bytes = self.link.ask("reading an object", read).await?;
        bytes.ok_or_else(|| Error::DataLoss(format!("the object {name} is gone")))
    }

    /// Stores bytes under a name.
    pub(super) async fn put_object(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = tempfile::NamedTempFile::new_in(self.cache.dir()).map_err(|e| io("writing an object", &e))?;
        tokio::fs::write(file.path(), bytes).await.map_err(|e| io("writing an object", &e))?;
        self.store.put(name, file.path()).await
    }

    /// Deletes what [`Self::put_object`] stored.
    pub(super) async fn delete_object(&self, name: &str) -> Result<bool> {
        self.store.delete(name).await
    }
}

/// The next bytes of an object; none at its end. A part that is gone does not come, and nobody says so.
async fn piece(object: &mut Bytes) -> Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE);
    let read = tokio::time::timeout(STALL, object.take(PIECE as u64).read_to_end(&mut piece)).await;
    let late = |e: &dyn std::fmt::Display| Error::Unavailable(format!("a blob breaks off: {e}"));
    read.map_err(|e| late(&e))?.map_err(|e| late(&e))?;
    Ok(piece)
}

/// A blob under way, published here and then in the store.
struct Upload {
    draft: Box<dyn Staged>,
    files: Arc<Files>,
    store: Arc<Store>,
    cache: Arc<Cache>,
}

#[async_trait]
impl Staged for Upload {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.draft.write(bytes).await
    }

    fn size(&self) -> u64 {
        self.draft.size()
    }

    async fn publish(self: Box<Self>, expected: Option<&str>) -> Result<String> {
        let digest = self.draft.publish(expected).await?;
        self.store.put(&digest, &self.files.local(&digest).await?).await?;
        self.cache.touch(&digest);
        Ok(digest)
    }
}

#[async_trait]
impl Blobs for Cached {
    async fn stage(&self) -> Result<Box<dyn Staged>> {
        Ok(self.upload(self.files.stage().await?))
    }

    async fn resume(&self, key: &str) -> Result<Box<dyn Staged>> {
        Ok(self.upload(self.files.resume(key).await?))
    }

    async fn kept(&self, key: &str) -> Result<u64> {
        self.files.kept(key).await
    }

    async fn size(&self, digest: &str) -> Result<Option<u64>> {
        self.files.path(digest)?;
        self.store.size(digest).await
    }

    async fn read(&self, digest: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.copy(digest).await?;
        self.files.read(digest, offset, length).await
    }

    async fn delete(&self, digest: &str) -> Result<bool> {
        self.files.delete(digest).await?;
        self.store.delete(digest).await
    }

    async fn local(&self, digest: &str) -> Result<PathBuf> {
        self.copy(digest).await
    }

    fn scratch(&self) -> PathBuf {
        self.files.scratch()
    }

    fn free(&self) -> Result<u64> {
        self.files.free()
    }
}

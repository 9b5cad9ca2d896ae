//! Blobs for all processes, with copies on the local disk: what a slot reads is a file.

use std::path::PathBuf;
use std::sync::Arc;

use async_nats::jetstream::object_store::ObjectStore;
use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::Settings;
use super::cache::Cache;
use super::link::Link;
use super::store::Store;
use crate::error::{Error, Result};
use crate::lab::engines::files::{Files, io};
use crate::lab::engines::{Blobs, Staged};

/// Bytes that are fetched at once.
const PIECE: usize = 1 << 20;

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
    async fn copy(&self, digest: &str) -> Result<()> {
        match self.files.local(digest).await {
            Ok(_) => {}
            // A copy that the disk has damaged is as good as none.
            Err(Error::NotFound(_) | Error::DataLoss(_)) => self.fetch(digest).await?,
            Err(other) => return Err(other),
        }
        self.cache.touch(digest);
        Ok(())
    }

    /// Fetches a blob, whose bytes are looked at on their way.
    async fn fetch(&self, digest: &str) -> Result<()> {
        let fetch = || async {
            let Some(mut object) = self.store.read(digest).await? else { return Ok(Err(())) };
            let mut draft = self.files.stage().await?;
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut object).take(PIECE as u64).read_to_end(&mut piece).await;
                if read.map_err(|e| Error::Unavailable(e.to_string()))? == 0 {
                    break;
                }
                draft.write(piece).await?;
            }
            draft.publish(Some(digest)).await.map(Ok)
        };
        let found = self.link.ask("fetching a blob", fetch).await?;
        found.map(drop).map_err(|()| Error::NotFound(format!("blob {digest}")))
    }

    /// The bytes of an object that is not a blob.
    pub(super) async fn object(&self, name: &str) -> Result<Vec<u8>> {
        let read = || async {
            let Some(mut object) = self.store.read(name).await? else { return Ok(None) };
            let mut bytes = Vec::new();
            object.read_to_end(&mut bytes).await.map_err(|e| Error::Unavailable(e.to_string()))?;
            Ok::<_, Error>(Some(bytes))
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
        self.copy(digest).await?;
        self.files.local(digest).await
    }

    fn scratch(&self) -> PathBuf {
        self.files.scratch()
    }

    fn free(&self) -> Result<u64> {
        self.files.free()
    }
}

//! Where blobs of all processes lie: JetStream's object store, or a cloud's.

use std::path::Path;
use std::sync::Arc;

use async_nats::jetstream::object_store::{DeleteErrorKind, GetErrorKind, InfoErrorKind, ObjectStore as Bucket};
use object_store::buffered::{BufReader, BufWriter};
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme, path::Path as Key};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt};

use super::link::Link;
use crate::error::{Error, Result};

/// What is read of an object.
pub(super) type Bytes = Box<dyn AsyncRead + Send + Unpin>;

/// Objects by name.
pub(super) struct Store {
    link: Arc<Link>,
    place: Place,
}

enum Place {
    JetStream(Box<Bucket>),
    /// Below a prefix.
    Cloud(Arc<dyn ObjectStore>, Key),
}

/// A cloud's store by its URL, such as `s3://BUCKET/PREFIX`. Keys and regions are in the cloud's own variables of the
/// environment, such as `AWS_ACCESS_KEY_ID`.
fn cloud(url: &str) -> Result<(Arc<dyn ObjectStore>, Key)> {
    let refuse = |e: &dyn std::fmt::Display| {
        let expected = "`jetstream`, s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER was expected";
        Error::invalid("nats.blobs", format!("`{url}` was found, {expected}: {e}"))
    };
    // Whoever chose a provider before has the same one.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let url = url::Url::parse(url).map_err(|e| refuse(&e))?;
    let (scheme, _) = ObjectStoreScheme::parse(&url).map_err(|e| refuse(&e))?;
    if matches!(scheme, ObjectStoreScheme::Memory | ObjectStoreScheme::Http) {
        return Err(refuse(&"that keeps nothing for others"));
    }
    let (store, prefix) = object_store::parse_url_opts(&url, std::env::vars()).map_err(|e| refuse(&e))?;
    Ok((store.into(), prefix))
}

impl Store {
    /// The bucket, or where `url` says.
    pub(super) fn open(link: Arc<Link>, bucket: Option<Bucket>, url: &str) -> Result<Self> {
        let place = match bucket {
            Some(bucket) => Place::JetStream(Box::new(bucket)),
            None => cloud(url).map(|(store, prefix)| Place::Cloud(store, prefix))?,
        };
        Ok(Self { link, place })
    }

    /// Length in bytes.
    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>> {
        let look = || async {
            match &self.place {
                Place::JetStream(bucket) => match bucket.info(name).await {
                    Ok(info) => Ok((!info.deleted).then_some(info.size as u64)),
                    Err(e) if e.kind() == InfoErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e.to_string()),
                },
                Place::Cloud(store, prefix) => match store.head(&prefix.clone().join(name)).await {
                    Ok(meta) => Ok(Some(meta.size)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(e) => Err(e.to_string()),
                },
            }
        };
        self.link.ask("looking for a blob", look).await
    }

    /// Stores a file, unless an object of that name and length is there.
    pub(super) async fn put(&self, name: &str, path: &Path) -> Result<()> {
        let disk = |e: &std::io::Error| crate::lab::engines::files::io("keeping a copy of a blob", e);
        let length = tokio::fs::metadata(path).await.map_err(|e| disk(&e))?.len();
        if self.size(name).await? == Some(length) {
            return Ok(());
        }
        let put = || async {
            let mut file = File::open(path).await.map_err(|e| e.to_string())?;
            match &self.place {
                Place::JetStream(bucket) => bucket.put(name, &mut file).await.map(drop).map_err(|e| e.to_string()),
                Place::Cloud(store, prefix) => {
                    let mut object = BufWriter::new(store.clone(), prefix.clone().join(name));
                    tokio::io::copy(&mut file, &mut object).await.map_err(|e| e.to_string())?;
                    object.shutdown().await.map_err(|e| e.to_string())
                }
            }
        };
        self.link.ask("storing a blob", put).await
    }

    /// An object's bytes, if there is one. They may break off in the middle.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let get = || async {
            match &self.place {
                Place::JetStream(bucket) => match bucket.get(name).await {
                    Ok(object) => Ok(Some(Box::new(object) as Bytes)),
                    Err(e) if e.kind() == GetErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e.to_string()),
                },
                Place::Cloud(store, prefix) => match store.head(&prefix.clone().join(name)).await {
                    Ok(meta) => Ok(Some(Box::new(BufReader::new(store.clone(), &meta)) as Bytes)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(e) => Err(e.to_string()),
                },
            }
        };
        self.link.ask("opening a blob", get).await
    }

    /// Whether there was one.
    pub(super) async fn delete(&self, name: &str) -> Result<bool> {
        if self.size(name).await?.is_none() {
            return Ok(false);
        }
        let delete = || async {
            match &self.place {
                Place::JetStream(bucket) => match bucket.delete(name).await {
                    Ok(()) => Ok(true),
                    Err(e) if e.kind() == DeleteErrorKind::NotFound => Ok(false),
                    Err(e) => Err(e.to_string()),
                },
                Place::Cloud(store, prefix) => match store.delete(&prefix.clone().join(name)).await {
                    Ok(()) => Ok(true),
                    Err(object_store::Error::NotFound { .. }) => Ok(false),
                    Err(e) => Err(e.to_string()),
                },
            }
        };
        self.link.ask("deleting a blob", delete).await
    }
}

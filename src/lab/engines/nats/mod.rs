//! State in NATS JetStream: for any number of servers and of workers on any number of machines.
//!
//! | what | where | how |
//! |---|---|---|
//! | records | bucket `ASSAY_META` | compare-and-set by revision |
//! | shards | work queue `ASSAY_TASKS` | one message a shard, one consumer a pool and tenant |
//! | logs | stream `ASSAY_RESULTS` | one message a shard for ever: the server refuses a second |
//! | blobs | object store `ASSAY_BLOBS`, or a cloud's | by SHA-256, with copies on local disk |
//!
//! What must not be out of date (a record, the end of a log) is asked of the stream's leader; pages are read from any replica.

mod blobs;
mod cache;
mod held;
mod lines;
mod link;
mod log;
mod look;
mod meta;
mod names;
mod objects;
mod queue;
mod store;

pub(in crate::lab) use self::look::look;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::blobs::Cached;
use self::lines::Lines;
use self::link::Link;
use self::log::Results;
use self::meta::Records;
use self::objects::Objects;
use self::queue::Tasks;
use super::Engine;
use crate::error::{Error, Result};
use crate::lab::names::PoolName;

/// Where a stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    #[default]
    File,
    Memory,
}

/// How an engine on NATS is set up. Files are relative to where the process starts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Servers of the cluster that hold each message: 1, 3 or 5. Counts when the streams are made.
    pub replicas: usize,
    /// The same.
    pub storage: Storage,
    /// A credentials file, as `nsc` makes it.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities, in PEM, to believe beside the system's.
    pub ca: Option<PathBuf>,
    /// The certificate and key that show the servers who this is.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Where blobs lie: `jetstream`, or `s3://BUCKET/PREFIX`, `gs://...`, `az://...` with the cloud's own variables of the
    /// environment, or `file:///FOLDER` of a disk that all share.
    pub blobs: String,
    /// A folder for copies of models and suites. Each process on a machine takes a part of its own. Without one they are in
    /// a temporary folder that ends with the process.
    pub cache: Option<PathBuf>,
    /// Bytes of these copies; those that were not used for longest go first.
    pub cache_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas: 1,
            storage: Storage::File,
            credentials: None,
            ca: None,
            certificate: None,
            key: None,
            blobs: "jetstream".to_owned(),
            cache: None,
            cache_bytes: 10 << 30,
        }
    }
}

/// Opens the engine on `nats://HOST:PORT[,HOST:PORT...]` (or `tls://`), and makes what is missing there. This process takes
/// shards of `pools` only; a lease that is not kept up ends after `lease`.
pub async fn open(servers: &str, settings: &Settings, pools: &[PoolName], lease: Duration) -> Result<Engine> {
    if ![1, 3, 5].contains(&settings.replicas) {
        let message = format!("{} was found, 1, 3 or 5 were expected", settings.replicas);
        return Err(Error::invalid("nats.replicas", message));
    }
    let link = Arc::new(Link::connect(servers, settings).await?);
    let objects = Objects::make(&link, settings).await?;
    let meta = Arc::new(Records::new(link.clone(), objects.meta));
    let blobs = Arc::new(Cached::open(link.clone(), objects.blobs, settings)?);
    let lines = Lines::new(link.clone(), objects.tasks, pools, lease);
    let queue = Tasks::start(link.clone(), lines, meta.clone()).await?;
    let log = Arc::new(Results::new(link, objects.results, blobs.clone()));
    Ok(Engine { meta, queue, log, blobs, name: without_secrets(servers) })
}

/// The URL without users and their passwords, for people to read.
fn without_secrets(servers: &str) -> String {
    let (scheme, hosts) = servers.split_once("://").unwrap_or(("nats", servers));
    let hosts: Vec<&str> = hosts.split(',').map(|host| host.rsplit(['@', '/']).next().unwrap_or(host)).collect();
    format!("{scheme}://{}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_secrets("nats://ada:s3cret@a:1,b:2"), "nats://a:1,b:2");
        assert_eq!(without_secrets("tls://ada:s3cret@a:1,tls://bo:x@b:2"), "tls://a:1,b:2");
    }
}

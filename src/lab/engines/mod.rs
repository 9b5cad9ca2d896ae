//! Where state lives: four small traits and the engines that implement them. SQL and NATS stand only in this folder.
//!
//! What is promised is what every engine keeps: sequence numbers rise but may have gaps; nothing spans two objects;
//! leases may overlap, and the log's first-writer-wins key is what makes results exactly-once.

pub(in crate::lab) mod files;
pub mod memory;
pub mod nats;
pub mod sqlite;
mod verified;
mod wakes;

pub(in crate::lab) use files::{KEPT, digest};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, Result};

/// The four traits of one engine.
#[derive(Clone)]
pub struct Engine {
    pub meta: Arc<dyn Meta>,
    pub queue: Arc<dyn Queue>,
    pub log: Arc<dyn Log>,
    pub blobs: Arc<dyn Blobs>,
    /// What a person calls it, such as `sqlite:assay-data` or `memory`.
    pub name: String,
}

/// What must be true of a record for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    /// The record is there with this revision.
    Revision(u64),
}

/// A record of [`Meta`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    /// Rises with every write of the key.
    pub revision: u64,
    pub value: Vec<u8>,
}

/// Small records by key, with compare-and-set: models, suites, jobs.
#[async_trait]
pub trait Meta: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Record>>;
    /// The new revision, or `None` if the expectation does not hold; then nothing is changed.
    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<Option<u64>>;
    /// Whether a record was deleted.
    async fn delete(&self, key: &str, expect: Expect) -> Result<bool>;
    /// Records whose key starts with `prefix` and is above `after` (bytewise), in key order, at most `limit`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>>;
}

/// The right to work on a shard for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub job: String,
    pub shard: u32,
    /// Shards of one job and chunk are on the same cases.
    pub chunk: u32,
    /// Failures that workers reported for this shard so far; an expired lease is not one.
    pub failures: u32,
    /// Fences this lease from earlier and later ones of the same shard; 1 is the first.
    pub token: u64,
}

/// Shards that wait for a worker, by tenant, first in first out.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds shards for the workers of a pool; one that is there already (queued or leased) is kept as it is. Each `checks`
    /// neighbours are a chunk. An embedded engine's workers serve all pools.
    async fn enqueue(&self, tenant: &str, pool: &str, job: &str, shards: &[u32], checks: u32) -> Result<()>;
    /// Tenants with a free shard.
    async fn tenants(&self) -> Result<Vec<String>>;
    /// A tenant's shard that is free: never leased, given back, or with an expired lease.
    ///
    /// The first one of the chunk of `last`, since who held that has the chunk's cases at hand; else the first one of a
    /// chunk that nobody works on; else the first one. An engine may know the last of the three rules only.
    async fn lease(&self, ttl: Duration, tenant: &str, last: Option<&Lease>) -> Result<Option<Lease>>;
    /// Whether the lease was still held and now lasts `ttl` from now.
    async fn extend(&self, lease: &Lease, ttl: Duration) -> Result<bool>;
    /// Removes the shard for good; false if the lease is no longer held.
    async fn ack(&self, lease: &Lease) -> Result<bool>;
    /// Gives the shard back; `failed` counts a failure. False if the lease is no longer held.
    async fn nack(&self, lease: &Lease, failed: bool) -> Result<bool>;
    /// Gives back what was taken beforehand, because this process stops leasing.
    async fn give_back(&self);
    /// Whether a job has shards that are not acknowledged.
    async fn left(&self, job: &str) -> Result<bool>;
    /// Removes all shards of a job, leased ones too.
    async fn forget(&self, job: &str) -> Result<()>;
    /// Shards of all jobs, waiting or leased.
    async fn pending(&self) -> Result<u64>;
    /// Returns when a shard may have become free, at the latest after `timeout`.
    async fn wait(&self, timeout: Duration);
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Rises along the log, from 1, possibly with gaps.
    pub sequence: u64,
    pub key: u32,
    pub body: Vec<u8>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    New(u64),
    /// The key has an entry already, which stands.
    Exists(u64),
}

/// An append-only log a job; the first entry of a key wins.
#[async_trait]
pub trait Log: Send + Sync {
    async fn append(&self, job: &str, key: u32, body: &[u8]) -> Result<Appended>;
    /// Entries above `after` in sequence order, at most `limit`.
    async fn read(&self, job: &str, after: u64, limit: usize) -> Result<Vec<Entry>>;
    /// The entry of a key.
    async fn get(&self, job: &str, key: u32) -> Result<Option<Entry>>;
    /// Keys of all entries, in any order; bodies are not read.
    async fn keys(&self, job: &str) -> Result<Vec<u32>>;
    async fn forget(&self, job: &str) -> Result<()>;
    /// Returns when the job may have an entry above `after`, at the latest after `timeout`.
    async fn wait(&self, job: &str, after: u64, timeout: Duration);
}

/// A blob under way; dropped before `publish`, it leaves nothing behind.
#[async_trait]
pub trait Staged: Send {
    /// Adds bytes. They may be on their way still when this returns; a failure then comes with the next call.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<()>;
    /// Bytes written so far.
    fn size(&self) -> u64;
    /// Publishes atomically and durably under the SHA-256 of what was written, in hexadecimal, which is returned.
    /// A digest that differs from `expected` is [`crate::Error::DataLoss`]. A blob that exists is kept.
    async fn publish(self: Box<Self>, expected: Option<&str>) -> Result<String>;
}

/// Immutable bytes by SHA-256.
#[async_trait]
pub trait Blobs: Send + Sync {
    async fn stage(&self) -> Result<Box<dyn Staged>>;
    /// A blob under way that is kept under `key` (letters, digits and `-`) when it is dropped before it is published, for a
    /// day at least: the next call goes on after what was written. One holder at a time, else
    /// [`crate::Error::Unavailable`].
    async fn resume(&self, key: &str) -> Result<Box<dyn Staged>>;
    /// Bytes that are kept under a key; 0 if there are none.
    async fn kept(&self, key: &str) -> Result<u64>;
    /// Length in bytes.
    async fn size(&self, digest: &str) -> Result<Option<u64>>;
    /// At most `length` bytes from `offset`; fewer only at the end. A missing blob is [`crate::Error::NotFound`].
    async fn read(&self, digest: &str, offset: u64, length: usize) -> Result<Vec<u8>>;
    /// Whether there was one.
    async fn delete(&self, digest: &str) -> Result<bool>;
    /// A local file with the blob's bytes, for slots to read. As in [`Self::read`], bytes that are not those of the digest
    /// are [`crate::Error::DataLoss`].
    async fn local(&self, digest: &str) -> Result<PathBuf>;
    /// A folder for short-lived files on the file system of those of [`Self::local`], so that these can be linked there.
    fn scratch(&self) -> PathBuf;
    /// Bytes for which there is room; `u64::MAX` where nobody counts.
    fn free(&self) -> Result<u64>;
}

/// Bytes that whoever is not root may still write to the file system of a folder.
pub(in crate::lab) fn free(dir: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir).map_err(|e| Error::internal("looking for room on the disk", e))?;
    #[allow(clippy::useless_conversion)] // These are u32 on some systems.
    let (blocks, unit) = (u64::from(stat.blocks_available()), u64::from(stat.fragment_size()));
    Ok(blocks.saturating_mul(unit))
}

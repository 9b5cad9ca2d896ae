//! State in memory, blobs in a temporary folder: for one command, gone with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::files::Files;
use super::wakes::Wakes;
use super::{Appended, Blobs, Engine, Entry, Expect, Lease, Log, Meta, Queue, Record, Staged};
use crate::error::{Error, Result};

/// An empty engine.
pub fn open() -> Result<Engine> {
    let folder = tempfile::Builder::new().prefix("assay-").tempdir();
    let folder = folder.map_err(|e| Error::internal("making a temporary folder", e))?;
    let blobs = Temporary { files: Files::open(folder.path())?, _folder: folder };
    let state = Arc::new(Memory::default());
    let name = "memory".to_owned();
    Ok(Engine { meta: state.clone(), queue: state.clone(), log: state, blobs: Arc::new(blobs), name })
}

#[derive(Default)]
struct Memory {
    state: Mutex<State>,
    freed: Notify,
    appended: Wakes,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, (u64, Vec<u8>)>,
    revision: u64,
    /// In the order of enqueueing.
    shards: BTreeMap<u64, Waiting>,
    /// By job: the place of each shard in `shards`.
    places: BTreeMap<String, BTreeMap<u32, u64>>,
    place: u64,
    /// Places of shards that were leased, if not acknowledged.
    leased: BTreeSet<u64>,
    logs: BTreeMap<String, Lines>,
}

struct Waiting {
    tenant: String,
    lease: Lease,
    until: Option<Instant>,
}

impl Waiting {
    fn is_free(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn chunk(&self) -> (&str, u32) {
        (&self.lease.job, self.lease.chunk)
    }
}

#[derive(Default)]
struct Lines {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<u32, u64>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a write with this expectation may happen.
    fn meets(&self, key: &str, expect: Expect) -> bool {
        match (expect, self.records.get(key)) {
            (Expect::Any, _) | (Expect::Absent, None) => true,
            (Expect::Revision(r), Some((revision, _))) => r == *revision,
            _ => false,
        }
    }

    /// The place of a free shard, by the rules of [`Queue::lease`].
    fn free(&self, now: Instant, tenant: &str, last: Option<&Lease>) -> Option<u64> {
        if let Some(own) = last.and_then(|last| self.free_beside(now, tenant, last)) {
            return Some(own);
        }
        let held = self.leased.iter().filter_map(|place| self.shards.get(place)).filter(|w| !w.is_free(now));
        let busy: BTreeSet<_> = held.map(Waiting::chunk).collect();
        let mut free = self.shards.iter().filter(|(_, w)| w.tenant == tenant && w.is_free(now));
        let apart = free.clone().find(|(_, w)| !busy.contains(&w.chunk()));
        apart.or_else(|| free.next()).map(|(place, _)| *place)
    }

    /// The first free shard of the chunk that `last` is of; these are neighbours.
    fn free_beside(&self, now: Instant, tenant: &str, last: &Lease) -> Option<u64> {
        let places = self.places.get(&last.job)?;
        let of = |place: &&u64| self.shards.get(place).is_some_and(|w| w.lease.chunk == last.chunk);
        let before = places.range(..last.shard).rev().map(|(_, place)| place).take_while(of);
        let behind = places.range(last.shard..).map(|(_, place)| place).take_while(of);
        let free = |place: &&u64| self.shards.get(place).is_some_and(|w| w.tenant == tenant && w.is_free(now));
        before.chain(behind).filter(free).min().copied()
    }

    /// The place of a shard whose lease is still this one.
    fn held(&self, lease: &Lease) -> Option<u64> {
        let place = *self.places.get(&lease.job)?.get(&lease.shard)?;
        let waiting = self.shards.get(&place)?;
        (waiting.until.is_some() && waiting.lease.token == lease.token).then_some(place)
    }
}

#[async_trait]
impl Meta for Memory {
    async fn get(&self, key: &str) -> Result<Option<Record>> {
        let state = self.state();
        let found = state.records.get(key);
        Ok(found.map(|(revision, value)| Record { key: key.to_owned(), revision: *revision, value: value.clone() }))
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<Option<u64>> {
        let mut state = self.state();
        if !state.meets(key, expect) {
            return Ok(None);
        }
        state.revision += 1;
        let revision = state.revision;
        state.records.insert(key.to_owned(), (revision, value.to_vec()));
        Ok(Some(revision))
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<bool> {
        let mut state = self.state();
        Ok(state.meets(key, expect) && state.records.remove(key).is_some())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let state = self.state();
        let from = after.filter(|a| *a >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let records = state.records.range::<str, _>((from, Bound::Unbounded));
        let records = records.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        let record = |(key, (revision, value)): (&String, &(u64, Vec<u8>))| Record {
            key: key.clone(),
            revision: *revision,
            value: value.clone(),
        };
        Ok(records.map(record).collect())
    }
}

#[async_trait]
impl Queue for Memory {
    async fn enqueue(&self, tenant: &str, _pool: &str, job: &str, shards: &[u32], checks: u32) -> Result<()> {
        let mut state = self.state();
        for &shard in shards {
            if state.places.get(job).is_some_and(|places| places.contains_key(&shard)) {
                continue;
            }
            state.place += 1;
            let place = state.place;
            state.places.entry(job.to_owned()).or_default().insert(shard, place);
            let chunk = shard / checks.max(1);
            let lease = Lease { job: job.to_owned(), shard, chunk, failures: 0, token: 0 };
            state.shards.insert(place, Waiting { tenant: tenant.to_owned(), lease, until: None });
        }
        drop(state);
        self.freed.notify_waiters();
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<String>> {
        let (state, now) = (self.state(), Instant::now());
        let free: BTreeSet<&str> =
            state.shards.values().filter(|w| w.is_free(now)).map(|w| w.tenant.as_str()).collect();
        Ok(free.into_iter().map(str::to_owned).collect())
    }

    async fn lease(&self, ttl: Duration, tenant: &str, last: Option<&Lease>) -> Result<Option<Lease>> {
        let now = Instant::now();
        let mut state = self.state();
        let Some(place) = state.free(now, tenant, last) else { return Ok(None) };
        state.leased.insert(place);
        Ok(state.shards.get_mut(&place).map(|waiting| {
            waiting.until = Some(now + ttl);
            waiting.lease.token += 1;
            waiting.lease.clone()
        }))
    }

    async fn extend(&self, lease: &Lease, ttl: Duration) -> Result<bool> {
        let mut state = self.state();
        let Some(waiting) = state.held(lease).and_then(|place| state.shards.get_mut(&place)) else { return Ok(false) };
        waiting.until = Some(Instant::now() + ttl);
        Ok(true)
    }

    async fn ack(&self, lease: &Lease) -> Result<bool> {
        let mut state = self.state();
        let Some(place) = state.held(lease) else { return Ok(false) };
        state.shards.remove(&place);
        state.leased.remove(&place);
        if let Some(places) = state.places.get_mut(&lease.job) {
            places.remove(&lease.shard);
        }
        Ok(true)
    }

    async fn nack(&self, lease: &Lease, failed: bool) -> Result<bool> {
        let mut state = self.state();
        let Some(waiting) = state.held(lease).and_then(|place| state.shards.get_mut(&place)) else { return Ok(false) };
        waiting.until = None;
        waiting.lease.failures += u32::from(failed);
        drop(state);
        self.freed.notify_waiters();
        Ok(true)
    }

    async fn give_back(&self) {}

    async fn left(&self, job: &str) -> Result<bool> {
        Ok(self.state().places.get(job).is_some_and(|places| !places.is_empty()))
    }

    async fn forget(&self, job: &str) -> Result<()> {
        let mut state = self.state();
        for place in state.places.remove(job).unwrap_or_default().into_values() {
            state.shards.remove(&place);
            state.leased.remove(&place);
        }
        Ok(())
    }

    async fn pending(&self) -> Result<u64> {
        Ok(self.state().shards.len() as u64)
    }

    async fn wait(&self, timeout: Duration) {
        // A shard that was freed just before is found after the timeout at the latest.
        let _ = tokio::time::timeout(timeout, self.freed.notified()).await;
    }
}

#[async_trait]
impl Log for Memory {
    async fn append(&self, job: &str, key: u32, body: &[u8]) -> Result<Appended> {
        let mut state = self.state();
        let lines = state.logs.entry(job.to_owned()).or_default();
        if let Some(sequence) = lines.by_key.get(&key) {
            return Ok(Appended::Exists(*sequence));
        }
        let sequence = lines.entries.len() as u64 + 1;
        lines.by_key.insert(key, sequence);
        lines.entries.insert(sequence, Entry { sequence, key, body: body.to_vec() });
        drop(state);
        self.appended.wake(job);
        Ok(Appended::New(sequence))
    }

    async fn read(&self, job: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let state = self.state();
        let Some(lines) = state.logs.get(job) else { return Ok(Vec::new()) };
        let above = (Bound::Excluded(after), Bound::Unbounded);
        Ok(lines.entries.range(above).take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    async fn get(&self, job: &str, key: u32) -> Result<Option<Entry>> {
        let state = self.state();
        let found = state.logs.get(job).and_then(|lines| lines.entries.get(lines.by_key.get(&key)?));
        Ok(found.cloned())
    }

    async fn keys(&self, job: &str) -> Result<Vec<u32>> {
        Ok(self.state().logs.get(job).map_or(Vec::new(), |lines| lines.entries.values().map(|e| e.key).collect()))
    }

    async fn forget(&self, job: &str) -> Result<()> {
        self.state().logs.remove(job);
        self.appended.wake(job);
        Ok(())
    }

    async fn wait(&self, job: &str, after: u64, timeout: Duration) {
        let ready = async || self.state().logs.get(job).is_some_and(|lines| lines.entries.len() as u64 > after);
        self.appended.wait(job, timeout, ready).await;
    }
}

/// File blobs whose folder goes away with them.
struct Temporary {
    files: Files,
    _folder: TempDir,
}

#[async_trait]
impl Blobs for Temporary {
    async fn stage(&self) -> Result<Box<dyn Staged>> {
        self.files.stage().await
    }
    async fn resume(&self, key: &str) -> Result<Box<dyn Staged>> {
        self.files.resume(key).await
    }
    async fn kept(&self, key: &str) -> Result<u64> {
        self.files.kept(key).await
    }
    async fn size(&self, digest: &str) -> Result<Option<u64>> {
        self.files.size(digest).await
    }
    async fn read(&self, digest: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.files.read(digest, offset, length).await
    }
    async fn delete(&self, digest: &str) -> Result<bool> {
        self.files.delete(digest).await
    }
    async fn local(&self, digest: &str) -> Result<PathBuf> {
        self.files.local(digest).await
    }
    fn scratch(&self) -> PathBuf {
        self.files.scratch()
    }

    /// What ends with its process is not refused beforehand.
    fn free(&self) -> Result<u64> {
        Ok(u64::MAX)
    }
}

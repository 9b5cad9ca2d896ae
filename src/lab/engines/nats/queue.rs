//! Shards in a work queue: one message a shard.
//!
//! How often a message was delivered says nothing: an election or a lost connection delivers it anew. Only failures that workers
//! report count, and these are records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_stream::StreamExt;

use super::held::Held;
use super::lines::{Lines, give_back};
use super::link::Link;
use super::log::is_second;
use super::meta::Records;
use super::names;
use crate::error::{Error, Result};
use crate::lab::engines::{Expect, Lease, Meta, Queue};

/// Shards that are taken at once where many wait, so that a worker has neighbours to go on with; where few are left, hosts
/// share them one by one.
const AHEAD: usize = 4;
const MANY: u64 = 256;

/// How often it is looked whether the servers are due a word.
const KEEP: Duration = Duration::from_secs(1);

/// How long a shard that was taken ahead may lie here.
const IDLE: Duration = Duration::from_secs(5);

/// Messages on their way to the queue at once.
const FLIGHT: usize = 256;

/// How long what is acknowledged may be there still, and how many of these places are remembered.
const GONE: Duration = Duration::from_secs(2);
const ACKED: usize = 64;

/// What a message says; its subject has no room for any name.
#[derive(Deserialize, Serialize)]
struct Body {
    tenant: String,
    job: String,
    shard: u32,
    chunk: u32,
}

/// The queue.
pub(super) struct Tasks {
    link: Arc<Link>,
    lines: Lines,
    meta: Arc<Records>,
    held: Mutex<Held<Arc<Message>>>,
    /// Places of shards that were acknowledged here last.
    acked: Mutex<VecDeque<String>>,
    freed: Notify,
}

impl Tasks {
    /// Starts to listen for shards and to tell the servers again and again that those here are not lost.
    pub(super) async fn start(link: Arc<Link>, lines: Lines, meta: Arc<Records>) -> Result<Arc<Self>> {
        let tasks =
            Arc::new(Self { link, lines, meta, held: Mutex::default(), acked: Mutex::default(), freed: Notify::new() });
        let mut wakes = tasks.link.client.subscribe(names::ALL_FREED).await;
        let (listener, keeper) = (Arc::downgrade(&tasks), Arc::downgrade(&tasks));
        tokio::spawn(async move {
            let Ok(wakes) = &mut wakes else { return };
            while let Some(wake) = wakes.next().await {
                let Some(tasks) = listener.upgrade() else { return };
                let parts: Vec<&str> = wake.subject.split('.').collect();
                if let ["ASSAY_WAKE", "task", pool, tenant] = parts.as_slice()
                    && let Some(tenant) = names::text(tenant)
                    && tasks.lines.wake(pool, &tenant).await.is_ok()
                {
                    tasks.freed.notify_waiters();
                }
            }
        });
        tokio::spawn(async move {
            let mut kept = Instant::now();
            while let Some(tasks) = keeper.upgrade() {
                let pace = tasks.lines.silence() / 3;
                if kept.elapsed() >= pace {
                    kept = Instant::now();
                    tasks.keep().await;
                }
                drop(tasks);
                // A consumer that is met meanwhile may be less patient.
                tokio::time::sleep(pace.min(KEEP)).await;
            }
        });
        Ok(tasks)
    }

    fn held(&self) -> MutexGuard<'_, Held<Arc<Message>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acked(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, place: String) {
        let mut acked = self.acked();
        acked.truncate(ACKED - 1);
        acked.push_front(place);
    }

    /// Gives back what nobody here has taken, and tells of the rest that it is not lost.
    async fn keep(&self) {
        let (idle, kept) = {
            let mut held = self.held();
            let idle = held.idle(Instant::now(), IDLE);
            (idle, held.messages().cloned().collect::<Vec<_>>())
        };
        give_back(&self.link, idle).await;
        for message in kept {
            // A word that is lost is said again before the server gives up.
            let _ = message.ack_with(AckKind::Progress).await;
        }
    }

    /// Takes shards of a tenant from the server; whether there were any.
    async fn take(&self, tenant: &str) -> Result<bool> {
        let taken = self.lines.fetch(tenant, AHEAD, MANY).await?;
        for message in &taken {
            let Some(Body { tenant, job, shard, chunk }) = self.read(message).await? else { continue };
            let info = message.info().map_err(|e| Error::internal("ASSAY_TASKS", e))?;
            let again = info.delivered > 1;
            let failures = if again { self.failures(&job, shard).await?.0 } else { 0 };
            let token = u64::try_from(info.delivered).unwrap_or(1).saturating_sub(1);
            let lease = Lease { job, shard, chunk, failures, token };
            self.held().take(info.stream_sequence, tenant, lease, message.clone(), Instant::now());
        }
        Ok(!taken.is_empty())
    }

    /// What a message says. One that nobody can read is taken out, or it would come again and again; if it was a shard's, that
    /// is queued anew once no other is left of its job.
    async fn read(&self, message: &Message) -> Result<Option<Body>> {
        match rmp_serde::from_slice(&message.payload) {
            Ok(body) => Ok(Some(body)),
            Err(error) => {
                tracing::error!(%error, subject = %message.subject, "something in the queue that is not assay's is taken out");
                let end = || async { message.double_ack_with(AckKind::Term).await };
                self.link.ask("taking a message out of the queue", end).await?;
                Ok(None)
            }
        }
    }

    /// Failures that were reported of a shard, and the revision of that record.
    async fn failures(&self, job: &str, shard: u32) -> Result<(u32, Expect)> {
        let record = self.meta.get(&failure(job, shard)).await?;
        Ok(match record {
            Some(r) => (String::from_utf8_lossy(&r.value).parse().unwrap_or(0), Expect::Revision(r.revision)),
            None => (0, Expect::Absent),
        })
    }

    /// Adds one.
    async fn failed(&self, job: &str, shard: u32) -> Result<()> {
        loop {
            let (failures, expect) = self.failures(job, shard).await?;
            let next = (failures + 1).to_string();
            if self.meta.put(&failure(job, shard), next.as_bytes(), expect).await?.is_some() {
                return Ok(());
            }
        }
    }
}

/// The key of the record of a shard's failures.
fn failure(job: &str, shard: u32) -> String {
    format!("failure/{}/{shard}", names::part(job))
}

#[async_trait]
impl Queue for Tasks {
    async fn enqueue(&self, tenant: &str, pool: &str, job: &str, shards: &[u32], checks: u32) -> Result<()> {
        self.lines.make(pool, tenant).await?;
        for shards in shards.chunks(FLIGHT) {
            let publish = || async {
                let mut flight = Vec::with_capacity(shards.len());
                for &shard in shards {
                    let chunk = shard / checks.max(1);
                    let body = Body { tenant: tenant.to_owned(), job: job.to_owned(), shard, chunk };
                    let body = rmp_serde::to_vec(&body).map_err(|e| e.to_string())?;
                    let subject = names::task(tenant, pool, job, shard);
                    let ack = self.link.jetstream.publish(subject, body.into()).await;
                    flight.push(ack.map_err(|e| e.to_string())?);
                }
                for ack in flight {
                    match ack.await {
                        // What is queued already stays as it is, when all is sent again too.
                        Err(e) if !is_second(&e) => return Err(e.to_string()),
                        _ => {}
                    }
                }
                Ok(())
            };
            self.link.ask("queueing shards", publish).await?;
            self.lines.wake(pool, tenant).await?;
            // Who does not hear it looks by itself after a while.
            let _ = self.link.client.publish(names::freed(pool, tenant), Bytes::new()).await;
        }
        self.freed.notify_waiters();
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<String>> {
        let mut tenants = self.lines.tenants().await?;
        tenants.extend(self.held().tenants(Instant::now()));
        Ok(tenants.into_iter().collect())
    }

    async fn lease(&self, ttl: Duration, tenant: &str, last: Option<&Lease>) -> Result<Option<Lease>> {
        loop {
            let now = Instant::now();
            if let Some(lease) = self.held().lease(now, ttl, tenant, last, false) {
                return Ok(Some(lease));
            }
            let full = self.held().free(now, tenant) >= AHEAD;
            if full || !self.take(tenant).await? {
                return Ok(self.held().lease(Instant::now(), ttl, tenant, last, true));
            }
        }
    }

    /// While the server does not answer, a lease lasts for as long as was said before.
    async fn extend(&self, lease: &Lease, ttl: Duration) -> Result<bool> {
        let Some(message) = self.held().get(lease).map(|task| task.message.clone()) else { return Ok(false) };
        match message.double_ack_with(AckKind::Progress).await {
            Ok(()) => Ok(self.held().extend(lease, Instant::now() + ttl)),
            Err(error) => {
                tracing::warn!(%error, job = lease.job, shard = lease.shard, "a lease could not be made longer");
                Ok(self.held().get(lease).is_some_and(|task| !task.is_free(Instant::now())))
            }
        }
    }

    async fn ack(&self, lease: &Lease) -> Result<bool> {
        let Some(task) = self.held().remove(lease) else { return Ok(false) };
        let ack = || async { task.message.double_ack().await };
        self.link.ask("acknowledging a shard", ack).await?;
        self.remember(task.message.subject.to_string());
        if lease.failures > 0 {
            self.meta.delete(&failure(&lease.job, lease.shard), Expect::Any).await?;
        }
        Ok(true)
    }

    async fn nack(&self, lease: &Lease, failed: bool) -> Result<bool> {
        if !failed {
            let released = self.held().release(lease, Instant::now());
            self.freed.notify_waiters();
            return Ok(released);
        }
        if self.held().get(lease).is_none() {
            return Ok(false);
        }
        // The mark is made first: whoever gets the shard next sees it.
        self.failed(&lease.job, lease.shard).await?;
        let task = self.held().remove(lease);
        let Some(task) = task else { return Ok(false) };
        let back = || async { task.message.double_ack_with(AckKind::Nak(None)).await };
        self.link.ask("giving back a shard", back).await?;
        self.lines.wake_all(&task.tenant);
        self.freed.notify_waiters();
        Ok(true)
    }

    async fn give_back(&self) {
        let free = self.held().idle(Instant::now(), Duration::ZERO);
        give_back(&self.link, free).await;
        // What the client has not written yet would be lost with the process.
        let _ = self.link.client.flush().await;
    }

    async fn left(&self, job: &str) -> Result<bool> {
        let subject = names::tasks(job);
        let begin = Instant::now();
        while let Some(found) = self.link.last(&self.lines.stream, &subject).await? {
            // In a cluster it takes a moment until what is acknowledged is gone.
            if !self.acked().contains(&found.subject) || begin.elapsed() > GONE {
                return Ok(true);
            }
            tokio::time::sleep(GONE / 100).await;
        }
        Ok(false)
    }

    async fn forget(&self, job: &str) -> Result<()> {
        self.held().forget(job);
        let subject = names::tasks(job);
        let purge = || async { self.lines.stream.purge().filter(subject.clone()).await };
        self.link.ask("forgetting a job's shards", purge).await?;
        for record in self.meta.list(&format!("failure/{}/", names::part(job)), None, usize::MAX).await? {
            self.meta.delete(&record.key, Expect::Any).await?;
        }
        Ok(())
    }

    async fn pending(&self) -> Result<u64> {
        let info = || async { self.lines.stream.get_info().await };
        Ok(self.link.ask("counting shards", info).await?.state.messages)
    }

    async fn wait(&self, timeout: Duration) {
        // A shard that was freed just before is found after the timeout at the latest.
        let _ = tokio::time::timeout(timeout, self.freed.notified()).await;
    }
}

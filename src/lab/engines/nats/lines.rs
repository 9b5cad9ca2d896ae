//! Where shards wait: a consumer of the work queue for each pool and tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use tokio_stream::StreamExt;

use super::link::Link;
use super::names;
use crate::error::{Error, Result};
use crate::lab::names::PoolName;

/// How often lines are looked for of which nobody said anything.
const LOOK: Duration = Duration::from_secs(10);

/// How long a server may not yet have what another one has taken in, and how long it is waited for then.
const FRESH: Duration = Duration::from_secs(2);
const ARRIVAL: Duration = Duration::from_millis(100);

/// How long a server may take to hand out shards.
const FETCH: Duration = Duration::from_secs(3);

/// Shards of one tenant that all workers together may have at once.
const OUT_MAX: i64 = 100_000;

/// A pool and a tenant.
type Key = (String, String);

/// One consumer as this process sees it.
#[derive(Clone)]
struct Line {
    consumer: Consumer<pull::Config>,
    /// How long the server waits for a word of a shard that it has handed out.
    silence: Duration,
    /// When somebody said last that it has some.
    woken: Instant,
    /// Until when nothing is expected of it.
    empty: Option<Instant>,
    /// Shards that waited behind those that were taken last.
    waiting: u64,
}

/// The consumers.
pub(super) struct Lines {
    link: Arc<Link>,
    pub(super) stream: Stream,
    pools: Vec<PoolName>,
    /// The same of consumers that are made here.
    silence: Duration,
    known: Mutex<BTreeMap<Key, Line>>,
    looked: Mutex<Option<Instant>>,
}

impl Lines {
    pub(super) fn new(link: Arc<Link>, stream: Stream, pools: &[PoolName], silence: Duration) -> Self {
        let (known, looked) = (Mutex::default(), Mutex::default());
        Self { link, stream, pools: pools.to_vec(), silence, known, looked }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Line>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long every server waits for a word at least.
    pub(super) fn silence(&self) -> Duration {
        self.known().values().map(|line| line.silence).min().unwrap_or(self.silence)
    }

    /// Whether this process takes shards of a pool.
    fn serves(&self, pool: &str) -> bool {
        self.pools.iter().any(|own| own.as_str() == pool)
    }

    /// Makes the line of a pool and a tenant, if there is none.
    pub(super) async fn make(&self, pool: &str, tenant: &str) -> Result<()> {
        let key = (pool.to_owned(), tenant.to_owned());
        if self.known().contains_key(&key) {
            return Ok(());
        }
        let name = names::consumer(pool, tenant);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            description: Some("assay: shards of a pool and a tenant".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.silence,
            // A shard is given up by what workers report, never by how often it was handed out.
            max_deliver: -1,
            max_ack_pending: OUT_MAX,
            filter_subject: names::tasks_for(pool, tenant),
            ..pull::Config::default()
        };
        let make = || async { self.stream.get_or_create_consumer(&name, config.clone()).await };
        let consumer = self.link.ask(&format!("making the consumer {name}"), make).await?;
        let silence = consumer.cached_info().config.ack_wait;
        if silence != self.silence {
            let (found, own) = (silence.as_secs_f64(), self.silence.as_secs_f64());
            tracing::warn!(
                name,
                found,
                own,
                "a consumer was made with other lease_seconds, which hold until it is deleted"
            );
        }
        self.known().entry(key).or_insert(Line { consumer, silence, woken: Instant::now(), empty: None, waiting: 0 });
        Ok(())
    }

    /// Takes note that a line has shards.
    pub(super) async fn wake(&self, pool: &str, tenant: &str) -> Result<()> {
        if !self.serves(pool) {
            return Ok(());
        }
        self.make(pool, tenant).await?;
        if let Some(line) = self.known().get_mut(&(pool.to_owned(), tenant.to_owned())) {
            (line.woken, line.empty) = (Instant::now(), None);
        }
        Ok(())
    }

    /// Takes note that a tenant has shards again.
    pub(super) fn wake_all(&self, tenant: &str) {
        self.known().iter_mut().filter(|((_, of), _)| of == tenant).for_each(|(_, line)| {
            (line.woken, line.empty) = (Instant::now(), None);
        });
    }

    /// Tenants whose lines may have shards.
    pub(super) async fn tenants(&self) -> Result<BTreeSet<String>> {
        let now = Instant::now();
        let due = self.looked.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| now - at >= LOOK);
        if due && !self.pools.is_empty() {
            let names = || async { self.stream.consumer_names().collect::<std::result::Result<Vec<_>, _>>().await };
            let names = self.link.ask("looking for consumers", names).await?;
            for (pool, tenant) in names.iter().filter_map(|name| names::consumer_of(name)) {
                if self.serves(&pool) {
                    self.make(&pool, &tenant).await?;
                }
            }
            *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        let known = self.known();
        let full =
            known.iter().filter(|((pool, _), line)| self.serves(pool) && line.empty.is_none_or(|end| end <= now));
        Ok(full.map(|((_, tenant), _)| tenant.clone()).collect())
    }

    /// Takes shards of a tenant: `ahead` where more than `many` wait, else one. None if it has none, as far as anybody knows.
    pub(super) async fn fetch(&self, tenant: &str, ahead: usize, many: u64) -> Result<Vec<Arc<Message>>> {
        for pool in &self.pools {
            let (key, now) = ((pool.as_str().to_owned(), tenant.to_owned()), Instant::now());
            let line = self.known().get(&key).filter(|line| line.empty.is_none_or(|end| end <= now)).cloned();
            let Some(line) = line else { continue };
            let most = if line.waiting >= many { ahead } else { 1 };
            let fresh = now.saturating_duration_since(line.woken) < FRESH;
            let taken = match tokio::time::timeout(FETCH, batch(&line.consumer, most, fresh)).await {
                Ok(Ok(taken)) => taken,
                failed => {
                    // It may be gone; if it is not, it is found again.
                    self.known().remove(&key);
                    *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    let why = failed.map_or_else(|e| e.to_string(), |done| done.err().unwrap_or_default());
                    return Err(Error::Unavailable(format!("taking shards: NATS does not answer: {why}")));
                }
            };
            if let Some(line) = self.known().get_mut(&key) {
                line.waiting = taken.last().and_then(|m| m.info().ok()).map_or(0, |info| info.pending);
                // Whoever adds shards, or gives some back, says so; a worker that dies does not.
                let pause = if fresh { ARRIVAL } else { self.silence / 3 };
                line.empty = (taken.len() < most).then(|| Instant::now() + pause);
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
        Ok(Vec::new())
    }
}

/// What a consumer has now, at most so many; where it has none and it is `fresh`, what comes in a moment.
async fn batch(
    consumer: &Consumer<pull::Config>,
    most: usize,
    fresh: bool,
) -> std::result::Result<Vec<Arc<Message>>, String> {
    let now = consumer.fetch().max_messages(most).messages().await.map_err(|e| e.to_string())?;
    let taken = all(now).await?;
    if !taken.is_empty() || !fresh {
        return Ok(taken);
    }
    let soon = consumer.batch().max_messages(1).expires(ARRIVAL).messages().await.map_err(|e| e.to_string())?;
    all(soon).await
}

async fn all(mut messages: pull::Batch) -> std::result::Result<Vec<Arc<Message>>, String> {
    let mut taken = Vec::new();
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => taken.push(Arc::new(message)),
            // What has come before is not dropped for what does not come.
            Err(_) if !taken.is_empty() => break,
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(taken)
}

/// Gives shards back to the server, for anybody at once.
pub(super) async fn give_back(link: &Link, messages: Vec<Arc<Message>>) {
    let mut wakes = BTreeSet::new();
    for message in messages {
        wakes.extend(names::freed_with(&message.subject));
        // What is not given back is handed out anew when the server has heard nothing of it for a while.
        let _ = message.ack_with(AckKind::Nak(None)).await;
    }
    for wake in wakes {
        let _ = link.client.publish(wake, Bytes::new()).await;
    }
}

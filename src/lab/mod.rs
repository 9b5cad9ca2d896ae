//! Floor 4: the laboratory. Takes in models and suites, runs jobs in a pool of slots, keeps what they gave.

pub mod doctor;
pub mod engines;
mod jobs;
mod limits;
mod meters;
mod models;
mod names;
mod pool;
mod quarantine;
pub mod records;
mod replay;
mod results;
mod reuse;
mod sealed;
pub mod slot;
mod suite_file;
mod suites;
mod trace;

pub use jobs::Created;
pub use limits::Limits;
pub use meters::{CASE_DURATION, describe as describe_meters};
pub use models::{ModelUpload, NewModel};
pub use names::{LOCAL, artifact as artifact_name};
pub use pool::Pool;
pub use replay::Replayed;
pub use results::{Follow, Message, Progress};
pub use suites::{NewSuite, SuiteUpload};
pub use trace::{Bridge, TraceContext};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::sync::{Notify, OnceCell, RwLock, Semaphore};

use self::engines::{Engine, Record};
use self::slot::{Slot, Slots, Standing, Wall};
use crate::error::{Error, Result};

/// One engine with the rules of models, suites and jobs on top. Cheap to clone.
#[derive(Clone)]
pub struct Lab(Arc<Inner>);

struct Inner {
    engine: Engine,
    limits: Limits,
    inspections: Semaphore,
    slots: Slots,
    /// Around every slot alike, once one was started to see.
    walls: OnceCell<Vec<Standing>>,
    /// The slot of the last inspection, which has its model at hand.
    spare: Mutex<Option<Slot>>,
    /// Held for reading from the publishing of a blob to the writing of its record, for writing while blobs that
    /// nobody refers to are deleted.
    blobs: RwLock<()>,
    /// How far jobs were when somebody last asked, by place in their logs: a log only grows.
    progress: Mutex<HashMap<String, (u64, Progress)>>,
    /// Jobs whose shards are under way here, to be told when they end early.
    stops: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Lab {
    /// A laboratory on an engine, with the walls without which no slot starts.
    pub fn new(engine: Engine, limits: Limits, require: &[Wall]) -> Self {
        let (scratch, memory) = (engine.blobs.scratch(), limits.slot_memory_bytes);
        let slots = Slots { scratch, memory, require: require.to_vec() };
        let inspections = Semaphore::new(usize::try_from(limits.inspections).unwrap_or(1).max(1));
        let (walls, spare, blobs) = (OnceCell::new(), Mutex::default(), RwLock::new(()));
        let (progress, stops) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { engine, limits, inspections, slots, walls, spare, blobs, progress, stops }))
    }

    /// The engine's name, for people.
    pub fn engine_name(&self) -> &str {
        &self.0.engine.name
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Whether the engine answers and takes in more; what readiness is.
    pub async fn ready(&self) -> Result<()> {
        self.0.engine.queue.pending().await?;
        self.room(0)
    }

    /// Refuses to take in `bytes` more where that leaves less of the disk than is kept free.
    fn room(&self, bytes: u64) -> Result<()> {
        let (kept, free) = (self.limits().disk_free_bytes, self.engine().blobs.free()?);
        if free >= kept.saturating_add(bytes) {
            return Ok(());
        }
        let what = format!("what is asked of the disk ({free} bytes are free, {bytes} are to come)");
        Err(Error::Exhausted { limit: "disk_free_bytes".to_owned(), value: kept, what })
    }

    /// Which walls stand around slots. The first time a slot is started to see, which then waits for who needs one.
    pub async fn walls(&self) -> Result<&[Standing]> {
        let look = async || {
            let slot = self.0.slots.start().await?;
            let walls = slot.walls().to_vec();
            *self.0.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
            Ok(walls)
        };
        self.0.walls.get_or_try_init(look).await.map(Vec::as_slice)
    }

    /// A slot for an owner's work: the spare one if it may serve, else a new one.
    async fn slot(&self, owner: &str) -> Result<Slot> {
        let spare = self.0.spare.lock().unwrap_or_else(PoisonError::into_inner).take_if(|slot| slot.serves(owner));
        if let Some(slot) = spare {
            return Ok(slot);
        }
        let mut slot = self.0.slots.start().await?;
        slot.serves(owner);
        Ok(slot)
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Tells the workers of a job that it has ended early.
    fn stop(&self, job: &str) {
        let stop = self.0.stops.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned();
        if let Some(stop) = stop {
            stop.notify_waiters();
        }
    }

    fn stop_signal(&self, job: &str) -> Arc<Notify> {
        self.0.stops.lock().unwrap_or_else(PoisonError::into_inner).entry(job.to_owned()).or_default().clone()
    }

    /// A record of this kind, or [`Error::NotFound`] under its name.
    async fn get<T: DeserializeOwned>(&self, key: &str, name: &str) -> Result<(u64, T)> {
        let record = self.engine().meta.get(key).await?;
        let Record { revision, value, .. } = record.ok_or_else(|| Error::NotFound(name.to_owned()))?;
        Ok((revision, records::decode(&value)?))
    }

    /// A page of records below `prefix` after the key `after`; the second part goes on, if there is more.
    async fn page<T: DeserializeOwned>(&self, prefix: &str, token: &str, size: i32) -> Result<(Vec<T>, String)> {
        let size = match size {
            0 => 100,
            n => usize::try_from(n)
                .map_err(|_| Error::invalid("page_size", format!("{n} was found, 0 to 1000 was expected")))?
                .min(1000),
        };
        if !token.is_empty() && !token.starts_with(prefix) {
            return Err(Error::invalid("page_token", "is not one that this call gave"));
        }
        let after = (!token.is_empty()).then_some(token);
        let mut records = self.engine().meta.list(prefix, after, size + 1).await?;
        let more = records.len() > size;
        records.truncate(size);
        let next = if more { records.last().map_or(String::new(), |r| r.key.clone()) } else { String::new() };
        Ok((records.iter().map(|r| records::decode(&r.value)).collect::<Result<_>>()?, next))
    }

    /// All records below `prefix`.
    async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(prefix, &token, 1000).await?;
            all.extend(page);
            if next.is_empty() {
                return Ok(all);
            }
            token = next;
        }
    }
}

//! Floor 4: the laboratory. Takes in models and suites, runs jobs in a pool of slots, keeps what they gave.

pub mod doctor;
pub mod engines;
mod infer;
mod jobs;
mod limits;
mod meters;
mod models;
mod names;
mod order;
mod pool;
mod quarantine;
mod quota;
pub mod records;
pub mod remote;
mod replay;
mod resolve;
mod results;
mod reuse;
mod sealed;
pub mod slot;
mod suite_file;
mod suites;
mod trace;
mod turns;
mod turnstile;

pub use jobs::Created;
pub use limits::Limits;
pub use meters::{CASE_DURATION, REMOTE_TIME, describe as describe_meters};
pub use models::{ModelUpload, NewModel};
pub use names::{LOCAL, PoolName, artifact as artifact_name};
pub use pool::Pool;
pub use quota::{Place, Quota, Quotas};
pub use replay::Replayed;
pub use results::{Follow, Message, Progress};
pub use suites::{NewSuite, SuiteUpload};
pub use trace::{Bridge, TraceContext};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio::sync::{Mutex as AsyncMutex, Notify, OnceCell, RwLock, watch};

use self::engines::{Engine, Record};
use self::quota::Places;
use self::records::{ModelRecord, SuiteRecord};
use self::remote::{Remote, RemoteModel, Remotes};
use self::slot::{Groups, Slot, Slots, Standing, Wall};
use self::turns::{Turn, Turns};
use self::turnstile::Turnstile;
use crate::error::{Error, Result};

/// More records than there ever are of one kind.
const ALL: usize = i32::MAX as usize;

/// How a laboratory shuts its slots in.
#[derive(Clone, Debug, Default)]
pub struct Walls {
    /// Walls without which no slot starts.
    pub require: Vec<Wall>,
    /// Whether this process's cgroup, where one was delegated, is shared out among slots.
    pub cgroups: bool,
}

/// One engine with the rules of models, suites and jobs on top. Cheap to clone.
#[derive(Clone)]
pub struct Lab(Arc<Inner>);

struct Inner {
    engine: Engine,
    limits: Limits,
    quotas: Quotas,
    inspections: Turnstile,
    inferences: Turnstile,
    slots: Slots,
    remotes: Remotes,
    /// Around every slot alike, once one was started to see.
    walls: OnceCell<Vec<Standing>>,
    /// The slot of the last inspection, which has its model at hand.
    spare: Mutex<Option<Slot>>,
    /// Held for reading from the publishing of a blob to the writing of its record, for writing while blobs that
    /// nobody refers to are deleted.
    blobs: RwLock<()>,
    /// How far jobs were when somebody last asked, by place in their logs: a log only grows.
    progress: Mutex<HashMap<String, (u64, Progress)>>,
    turns: Arc<Mutex<Turns>>,
    streams: Places,
    calls: Places,
    /// Held from counting what a tenant has to writing one more, so that calls at once do not pass a quota together.
    taking: AsyncMutex<()>,
    closing: watch::Sender<bool>,
    /// Jobs whose shards are under way here, to be told when they end early.
    stops: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Lab {
    /// A laboratory on an engine, whose slots are shut in so, and which asks these models elsewhere.
    pub fn new(engine: Engine, limits: Limits, quotas: Quotas, walls: Walls, remotes: Remotes) -> Self {
        let (scratch, memory) = (engine.blobs.scratch(), limits.slot_memory_bytes);
        let Walls { require, cgroups } = walls;
        let groups = if cgroups { Groups::take().map(Arc::new) } else { Err("no service".to_owned()) };
        let slots = Slots { scratch, memory, require, groups };
        let (inspections, inferences) = (Turnstile::new(limits.inspections), Turnstile::new(limits.inferences));
        let (walls, spare, blobs) = (OnceCell::new(), Mutex::default(), RwLock::new(()));
        let (progress, stops) = (Mutex::default(), Mutex::default());
        let (streams, calls) = (Places::default(), Places::default());
        Self(Arc::new(Inner {
            engine,
            limits,
            quotas,
            inspections,
            inferences,
            slots,
            remotes,
            walls,
            spare,
            blobs,
            progress,
            turns: Arc::default(),
            streams,
            calls,
            taking: AsyncMutex::default(),
            closing: watch::Sender::default(),
            stops,
        }))
    }

    /// The engine's name, for people.
    pub fn engine_name(&self) -> &str {
        &self.0.engine.name
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Sends whoever asks elsewhere: the laboratory is not ready any more, and streams end.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Returns when the laboratory closes.
    pub async fn closed(&self) {
        // The sender lives as long as this laboratory.
        let _ = self.0.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Whether the engine answers and takes in more; what readiness is.
    pub async fn ready(&self) -> Result<()> {
        if *self.0.closing.borrow() {
            return Err(Error::Unavailable("the server stops".to_owned()));
        }
        self.0.engine.queue.pending().await?;
        self.room(0)
    }

    /// Refuses to take in `bytes` more where that leaves less of the disk than is kept free.
    fn room(&self, bytes: u64) -> Result<()> {
        let (kept, free) = (self.limits().disk_free_bytes, self.engine().blobs.free()?);
        if free >= kept.saturating_add(bytes) {
            return Ok(());
        }
        let what = format!("what is left of the disk with {bytes} more bytes");
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

    /// Who answers for a model elsewhere; nobody for one that is here.
    fn remote(&self, model: Option<&RemoteModel>) -> Result<Option<Remote>> {
        model.map(|model| self.0.remotes.remote(model)).transpose()
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Whose turn it is of those who wait.
    fn turn(&self, waiting: &[String], last: Option<&str>) -> Option<Turn> {
        Turn::begin(&self.0.turns, waiting, last)
    }

    /// Deletes a blob that no record names, while `blobs` is held for writing.
    async fn forget_blob(&self, digest: &str) -> Result<()> {
        let models: Vec<ModelRecord> = self.all("model/").await?;
        let suites: Vec<SuiteRecord> = self.all("suite/").await?;
        let mut named = models.iter().map(|model| &model.sha256).chain(suites.iter().map(|suite| &suite.sha256));
        if !named.any(|named| named == digest) {
            self.engine().blobs.delete(digest).await?;
        }
        Ok(())
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
        let records = self.engine().meta.list(prefix, None, ALL).await?;
        records.iter().map(|record| records::decode(&record.value)).collect()
    }
}

//! Slots: child processes that hold no database handle and no network, and run strangers' models.

mod cache;
mod child;
mod process;

pub use child::main;
pub(super) use process::{Death, Slot};

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::lab::records::{CheckSpec, Inspection};
use crate::suite::Evidence;

/// Longest frame, so that a torn length cannot ask for all of the memory.
const FRAME_MAX: usize = 1 << 30;

/// What a pool asks of a slot; one answer for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// What a model is. The file is read, completed by the caller's signature, and run once.
    Inspect { model: PathBuf, signature: String },
    /// One check on a few cases.
    Run(Box<Work>),
}

/// A shard with all that a slot needs to run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Work {
    pub(super) model: PathBuf,
    /// The effective signature.
    pub(super) signature: String,
    pub(super) suite: PathBuf,
    pub(super) check: CheckSpec,
    pub(super) position: u32,
    pub(super) cases: Range<u64>,
    pub(super) seed: u64,
    pub(super) keep: bool,
    /// A suite and how many of its first rows stand for values that are not there.
    pub(super) background: Option<(PathBuf, u64)>,
    /// Cases of the job, where the check looks at them together.
    pub(super) survey: Option<u64>,
}

/// A slot's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tell {
    Inspected(Box<Inspection>),
    Evidence(Evidence),
    Failed(Error),
}

/// What a model is, from a slot of its own that has `time` for it, which then has the model at hand. A model that ends its
/// slot is an error of `model`.
pub(super) async fn inspect(model: PathBuf, signature: &str, time: Duration) -> Result<(Inspection, Slot)> {
    let ask = Ask::Inspect { model, signature: signature.to_owned() };
    let mut slot = Slot::start()?;
    match slot.ask(&ask, time).await {
        Ok(Tell::Inspected(inspection)) => Ok((*inspection, slot)),
        Ok(Tell::Failed(e)) => Err(e),
        Ok(Tell::Evidence(_)) => Err(Error::internal("slot", "evidence was not asked for")),
        Err(Death(reason)) => Err(Error::invalid("model", format!("the model ended its slot at inspection: {reason}"))),
    }
}

//! Slots: child processes that hold no database handle and no network, and run strangers' models, each in a cage.

mod cache;
mod cage;
mod child;
mod death;
mod group;
mod process;
mod room;

pub use cage::{Cage, Standing, Wall};
pub use child::main;
pub(super) use death::Death;
pub(super) use group::{Groups, own_cgroup};
pub(super) use process::{Slot, Slots};

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::lab::records::{CheckSpec, Inspection};
use crate::suite::Evidence;

/// Longest frame, so that a torn length cannot ask for all of the memory.
const FRAME_MAX: usize = 1 << 30;

/// What a pool asks of a slot; one answer for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// To shut itself in, which comes first.
    Enter(Cage),
    /// What a model is. The file is read, completed by the caller's signature, and run once.
    Inspect { model: PathBuf, signature: String },
    /// One check on a few cases.
    Run(Box<Work>),
}

impl Ask {
    /// The files that it names.
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Enter(_) => Vec::new(),
            Self::Inspect { model, .. } => vec![model],
            Self::Run(work) => {
                let Work { model, suite, background, .. } = &mut **work;
                [model, suite].into_iter().chain(background.as_mut().map(|(file, _)| file)).collect()
            }
        }
    }
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
    Entered(Vec<Standing>),
    Inspected(Box<Inspection>),
    Evidence(Evidence),
    Failed(Error),
}

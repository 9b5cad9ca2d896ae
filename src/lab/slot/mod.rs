//! Slots: child processes that hold no database handle and no network, and run strangers' models, each in a cage.

mod cache;
mod cage;
mod child;
mod death;
mod group;
mod pipe;
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

use crate::engine::Question;
use crate::error::Error;
use crate::lab::records::{CheckSpec, Inspection};
use crate::suite::Evidence;
use crate::tensor::{Tensor, Tensors};

/// Longest frame, so that a torn length cannot ask for all of the memory.
const FRAME_MAX: usize = 1 << 30;

/// What a pool asks of a slot; one answer for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// To shut itself in, which comes first.
    Enter(Cage),
    /// What a model is. The file is read, completed by the caller's signature, and run once.
    Inspect { model: PathBuf, remote: bool, signature: String },
    /// One check on a few cases.
    Run(Box<Work>),
    /// The outputs of a graph alone, without the signature's preprocessing.
    Infer { model: PathBuf, signature: String, inputs: Tensors },
    /// What the slot has asked of a model elsewhere in the middle of an order.
    Answer(Result<Tensor, Error>),
}

impl Ask {
    /// The files that it names.
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Enter(_) | Self::Answer(_) => Vec::new(),
            Self::Inspect { model, .. } | Self::Infer { model, .. } => vec![model],
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
    /// Whether the file describes a model elsewhere, and is none itself.
    pub(super) remote: bool,
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
    Outputs(Tensors),
    /// No answer yet: a question for a model elsewhere comes before it.
    Ask(Question),
    Failed(Error),
}

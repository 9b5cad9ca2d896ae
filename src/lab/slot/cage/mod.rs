//! What a slot may do, which is little: think, and read what it was given. Each slot shuts itself in before it reads its
//! first order, and says which walls stand.
//!
//! A wall that the kernel lacks is left out and named, unless the operator demands it: then the slot ends.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod limits;

/// Other systems have none of these.
#[cfg(not(target_os = "linux"))]
mod calls {
    pub(super) fn put_up() -> super::PutUp {
        Err("Linux alone has it".to_owned())
    }
}
#[cfg(not(target_os = "linux"))]
mod files {
    pub(super) fn put_up(_: &std::path::Path) -> super::PutUp {
        Err("Linux alone has it".to_owned())
    }
}

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A wall around slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Limits of address space, processor time, open files; no file is written, no core dumped.
    Rlimits,
    /// No program that it starts could have more rights, and nobody reads its memory.
    NoNewPrivileges,
    /// Of all files it reads those in its own folder; from Linux 6.7 on no TCP, from 6.12 on no signal to, and no abstract
    /// socket of, processes outside.
    Landlock,
    /// Of all system calls it has those that reading, thinking and answering take: no socket, no program, no process.
    Seccomp,
    /// A limit of the memory that it really takes. The pool puts it up, from outside.
    Cgroup,
}

impl Wall {
    /// All of them, from the ground up.
    pub const ALL: [Self; 5] = [Self::Rlimits, Self::NoNewPrivileges, Self::Landlock, Self::Seccomp, Self::Cgroup];

    /// As a configuration file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rlimits => "rlimits",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Cgroup => "cgroup",
        }
    }
}

/// A wall of a slot, as it was found or put up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub wall: Wall,
    /// Why it does not stand; empty if it does.
    pub missing: String,
}

impl Standing {
    /// What came of putting a wall up. A missing one that is required is [`Error::Precondition`].
    pub(super) fn found(wall: Wall, put_up: PutUp, require: &[Wall]) -> Result<Self> {
        let missing = put_up.err().unwrap_or_default();
        if !missing.is_empty() && require.contains(&wall) {
            let message = format!("the configuration requires {} around slots: {missing}", wall.name());
            return Err(Error::Precondition(message));
        }
        Ok(Self { wall, missing })
    }
}

/// What came of putting a wall up, or why it could not be.
type PutUp = std::result::Result<(), String>;

/// A slot's cage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cage {
    /// The folder whose files it reads.
    pub folder: PathBuf,
    /// Bytes of address space.
    pub memory: u64,
    /// Walls without which the slot does not work.
    pub require: Vec<Wall>,
}

impl Cage {
    /// Shuts this thread in for good, and what it will start; says which walls stand. For a process of one thread.
    ///
    /// A missing wall that is required is [`Error::Precondition`].
    pub fn close(&self) -> Result<Vec<Standing>> {
        let walls = [
            (Wall::Rlimits, limits::put_up(self.memory)),
            (Wall::NoNewPrivileges, no_new_privileges()),
            (Wall::Landlock, files::put_up(&self.folder)),
            (Wall::Seccomp, calls::put_up()),
        ];
        walls.into_iter().map(|(wall, put_up)| Standing::found(wall, put_up, &self.require)).collect()
    }
}

#[cfg(target_os = "linux")]
fn no_new_privileges() -> PutUp {
    use nix::sys::prctl::{set_dumpable, set_no_new_privs};
    set_no_new_privs().and_then(|()| set_dumpable(false)).map_err(|e| e.desc().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn no_new_privileges() -> PutUp {
    Err("Linux alone has it".to_owned())
}

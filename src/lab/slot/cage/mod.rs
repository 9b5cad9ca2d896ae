//! What a slot may do, which is little: think, and read what it was given. Each slot shuts itself in before it reads its
//! first order, and says which walls stand.
//!
//! A wall that the kernel lacks is left out and named, unless the operator demands it: then the slot ends.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod limits;

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
    /// Of all files it reads those in its own folder; no TCP; no signal to, no abstract socket of, processes outside.
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

/// A slot's cage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cage {
    /// The folder whose files it reads.
    pub folder: PathBuf,
    /// Bytes of address space.
    pub memory: u64,
    /// Why it has no cgroup; empty if it has one.
    pub no_cgroup: String,
    /// Walls without which the slot does not work.
    pub require: Vec<Wall>,
}

impl Cage {
    /// Shuts this thread in for good, and what it will start; says which walls stand. For a process of one thread.
    ///
    /// A missing wall that is required is [`Error::Precondition`].
    pub fn close(&self) -> Result<Vec<Standing>> {
        let mut standing = Vec::new();
        for wall in Wall::ALL {
            let missing = match wall {
                Wall::Cgroup => self.no_cgroup.clone(),
                _ => self.put_up(wall).err().unwrap_or_default(),
            };
            if !missing.is_empty() && self.require.contains(&wall) {
                let message = format!("the configuration requires {} around slots: {missing}", wall.name());
                return Err(Error::Precondition(message));
            }
            standing.push(Standing { wall, missing });
        }
        Ok(standing)
    }

    #[cfg(target_os = "linux")]
    fn put_up(&self, wall: Wall) -> std::result::Result<(), String> {
        match wall {
            Wall::Rlimits => limits::put_up(self.memory),
            Wall::NoNewPrivileges => no_new_privileges(),
            Wall::Landlock => files::put_up(&self.folder),
            Wall::Seccomp => calls::put_up(),
            Wall::Cgroup => Err("the pool puts it up".to_owned()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn put_up(&self, wall: Wall) -> std::result::Result<(), String> {
        match wall {
            Wall::Rlimits => limits::put_up(self.memory),
            _ => Err("Linux alone has it".to_owned()),
        }
    }
}

#[cfg(target_os = "linux")]
fn no_new_privileges() -> std::result::Result<(), String> {
    use nix::sys::prctl::{set_dumpable, set_no_new_privs};
    set_no_new_privs().and_then(|()| set_dumpable(false)).map_err(|e| e.desc().to_owned())
}

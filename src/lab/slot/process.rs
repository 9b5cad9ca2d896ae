//! The pool's side of a slot.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::group::{Group, Groups};
use super::room::Room;
use super::{Ask, Cage, Death, FRAME_MAX, Standing, Tell, Wall};
use crate::error::{Error, Result};
use crate::lab::records::Inspection;
use crate::lab::remote::Remote;

/// How long a slot may take to start and shut itself in. It takes milliseconds on a machine at rest.
const ENTER_TIME: Duration = Duration::from_secs(60);

/// A slot that is older takes no new work: its processor time in all is limited.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is read of a dead slot's stderr.
const LAST_WORDS: u64 = 4096;

/// How slots are started.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Slots {
    /// Where their folders lie, which is best on the file system of models and suites.
    pub(in crate::lab) scratch: PathBuf,
    /// Bytes of address space of each.
    pub(in crate::lab) memory: u64,
    /// Walls without which none starts.
    pub(in crate::lab) require: Vec<Wall>,
    /// Where their cgroups come from, or why there are none.
    pub(in crate::lab) groups: Result<Arc<Groups>, String>,
}

impl Slots {
    /// Starts a child of this very program, and waits until it has shut itself in.
    pub(in crate::lab) async fn start(&self) -> Result<Slot> {
        let failed = |e: &dyn std::fmt::Display| Error::internal("starting a slot", e);
        let room = Room::new(&self.scratch)?;
        let program = std::env::current_exe().map_err(|e| failed(&e))?;
        let mut command = Command::new(program);
        command.arg("slot").env_clear().current_dir(room.path()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| failed(&e))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"its pipes are missing"));
        };
        let (memory, born) = (self.memory, Instant::now());
        let process = child.id().ok_or_else(|| failed(&"it ended at once"))?;
        let group = self.groups.clone().and_then(|groups| groups.hold(process, memory));
        let cgroup = Standing::found(Wall::Cgroup, group.as_ref().map(drop).map_err(Clone::clone), &self.require)?;
        let cage = Cage { folder: room.path().to_owned(), memory, require: self.require.clone() };
        let (group, owner, walls) = (group.ok(), None, Vec::new());
        let mut slot = Slot { child, input, output, room, group, memory, born, owner, walls };
        slot.walls = match slot.ask(Ask::Enter(cage), ENTER_TIME, None).await? {
            Ok(Tell::Entered(walls)) => walls.into_iter().chain([cgroup]).collect(),
            Ok(Tell::Failed(e)) => return Err(e),
            Ok(_) => return Err(failed(&"it answered something else")),
            Err(Death(reason)) => return Err(failed(&reason)),
        };
        Ok(slot)
    }

    /// What a model is, from a slot of its own that has `time` for it, which then has the model at hand. A model that ends
    /// its slot is an error of `model`. With `remote` the file describes a model elsewhere.
    pub(in crate::lab) async fn inspect(
        &self,
        model: &Path,
        remote: Option<&Remote>,
        signature: &str,
        time: Duration,
    ) -> Result<(Inspection, Slot)> {
        let (model, signature) = (model.to_owned(), signature.to_owned());
        let ask = Ask::Inspect { model, remote: remote.is_some(), signature };
        let mut slot = self.start().await?;
        match slot.ask(ask, time, remote).await? {
            Ok(Tell::Inspected(inspection)) => Ok((Inspection { memory: slot.peak_memory(), ..*inspection }, slot)),
            Ok(Tell::Failed(e)) => Err(e),
            Ok(_) => Err(Error::internal("slot", "an inspection was asked for")),
            Err(Death(reason)) => {
                Err(Error::invalid("model", format!("the model ended its slot at inspection: {reason}")))
            }
        }
    }
}

/// A running child process; killed when dropped.
pub(in crate::lab) struct Slot {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    room: Room,
    group: Option<Group>,
    memory: u64,
    born: Instant,
    /// Whose models and suites it has seen: it must see nobody else's.
    owner: Option<String>,
    walls: Vec<Standing>,
}

impl Slot {
    /// The walls around it.
    pub(in crate::lab) fn walls(&self) -> &[Standing] {
        &self.walls
    }

    /// Whether it may work for an owner, and then for no other. A model could take a slot over that it runs in, so what
    /// the slot sees afterwards belongs to whoever the model belongs to.
    pub(in crate::lab) fn serves(&mut self, owner: &str) -> bool {
        self.owner.get_or_insert_with(|| owner.to_owned()) == owner && self.born.elapsed() < AGE_MAX
    }

    /// One order and its answer; what the slot asks of a model elsewhere meanwhile goes to `remote`. After a [`Death`] the
    /// slot is of no use any more, nor after [`Error::Unavailable`], which is the remote's.
    ///
    /// `limit` is for the slot's own time: what a remote takes has limits of its own, a request's time and its tries.
    pub(in crate::lab) async fn ask(
        &mut self,
        ask: Ask,
        limit: Duration,
        remote: Option<&Remote>,
    ) -> Result<Result<Tell, Death>> {
        let mut ask = self.room.furnish(ask).await?;
        let mut left = limit;
        loop {
            let began = Instant::now();
            let question = match tokio::time::timeout(left, self.exchange(&ask)).await {
                Ok(Ok(Tell::Ask(question))) => question,
                Ok(Ok(answer)) => return Ok(Ok(answer)),
                Ok(Err(e)) => return Ok(Err(self.died(&e).await)),
                Err(_) => {
                    // It may hang anywhere; what it did so far is lost.
                    let _ = self.child.kill().await;
                    return Ok(Err(Death::late(limit)));
                }
            };
            left = left.saturating_sub(began.elapsed());
            let Some(remote) = remote else {
                let _ = self.child.kill().await;
                return Ok(Err(Death::garbled("its model is not elsewhere")));
            };
            ask = Ask::Answer(remote.answer(question).await?);
        }
    }

    async fn exchange(&mut self, ask: &Ask) -> std::io::Result<Tell> {
        let frame = rmp_serde::to_vec_named(ask).map_err(std::io::Error::other)?;
        let length = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
        self.input.write_all(&length.to_le_bytes()).await?;
        self.input.write_all(&frame).await?;
        self.input.flush().await?;
        let mut length = [0; 4];
        self.output.read_exact(&mut length).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_MAX {
            return Err(std::io::Error::other(format!("its answer has {length} bytes")));
        }
        let mut frame = vec![0; length];
        self.output.read_exact(&mut frame).await?;
        rmp_serde::from_slice(&frame).map_err(std::io::Error::other)
    }

    async fn died(&mut self, cause: &std::io::Error) -> Death {
        // A broken pipe is seen a moment before the process can be waited for.
        match tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await {
            Ok(Ok(status)) => {
                let mut words = Vec::new();
                if let Some(stderr) = self.child.stderr.take() {
                    // What cannot be read was not said.
                    let _ = stderr.take(LAST_WORDS).read_to_end(&mut words).await;
                }
                if self.group.as_ref().is_some_and(Group::overflowed) {
                    return Death::overflow(self.memory);
                }
                Death::found(status, &String::from_utf8_lossy(&words), self.memory)
            }
            _ => {
                let _ = self.child.kill().await;
                Death::garbled(cause)
            }
        }
    }

    /// The most memory that it has held, in bytes; 0 where the system does not say.
    fn peak_memory(&self) -> u64 {
        let Some(process) = self.child.id() else { return 0 };
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
    }
}

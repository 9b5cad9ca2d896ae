//! The pool's side of a slot.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use metrics::counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Ask, FRAME_MAX, Tell};
use crate::error::{Error, Result};
use crate::lab::meters::RESTARTS;

/// A running child process; killed when dropped.
pub(in crate::lab) struct Slot {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// How a slot ended in the middle of its work.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Death(pub(in crate::lab) String);

impl Death {
    /// Counts it too.
    fn of(kind: &'static str, reason: String) -> Self {
        counter!(RESTARTS, "reason" => kind).increment(1);
        Self(reason)
    }
}

impl Slot {
    /// Starts a child of this very program.
    pub(in crate::lab) fn start() -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| Error::internal("starting a slot", e);
        let program = std::env::current_exe().map_err(|e| failed(&e))?;
        let mut command = Command::new(program);
        command.arg("slot").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().map_err(|e| failed(&e))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input, output }),
            _ => Err(failed(&"its pipes are missing")),
        }
    }

    /// One order and its answer. After a [`Death`] the slot is of no use any more.
    pub(in crate::lab) async fn ask(&mut self, ask: &Ask, limit: Duration) -> Result<Tell, Death> {
        match tokio::time::timeout(limit, self.exchange(ask)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.died(&e).await),
            Err(_) => {
                // It may hang anywhere; what it did so far is lost.
                let _ = self.child.kill().await;
                Err(Death::of("timeout", format!("timeout: no answer within {} s", limit.as_secs())))
            }
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
            Ok(Ok(status)) => describe(status),
            _ => {
                let _ = self.child.kill().await;
                Death::of("frame", format!("its answer could not be read: {cause}"))
            }
        }
    }
}

fn describe(status: ExitStatus) -> Death {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => Death::of("signal", "killed by signal 9 (out of memory, or from outside)".to_owned()),
        Some(signal) => Death::of("signal", format!("crashed with signal {signal}")),
        None => Death::of("exit", format!("ended with {status}")),
    }
}

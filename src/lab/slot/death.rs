//! How a slot ends in the middle of its work.

use std::process::ExitStatus;
use std::time::Duration;

use metrics::counter;

use crate::lab::meters::RESTARTS;

/// The end of a slot, in words that begin with its kind: `out of memory`, `timeout`, `crash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab) struct Death(pub(in crate::lab) String);

impl Death {
    /// Counts it too.
    fn of(kind: &'static str, reason: String) -> Self {
        counter!(RESTARTS, "reason" => kind).increment(1);
        Self(reason)
    }

    /// It took too long, and was killed.
    pub(super) fn late(limit: Duration) -> Self {
        Self::of("timeout", format!("timeout: no answer within {} s", limit.as_secs()))
    }

    /// It ended by itself or was killed from outside; `last_words` is what it said on stderr.
    pub(super) fn found(status: ExitStatus, last_words: &str, memory: u64) -> Self {
        use std::os::unix::process::ExitStatusExt;
        // Rust's own words before it aborts.
        if last_words.contains("memory allocation of") {
            return Self::overflow(memory);
        }
        match status.signal() {
            Some(9) => Self::of("signal", "out of memory, or killed from outside: signal 9 (SIGKILL)".to_owned()),
            Some(signal) => Self::of("signal", format!("crash: signal {signal}{}", name(signal))),
            None => Self::of("exit", format!("crash: {status}")),
        }
    }

    /// It took more memory than it may.
    pub(super) fn overflow(memory: u64) -> Self {
        Self::of("memory", format!("out of memory: more than slot_memory_bytes = {memory}"))
    }

    /// Its answer could not be read.
    pub(in crate::lab) fn garbled(cause: impl std::fmt::Display) -> Self {
        Self::of("frame", format!("crash: its answer could not be read: {cause}"))
    }
}

fn name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or(String::new(), |signal| format!(" ({signal})"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn deaths_begin_with_their_kind() {
        let found = |raw, words| Death::found(ExitStatus::from_raw(raw), words, 64).0;
        assert_eq!(found(6, "memory allocation of 10 bytes failed"), "out of memory: more than slot_memory_bytes = 64");
        assert_eq!(found(6, ""), "crash: signal 6 (SIGABRT)");
        assert_eq!(found(11, ""), "crash: signal 11 (SIGSEGV)");
        assert!(found(9, "").starts_with("out of memory, or killed from outside"));
        assert_eq!(found(3 << 8, ""), "crash: exit status: 3");
        assert_eq!(Death::late(Duration::from_secs(5)).0, "timeout: no answer within 5 s");
    }
}

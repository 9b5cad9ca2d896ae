//! What became of a damaged model, and how many came out so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use assay::api::pb;
use tonic::{Code, Status};

use crate::server::fields;

/// The ends that a damaged model may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// A field is wrong.
    Refused,
    /// A limit or the state forbids it.
    Limited,
    /// Taken, but there are no cases for it.
    Unasked,
    /// Taken, and every case has a verdict.
    Ran,
    /// It ended its slot, which is told.
    Died,
}

/// How the end of a slot is told.
const DEATHS: [&str; 3] = ["out of memory", "timeout", "crash"];

/// Words that belong to the machine and to the program, and to no message.
const PRIVATE: [&str; 7] =
    ["panicked", "internal error", ".rs:", ".cargo", "RUST_BACKTRACE", "/tmp/", env!("CARGO_MANIFEST_DIR")];

/// What an answer says to a wrong model, or why it is no good answer.
pub(super) fn refusal(status: &Status) -> Result<Outcome, String> {
    let bad = |why: &str| Err(format!("{why}: {:?} {}", status.code(), status.message()));
    let message = status.message();
    if PRIVATE.iter().any(|word| message.contains(word)) || message.len() > 4096 {
        return bad("not for a caller");
    }
    match status.code() {
        Code::InvalidArgument if DEATHS.iter().any(|death| message.contains(&format!("at inspection: {death}"))) => {
            Ok(Outcome::Died)
        }
        Code::InvalidArgument if fields(status).iter().any(String::is_empty) => bad("no field"),
        Code::InvalidArgument => Ok(Outcome::Refused),
        Code::FailedPrecondition | Code::ResourceExhausted => Ok(Outcome::Limited),
        _ => bad("an unexpected code"),
    }
}

/// What verdicts say, or why they are no good ones.
pub(super) fn verdicts(verdicts: &[pb::Verdict], expected: usize) -> Result<Outcome, String> {
    if verdicts.len() != expected {
        return Err(format!("{} verdicts came, {expected} were expected", verdicts.len()));
    }
    let mut outcome = Outcome::Ran;
    for verdict in verdicts {
        let reason = &verdict.reason;
        let bad = |why: &str| Err(format!("{why}: {:?} of {}: {reason}", verdict.outcome(), verdict.check));
        if PRIVATE.iter().any(|word| reason.contains(word)) {
            return bad("not for a caller");
        }
        match verdict.outcome() {
            pb::Outcome::Unspecified => return bad("no outcome"),
            pb::Outcome::Skipped | pb::Outcome::Failed if reason.is_empty() => return bad("no reason"),
            pb::Outcome::Failed if DEATHS.iter().any(|death| reason.starts_with(death)) => outcome = Outcome::Died,
            _ => {}
        }
    }
    Ok(outcome)
}

/// How often each kind of damage had each end.
#[derive(Default)]
pub(super) struct Table(BTreeMap<&'static str, BTreeMap<Outcome, usize>>);

impl Table {
    pub(super) fn count(&mut self, kind: &'static str, outcome: Outcome) {
        *self.0.entry(kind).or_default().entry(outcome).or_default() += 1;
    }

    pub(super) fn total(&self, outcome: Outcome) -> usize {
        self.0.values().filter_map(|row| row.get(&outcome)).sum()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use Outcome::{Died, Limited, Ran, Refused, Unasked};
        let columns = [Refused, Limited, Unasked, Ran, Died];
        let mut line = |kind: &str, cells: &dyn Fn(Outcome) -> String| {
            let mut text = format!("{kind:<20}");
            columns.iter().try_for_each(|column| write!(text, "{:>9}", cells(*column)))?;
            writeln!(f, "{text}")
        };
        line("", &|column| format!("{column:?}").to_lowercase())?;
        for (kind, row) in &self.0 {
            line(kind, &|column| row.get(&column).copied().unwrap_or(0).to_string())?;
        }
        line("all", &|column| self.total(column).to_string())
    }
}

//! The one error type of the project: a variant for each kind that a caller can see.
//!
//! Every variant becomes exactly one gRPC status (`api/status.rs`) and one exit code (`cli/mod.rs`).

use std::fmt;

/// A result with the project's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with one field of a request: where, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// Path of the field, such as `checks[2].params.steps`; empty if the whole request is meant.
    pub field: String,
    /// A sentence: what was found, what was expected, what to do.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

/// Everything that can go wrong, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum Error {
    /// The request is wrong; each violation names its field.
    #[error("{}", join(.0))]
    Invalid(Vec<Violation>),
    /// It does not show who calls.
    #[error("{0}")]
    Unauthenticated(String),
    /// Whoever calls may not do this.
    #[error("{0}")]
    Denied(String),
    /// The named resource does not exist (or was deleted).
    #[error("{0} not found")]
    NotFound(String),
    /// The resource exists with other content.
    #[error("{0}")]
    AlreadyExists(String),
    /// The request is right but the state does not allow it.
    #[error("{0}")]
    Precondition(String),
    /// A limit was reached: its name, its value, and what was asked for.
    #[error("{what} is over the limit {limit} = {value}")]
    Exhausted { limit: String, value: u64, what: String },
    /// The bytes are not what they should be (wrong checksum, torn file).
    #[error("{0}")]
    DataLoss(String),
    /// The job, the stream or the call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("{0}: the deadline passed")]
    Deadline(String),
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// A defect of assay or of the machine.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The first violations, none longer than a third of all; the others are counted in one more.
fn brief(violations: Vec<Violation>, bytes: usize) -> Vec<Violation> {
    let (all, mut left) = (violations.len(), bytes);
    let mut kept = Vec::new();
    for Violation { field, message } in violations {
        let violation = Violation { field: clipped(&field, bytes / 3), message: clipped(&message, bytes / 3) };
        let size = violation.field.len() + violation.message.len();
        if size > left {
            break;
        }
        left -= size;
        kept.push(violation);
    }
    if kept.len() < all {
        let message = format!("and {} other fields are wrong", all - kept.len());
        kept.push(Violation { field: "...".to_owned(), message });
    }
    kept
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// The same error in about so many bytes. Violations that do not fit are counted.
    #[must_use]
    pub fn brief(self, bytes: usize) -> Self {
        let cut = |text: String| clipped(&text, bytes);
        match self {
            Self::Invalid(violations) => Self::Invalid(brief(violations, bytes)),
            Self::Unauthenticated(text) => Self::Unauthenticated(cut(text)),
            Self::Denied(text) => Self::Denied(cut(text)),
            Self::NotFound(text) => Self::NotFound(cut(text)),
            Self::AlreadyExists(text) => Self::AlreadyExists(cut(text)),
            Self::Precondition(text) => Self::Precondition(cut(text)),
            Self::Exhausted { limit, value, what } => Self::Exhausted { limit, value, what: cut(what) },
            Self::DataLoss(text) => Self::DataLoss(cut(text)),
            Self::Cancelled => Self::Cancelled,
            Self::Deadline(text) => Self::Deadline(cut(text)),
            Self::Unavailable(text) => Self::Unavailable(cut(text)),
            Self::Internal(text) => Self::Internal(cut(text)),
        }
    }

    /// One violation of one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), message: message.into() }])
    }

    /// A defect of assay or of the machine, with what was being done.
    pub fn internal(context: &str, cause: impl fmt::Display) -> Self {
        Self::Internal(format!("{context}: {cause}"))
    }

    /// The same error with `prefix` in front of every field path.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(
                violations
                    .into_iter()
                    .map(|v| Violation {
                        field: match v.field.as_str() {
                            "" => prefix.to_owned(),
                            f if f.starts_with('[') => format!("{prefix}{f}"),
                            f => format!("{prefix}.{f}"),
                        },
                        message: v.message,
                    })
                    .collect(),
            ),
            other => other,
        }
    }
}

/// Collects violations so that a caller hears of all of them at once.
#[derive(Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Keeps the value, or the violations of an [`Error::Invalid`]; any other error is passed on.
    pub fn catch<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Invalid(violations)) => {
                self.0.extend(violations);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Ok if nothing was collected.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// The text, or as much of it as fits into so many bytes, with dots behind it.
pub fn clipped(text: &str, bytes: usize) -> String {
    if text.len() <= bytes { text.to_owned() } else { format!("{}...", &text[..text.floor_char_boundary(bytes)]) }
}

/// The candidate nearest to `word`, for "did you mean" hints; `None` if nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(word, c), c))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_to_what_fits() {
        let violation = |i| Violation { field: format!("checks[{i}]"), message: "é".repeat(400) };
        let Error::Invalid(few) = Error::Invalid((0..2).map(violation).collect()).brief(3000) else { panic!() };
        assert_eq!(few, [violation(0), violation(1)]);
        let Error::Invalid(some) = Error::Invalid((0..50).map(violation).collect()).brief(1000) else { panic!() };
        assert_eq!(
            (some[0].message.len(), some.last().unwrap().message.as_str()),
            (335, "and 48 other fields are wrong")
        );
        assert!(Error::Invalid(some).to_string().len() < 1200);
        assert_eq!(Error::NotFound("x".repeat(9)).brief(3).to_string(), "xxx... not found");
    }
}

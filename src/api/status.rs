//! Errors as gRPC statuses with google.rpc details, and back.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::error::{Error, Violation};

/// The domain of error reasons.
const DOMAIN: &str = "assay.v1";

/// Limits that pass by waiting, and after how many seconds to try again.
const PASSING: [(&str, u64); 7] = [
    ("calls", 1),
    ("tenant_calls", 1),
    ("streams", 5),
    ("tenant_streams", 5),
    ("queued_shards", 5),
    ("tenant_queued_shards", 5),
    ("tenant_running_jobs", 5),
];

/// Whether waiting helps against a limit.
pub fn passes(limit: &str) -> bool {
    PASSING.iter().any(|(name, _)| *name == limit)
}

/// Bytes of an error's text, about. It travels twice, as text and in the details, both encoded, and all of it in one
/// header: a client that takes 8 KiB of headers would else see a broken connection in place of the error.
const TEXT_MAX: usize = 1024;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let error = error.brief(TEXT_MAX);
        let message = error.to_string();
        let reason = |reason: &str, metadata| ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        match error {
            Error::Invalid(violations) => {
                let fields: Vec<_> = violations.into_iter().map(|v| FieldViolation::new(v.field, v.message)).collect();
                Self::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(fields))
            }
            Error::Exhausted { limit, value, .. } => {
                let metadata =
                    HashMap::from([("limit".to_owned(), limit.clone()), ("value".to_owned(), value.to_string())]);
                let mut details = reason("LIMIT", metadata);
                if let Some((_, pause)) = PASSING.iter().find(|(name, _)| *name == limit) {
                    details.set_retry_info(Some(Duration::from_secs(*pause)));
                }
                Self::with_error_details(Code::ResourceExhausted, message, details)
            }
            Error::Unavailable(_) => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
                Self::with_error_details(Code::Unavailable, message, details)
            }
            Error::Unauthenticated(_) => Self::unauthenticated(message),
            Error::Denied(_) => Self::permission_denied(message),
            Error::NotFound(_) => Self::not_found(message),
            Error::AlreadyExists(_) => Self::already_exists(message),
            Error::Precondition(_) => Self::failed_precondition(message),
            Error::DataLoss(_) => Self::data_loss(message),
            Error::Cancelled => Self::cancelled(message),
            Error::Deadline(_) => Self::deadline_exceeded(message),
            Error::Internal(text) => {
                tracing::error!("{message}");
                // The cause may name what is on this machine; the log has it.
                let doing = text.split(": ").next().unwrap_or_default();
                Self::internal(format!("internal error: {doing}; the server's log has the cause"))
            }
        }
    }
}

/// The error behind a status, as far as its details tell.
pub fn error_from_status(status: &Status) -> Error {
    let message = status.message().to_owned();
    let details = status.get_error_details();
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => match details.bad_request() {
            Some(bad) if !bad.field_violations.is_empty() => {
                let violation =
                    |v: &FieldViolation| Violation { field: v.field.clone(), message: v.description.clone() };
                Error::Invalid(bad.field_violations.iter().map(violation).collect())
            }
            _ => Error::invalid("", message),
        },
        Code::Unauthenticated => Error::Unauthenticated(message),
        Code::PermissionDenied => Error::Denied(message),
        Code::NotFound => Error::NotFound(message.trim_end_matches(" not found").to_owned()),
        Code::AlreadyExists => Error::AlreadyExists(message),
        Code::FailedPrecondition => Error::Precondition(message),
        Code::ResourceExhausted => {
            let info = details.error_info();
            let field = |name| info.and_then(|i| i.metadata.get(name).cloned()).unwrap_or_default();
            let what = message.split(" is over the limit ").next().unwrap_or_default().to_owned();
            Error::Exhausted { limit: field("limit"), value: field("value").parse().unwrap_or(0), what }
        }
        Code::DataLoss => Error::DataLoss(message),
        Code::Cancelled => Error::Cancelled,
        Code::DeadlineExceeded => Error::Deadline(message),
        Code::Unavailable => Error::Unavailable(message),
        code => Error::Internal(format!("{code}: {message}")),
    }
}

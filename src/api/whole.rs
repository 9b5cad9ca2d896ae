//! Whether what a caller streams came to its own end: tonic gives a stream that was broken off the same end as one that is
//! over, and half a suite must not be taken for a whole one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;

use crate::error::{Error, Result};

/// Tells of one request's body, from its extensions.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// What [`watch`] left with a request.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Refuses a stream that has ended because it was broken off.
    pub(super) fn refuse(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Has a request know when its body fails.
pub(super) async fn watch(request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let cut = Cut::default();
    parts.extensions.insert(cut.clone());
    let body = body.map_err(move |error| {
        cut.0.store(true, Ordering::Relaxed);
        error
    });
    Request::from_parts(parts, Body::new(body))
}

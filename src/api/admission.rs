//! Overload is an answer: calls beyond a number are refused at once, with a time to come back, rather than made to wait.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::identity::Identity;
use crate::lab::Lab;

/// Lets a call in while its tenant, and all tenants together, have few enough under way. A stream counts until its handler
/// has answered; how many follow jobs at once is another limit.
pub(super) async fn admit(State(lab): State<Lab>, request: Request, next: Next) -> Response {
    // Health is asked for without an identity: a server under load is not a sick one.
    let Some(identity) = request.extensions().get::<Identity>() else { return next.run(request).await };
    match lab.call_place(&identity.tenant) {
        Ok(_place) => next.run(request).await,
        Err(error) => Status::from(error).into_http(),
    }
}

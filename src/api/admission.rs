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
    let tenant = identity.tenant.clone();
    let _place = match lab.call_place(&tenant) {
        Ok(place) => place,
        Err(error) => return Status::from(error).into_http(),
    };
    // Its message is long, so it waits before it is read.
    let _inference = match request.uri().path().ends_with("/ModelInfer") {
        false => None,
        true => match lab.infer_place(&tenant).await {
            Ok(place) => Some(place),
            Err(error) => return Status::from(error).into_http(),
        },
    };
    next.run(request).await
}

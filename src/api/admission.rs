//! Overload is an answer: calls beyond a number are refused at once, with a time to come back, rather than made to wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::error::Error;

/// Lets a number of calls in at a time. A stream counts until its handler has answered; how many follow jobs at once is
/// another limit.
#[derive(Clone)]
pub struct Admission {
    calls: Arc<Semaphore>,
    most: u64,
}

impl Admission {
    /// At most so many calls at once.
    pub fn new(most: u64) -> Self {
        let permits = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { calls: Arc::new(Semaphore::new(permits)), most }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { inner, admission: self.clone() }
    }
}

/// A service behind [`Admission`].
#[derive(Clone)]
pub struct Admitted<S> {
    inner: S,
    admission: Admission,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A server under load is not a sick one: whoever asks after its health must hear that.
        let health = request.uri().path().starts_with("/grpc.health.");
        let permit = self.admission.calls.clone().try_acquire_owned().ok();
        if permit.is_none() && !health {
            let (limit, what) = ("calls".to_owned(), "the number of calls under way".to_owned());
            let refused = Status::from(Error::Exhausted { limit, value: self.admission.most, what });
            return Box::pin(async move { Ok(refused.into_http()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _held = permit;
            answer.await
        })
    }
}

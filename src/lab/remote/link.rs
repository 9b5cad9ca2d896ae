//! The way to one endpoint: a connection to an address that was checked, in the pace and with the patience that the settings
//! have for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Uri};
use tonic::{Code, Request, Response, Status};

use super::Policy;
use super::endpoint::Endpoint;
use super::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use super::settings::{Entrance, Rules};
use crate::error::{Error, Result, clipped};

/// Time between the first two tries; it doubles from then on.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the making of a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Addresses of a name that are tried, and how long looking it up and all of them may take.
const ADDRESSES_MAX: usize = 4;
const REACH: Duration = Duration::from_secs(20);

/// Bytes that are kept of an endpoint's words.
const WORDS_MAX: usize = 300;

pub(super) type Client = GrpcInferenceServiceClient<InterceptedService<Channel, Sender>>;

/// Why there is no answer.
pub(super) enum Trouble {
    /// Another time there may be one.
    Away(String),
    /// The same question would be refused again.
    Refused(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Says with every request who asks, and until when the answer is wanted.
#[derive(Clone)]
pub(super) struct Sender {
    authorization: Option<tonic::metadata::AsciiMetadataValue>,
    time: Duration,
}

impl Interceptor for Sender {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.set_timeout(self.time);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

pub(super) struct Link {
    to: Endpoint,
    policy: Arc<Policy>,
    client: AsyncMutex<Option<Client>>,
    places: Semaphore,
    /// When the next row may be asked.
    next: Mutex<Instant>,
    /// Since when nobody has answered.
    away: Mutex<Option<Instant>>,
}

impl Link {
    /// Nothing is connected yet.
    pub(super) fn new(to: Endpoint, policy: Arc<Policy>) -> Self {
        let places = Semaphore::new(usize::try_from(policy.settings.requests.get()).unwrap_or(1));
        Self {
            to,
            policy,
            client: AsyncMutex::default(),
            places,
            next: Mutex::new(Instant::now()),
            away: Mutex::default(),
        }
    }

    /// The limit, if the endpoint has been away for longer.
    pub(super) fn given_up(&self) -> Option<u32> {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let late = away.is_some_and(|since| since.elapsed() >= self.policy.settings.away_time());
        late.then_some(self.policy.settings.away_seconds)
    }

    /// One request of so many rows, tried again where that may help.
    pub(super) async fn call<T, F>(&self, rows: usize, ask: impl Fn(Client) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        // Who has been away for long is not waited for again and again.
        let tries = if self.given_up().is_some() { 1 } else { self.policy.settings.tries.get() };
        let mut pause = PAUSE;
        for left in (0..tries).rev() {
            match self.once(rows, &ask).await {
                Ok(answer) => {
                    *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok(answer);
                }
                Err(Trouble::Away(why)) if left == 0 => {
                    self.away.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
                    return Err(Trouble::Away(why));
                }
                Err(Trouble::Away(_)) => sleep(pause).await,
                Err(refused) => return Err(refused),
            }
            pause *= 2;
        }
        Err(Trouble::Away(format!("{} was not asked", self.to)))
    }

    async fn once<T, F>(&self, rows: usize, ask: &impl Fn(Client) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let _place = self.places.acquire().await.map_err(|e| Error::internal("remote", e))?;
        self.pace(rows).await;
        let client = self.client().await?;
        let name = &self.to;
        let time = self.policy.settings.request_time();
        let late = || Trouble::Away(format!("{name} did not answer within {} s", time.as_secs()));
        match timeout(time, ask(client)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            // The same deadline, whoever kept it.
            Ok(Err(status)) if is_late(&status) => {
                self.begin_anew().await;
                Err(late())
            }
            Ok(Err(status)) if may_pass(&status) => {
                self.begin_anew().await;
                Err(Trouble::Away(format!("{name} does not answer: {}", words(&status))))
            }
            Ok(Err(status)) => {
                let message = format!("{name} refuses: {}", words(&status));
                Err(Trouble::Refused(Error::invalid("remote", message)))
            }
            Err(_) => {
                self.begin_anew().await;
                Err(late())
            }
        }
    }

    /// The next request makes another connection, to whatever the name leads to then.
    async fn begin_anew(&self) {
        *self.client.lock().await = None;
    }

    /// Longest message in either direction, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.policy.longest
    }

    /// Waits until so many rows more may be asked.
    async fn pace(&self, rows: usize) {
        let rows = Duration::from_secs(1) * u32::try_from(rows).unwrap_or(u32::MAX);
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + rows / self.policy.settings.rows_per_second.get();
            at
        };
        sleep_until(at).await;
    }

    /// The connection, made where there is none.
    async fn client(&self) -> Result<Client, Trouble> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let late = |_| Trouble::Away(format!("{} cannot be reached within {} s", self.to, REACH.as_secs()));
        let made = timeout(REACH, self.connect()).await.map_err(late)??;
        Ok(client.insert(made).clone())
    }

    /// Looks the name up once, and connects to an address of it that a rule allows, and to no other.
    async fn connect(&self) -> Result<Client, Trouble> {
        let (to, rules) = (&self.to, &self.policy.rules);
        let away = |why: String| Trouble::Away(format!("{} cannot be reached: {}", to, clipped(&why, WORDS_MAX)));
        let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await.map_err(|e| away(e.to_string()))?;
        let (mut why, mut allowed) = (Trouble::Refused(Rules::refusal(to)), 0);
        for address in found.take(ADDRESSES_MAX) {
            let Some(entrance) = rules.entrance(to, address.ip()) else { continue };
            match self.dial(address, entrance).await {
                Ok(client) => return Ok(client),
                Err(Trouble::Refused(error)) => return Err(error.into()),
                Err(Trouble::Away(text)) => (why, allowed) = (away(text), allowed + 1),
            }
        }
        if allowed == 0 {
            tracing::warn!(endpoint = %to, "an endpoint's addresses are not allowed");
        }
        Err(why)
    }

    /// A channel that leads to one address, however often it connects; a certificate is still to be the host's.
    async fn dial(&self, address: SocketAddr, entrance: &Entrance) -> Result<Client, Trouble> {
        if entrance.authorization.is_some() && !self.to.secure {
            let message = format!("the token for {} would pass in the clear; grpcs:// was expected", self.to);
            return Err(Error::invalid("remote.endpoint", message).into());
        }
        let failed = |e: tonic::transport::Error| Trouble::Away(chain(&e));
        let mut endpoint = Channel::builder(self.to.uri.clone())
            .connect_timeout(CONNECT_TIME)
            .http2_keep_alive_interval(CONNECT_TIME)
            .keep_alive_timeout(CONNECT_TIME);
        if self.to.secure {
            let tls = match &entrance.ca {
                Some(ca) => ClientTlsConfig::new().ca_certificate(ca.clone()),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls.domain_name(&self.to.host)).map_err(failed)?;
        }
        let connector = tower::service_fn(move |_: Uri| async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        });
        let channel = endpoint.connect_with_connector(connector).await.map_err(failed)?;
        // Time for the word of an endpoint that ends a request itself.
        let sender =
            Sender { authorization: entrance.authorization.clone(), time: self.policy.settings.request_time() };
        let client = GrpcInferenceServiceClient::with_interceptor(channel, sender);
        Ok(client.max_decoding_message_size(self.policy.longest).max_encoding_message_size(self.policy.longest))
    }
}

/// Whether the same question may be answered another time. A broken transport leaves its own error behind the status,
/// which an answer never has.
fn may_pass(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => true,
        Code::Unknown | Code::Internal => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// Whether the deadline passed, there or in the client. Nobody here cancels what is waited for: it is a server's word, or
/// tonic's, for a deadline.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded)
}

/// What an endpoint says, cut: it may say anything.
fn words(status: &Status) -> String {
    let said: String = status.message().chars().filter(|c| !c.is_control()).collect();
    format!("{:?}: {}", status.code(), clipped(&said, WORDS_MAX))
}

/// An error and what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

//! The connection, and how long it is waited for: a cluster that elects a leader answers again in some seconds.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, ServerAddr, ServerError, StatusCode,
};
use bytes::Bytes;
use serde_json::json;
use tokio_stream::StreamExt;

use super::{Settings, without_secrets};
use crate::error::{Error, Result};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(2);

/// How long a request is tried again before the cluster counts as gone. An election takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long servers are waited for that do not listen yet.
const START: Duration = Duration::from_secs(10);

/// The first pause between two tries; each next one is twice as long, up to a second.
const PAUSE: Duration = Duration::from_millis(50);

/// The oldest server that has all that is used here: batches of direct gets, markers of deletions that end.
const SERVER_MIN: (u64, u64) = (2, 12);

/// A connection to a cluster; it reconnects by itself.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    /// What a server complained of last, such as a permission that is missing.
    complaint: Arc<Mutex<Option<(Instant, String)>>>,
}

/// A message as a stream has it.
pub(super) struct Found {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl From<StreamMessage> for Found {
    fn from(message: StreamMessage) -> Self {
        let StreamMessage { subject, sequence, headers, payload, .. } = message;
        Self { subject: subject.to_string(), sequence, headers, body: payload }
    }
}

impl Link {
    /// Connects to `nats://HOST:PORT[,HOST:PORT...]`, or `tls://` where no word may go in the clear.
    pub(super) async fn connect(servers: &str, settings: &Settings) -> Result<Self> {
        let complaint: Arc<Mutex<Option<(Instant, String)>>> = Arc::default();
        let heard = complaint.clone();
        let mut options = options(settings)?.event_callback(move |event| {
            let heard = heard.clone();
            async move {
                match event {
                    Event::ServerError(ServerError::Other(text)) => {
                        tracing::error!(text, "NATS complains");
                        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), text));
                    }
                    event => tracing::info!(%event, "NATS"),
                }
            }
        });
        let (scheme, hosts) = servers.split_once("://").unwrap_or(("nats", servers));
        if scheme == "tls" {
            options = options.require_tls(true);
        }
        // The scheme may be said once or for each.
        let address = |host: &str| {
            let host = host.trim();
            format!("{scheme}://{}", host.split_once("://").map_or(host, |(_, host)| host)).parse::<ServerAddr>()
        };
        let wrong = |e: std::io::Error| Error::invalid("engine", format!("{}: {e}", without_secrets(servers)));
        let hosts: Vec<ServerAddr> = hosts.split(',').map(address).collect::<std::io::Result<_>>().map_err(wrong)?;
        let user = hosts.iter().find_map(|host| Some((host.username()?.to_owned(), host.password()?.to_owned())));
        if let Some((user, password)) = user {
            options = options.user_and_password(user, password);
        }
        let failed = |e| Error::Unavailable(format!("NATS at {}: {e}", without_secrets(servers)));
        let begin = Instant::now();
        let client = loop {
            match options.clone().connect(hosts.clone()).await {
                Ok(client) => break client,
                // Servers and their clients are often started together.
                Err(e) if e.kind() == ConnectErrorKind::Io && begin.elapsed() < START => {
                    tokio::time::sleep(PAUSE * 4).await
                }
                Err(e) => return Err(failed(e)),
            }
        };
        check_version(&client.server_info().version)?;
        let jetstream = ContextBuilder::new().timeout(REQUEST).ack_timeout(REQUEST).build(client.clone());
        let link = Self { client, jetstream, complaint };
        link.ask("looking for JetStream", || async { link.jetstream.query_account().await }).await?;
        Ok(link)
    }

    /// Asks until there is an answer, for some time: what a cluster says while it elects a leader is no answer. `ask` makes
    /// an `Ok` of what cannot change by asking again.
    pub(super) async fn ask<T, E, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T>
    where
        E: Display,
        F: Future<Output = std::result::Result<T, E>>,
    {
        let (begin, mut pause) = (Instant::now(), PAUSE);
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let complaint = complaint.filter(|(at, _)| *at >= begin).map(|(_, text)| text);
            // That does not pass by waiting.
            if let Some(text) = complaint.filter(|text| text.to_lowercase().contains("permissions violation")) {
                return Err(Error::Precondition(format!("{what}: this user lacks a permission on NATS: {text}")));
            }
            if begin.elapsed() + pause > PATIENCE {
                return Err(Error::Unavailable(format!("{what}: NATS does not answer: {error}")));
            }
            tracing::debug!(%error, what, "NATS is asked again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// The last message of a stream on a subject, which may have wildcards, as the stream's leader has it.
    pub(super) async fn last(&self, stream: &Stream, subject: &str) -> Result<Option<Found>> {
        let get = || async {
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(message) => Ok(Some(Found::from(message))),
                Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(e) => Err(e),
            }
        };
        self.ask("reading the last message", get).await
    }

    /// The first message of a stream on a subject after a sequence, as the stream's leader has it.
    pub(super) async fn next(&self, stream: &Stream, subject: &str, after: u64) -> Result<Option<Found>> {
        let get = || async {
            let ask = stream.raw_message_builder().sequence(after + 1).next_by_subject(subject);
            match ask.send().await {
                Ok(message) => Ok(Some(Found::from(message))),
                Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(e) => Err(e),
            }
        };
        self.ask("reading the next message", get).await
    }

    /// Messages of a stream on a subject from a sequence on, in order, at most `limit`, from whichever replica answers: it may
    /// lack the newest, but nothing in between.
    pub(super) async fn page(&self, stream: &str, subject: &str, from: u64, limit: usize) -> Result<Vec<Found>> {
        let order = json!({"seq": from.max(1), "next_by_subj": subject, "batch": limit.max(1)}).to_string();
        let to = format!("$JS.API.DIRECT.GET.{stream}");
        self.ask("reading a page", || async { self.answers(&to, &order).await }).await
    }

    async fn answers(&self, to: &str, order: &str) -> Result<Vec<Found>> {
        let lost = |e: &dyn Display| Error::Unavailable(e.to_string());
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|e| lost(&e))?;
        let order = order.to_owned().into();
        self.client.publish_with_reply(to.to_owned(), inbox, order).await.map_err(|e| lost(&e))?;
        let mut found = Vec::new();
        loop {
            let message = tokio::time::timeout(REQUEST, answers.next()).await.map_err(|e| lost(&e))?;
            let message = message.ok_or_else(|| lost(&"the connection was closed"))?;
            match message.status.map(|status| status.as_u16()) {
                None => {
                    let last = found.last().map_or(0, |found: &Found| found.sequence);
                    let (message, before) = read(message)?;
                    if before != last {
                        return Err(lost(&"a message was lost on the way"));
                    }
                    found.push(message);
                }
                // The end of the batch, or nothing was found.
                Some(204 | 404) => return Ok(found),
                Some(_) if message.status == Some(StatusCode::NO_RESPONDERS) => return Err(lost(&"nobody answers")),
                Some(status) => {
                    let said = message.description.unwrap_or_default();
                    return Err(lost(&format!("{status} {said}")));
                }
            }
        }
    }
}

fn options(settings: &Settings) -> Result<ConnectOptions> {
    let mut options = match &settings.credentials {
        None => ConnectOptions::new(),
        Some(file) => {
            let refuse = |e: &dyn Display| Error::invalid("nats.credentials", format!("{}: {e}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|e| refuse(&e))?;
            ConnectOptions::with_credentials(&text).map_err(|e| refuse(&e))?
        }
    };
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    options = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => options.add_client_certificate(certificate.clone(), key.clone()),
        (None, None) => options,
        _ => return Err(Error::invalid("nats.certificate", "a certificate and its key belong together")),
    };
    Ok(options.name("assay").request_timeout(Some(REQUEST)))
}

fn check_version(version: &str) -> Result<()> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    let found: (u64, u64) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= SERVER_MIN {
        return Ok(());
    }
    let (major, minor) = SERVER_MIN;
    Err(Error::Precondition(format!("nats-server {version} was found, {major}.{minor} or later was expected")))
}

/// A message out of an answer, with its place in the stream, and the place of the one before it in the answer: 0 for none.
fn read(message: Message) -> Result<(Found, u64)> {
    let headers = message.headers.unwrap_or_default();
    let get = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    let number = |name: &str| get(name).and_then(|text| text.parse().ok());
    match (get("Nats-Subject"), number("Nats-Sequence")) {
        (Some(subject), Some(sequence)) => {
            let before = number("Nats-Last-Sequence").unwrap_or(0);
            Ok((Found { subject, sequence, headers, body: message.payload }, before))
        }
        _ => Err(Error::internal("NATS", "a message came without its place in the stream")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused_by_their_version() {
        assert!(
            check_version("2.12.0").is_ok() && check_version("2.15.1-beta").is_ok() && check_version("3.0.0").is_ok()
        );
        let error = check_version("2.9.10").unwrap_err().to_string();
        assert!(error.contains("2.9.10 was found, 2.12 or later"), "{error}");
        assert!(check_version("").is_err());
    }
}

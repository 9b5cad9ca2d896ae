//! Logs of jobs: one stream, one message a line, and a subject that takes no second.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::stream::Stream;
use async_trait::async_trait;
use bytes::Bytes;
use tokio_stream::StreamExt;

use super::blobs::Cached;
use super::link::{Found, Link};
use super::meta::HEADERS;
use super::names;
use super::objects::RESULTS;
use crate::error::{Error, Result};
use crate::lab::engines::{Appended, Entry, Log};

/// Names the object that a line's body is in, if it is too long for a message.
const OBJECT: &str = "Assay-Object";

/// A wake is a word that may be lost, so a follower looks by itself as often as this.
const LOOK: Duration = Duration::from_secs(2);

/// Lines that are read at once where all are.
const PAGE: usize = 256;

/// The stream.
pub(super) struct Results {
    link: Arc<Link>,
    stream: Stream,
    blobs: Arc<Cached>,
}

/// Whether the server refused a message because its subject has one.
pub(super) fn is_second(error: &PublishError) -> bool {
    use async_nats::jetstream::{Error as Refusal, ErrorCode};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Refusal>());
    // A store that is full has the same code, and other words.
    source.is_some_and(|refusal| {
        refusal.error_code() == ErrorCode::STREAM_STORE_FAILED && refusal.to_string().contains("per subject")
    })
}

impl Results {
    pub(super) fn new(link: Arc<Link>, stream: Stream, blobs: Arc<Cached>) -> Self {
        Self { link, stream, blobs }
    }

    /// The message of a key.
    async fn last(&self, job: &str, key: u32) -> Result<Option<Found>> {
        self.link.last(&self.stream, &names::line(job, &key.to_string())).await
    }

    /// The first message of a job after a sequence.
    async fn next(&self, job: &str, after: u64) -> Result<Option<Found>> {
        self.link.next(&self.stream, &names::line(job, "*"), after).await
    }

    async fn entry(&self, found: Found) -> Result<Entry> {
        let body = match found.headers.get(OBJECT) {
            Some(name) => self.blobs.object(name.as_str()).await?,
            None => found.body.to_vec(),
        };
        Ok(Entry { sequence: found.sequence, key: key(&found.subject)?, body })
    }

    /// The body of a message, and its headers: a line that is too long goes into an object of its own.
    async fn message(&self, job: &str, key: u32, body: &[u8]) -> Result<(HeaderMap, Bytes)> {
        let mut headers = HeaderMap::new();
        if body.len() + HEADERS <= self.link.client.server_info().max_payload {
            return Ok((headers, Bytes::copy_from_slice(body)));
        }
        // The body's digest is in the name, so that a second try with another body cannot replace the first one's.
        let name = format!("{}.{}", names::line(job, &key.to_string()), crate::lab::names::sha256(body));
        self.blobs.put_object(&name, body).await?;
        headers.insert(OBJECT, name.as_str());
        Ok((headers, Bytes::new()))
    }
}

fn key(subject: &str) -> Result<u32> {
    let key = subject.rsplit('.').next().and_then(|key| key.parse().ok());
    key.ok_or_else(|| Error::internal("ASSAY_RESULTS", "a subject that is not assay's"))
}

#[async_trait]
impl Log for Results {
    /// A line whose acknowledgement was lost on the way is found to be there already.
    async fn append(&self, job: &str, key: u32, body: &[u8]) -> Result<Appended> {
        let subject = names::line(job, &key.to_string());
        let (headers, body) = self.message(job, key, body).await?;
        let publish = || async {
            let publish = self.link.jetstream.publish_with_headers(subject.clone(), headers.clone(), body.clone());
            let refused = match publish.await.map_err(|e| e.to_string())?.await {
                Ok(ack) => return Ok(Appended::New(ack.sequence)),
                Err(e) if is_second(&e) => e,
                Err(e) => return Err(e.to_string()),
            };
            // A cluster also refuses while another line is on its way to the replicas, which may yet be lost.
            let first = self.last(job, key).await.map_err(|e| e.to_string())?;
            first.map(|found| Appended::Exists(found.sequence)).ok_or_else(|| refused.to_string())
        };
        let appended = self.link.ask("writing a line", publish).await?;
        // Who does not hear it looks by itself after a while.
        let _ = self.link.client.publish(names::grown(job), Bytes::new()).await;
        Ok(appended)
    }

    async fn read(&self, job: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let mut page = self.link.page(RESULTS, &names::line(job, "*"), after + 1, limit).await?;
        if page.is_empty() {
            // A replica may not have it yet, and whoever finds nothing may conclude that there is nothing.
            page.extend(self.next(job, after).await?);
        }
        let mut entries = Vec::with_capacity(page.len());
        for found in page {
            entries.push(self.entry(found).await?);
        }
        Ok(entries)
    }

    async fn get(&self, job: &str, key: u32) -> Result<Option<Entry>> {
        match self.last(job, key).await? {
            Some(found) => Ok(Some(self.entry(found).await?)),
            None => Ok(None),
        }
    }

    async fn keys(&self, job: &str) -> Result<Vec<u32>> {
        let subject = names::line(job, "*");
        let list = || async {
            let mut counted = self.stream.info_with_subjects(&subject).await?;
            let mut subjects = Vec::new();
            while let Some((subject, _)) = counted.try_next().await? {
                subjects.push(subject);
            }
            Ok::<_, async_nats::jetstream::stream::InfoError>(subjects)
        };
        let subjects = self.link.ask("counting lines", list).await?;
        subjects.iter().map(|subject| key(subject)).collect()
    }

    async fn forget(&self, job: &str) -> Result<()> {
        let (subject, mut after) = (names::line(job, "*"), 0);
        loop {
            let page = self.link.page(RESULTS, &subject, after + 1, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            for name in page.iter().filter_map(|found| found.headers.get(OBJECT)) {
                self.blobs.delete_object(name.as_str()).await?;
            }
        }
        let purge = || async { self.stream.purge().filter(subject.clone()).await };
        self.link.ask("forgetting a log", purge).await?;
        let _ = self.link.client.publish(names::grown(job), Bytes::new()).await;
        Ok(())
    }

    async fn wait(&self, job: &str, after: u64, timeout: Duration) {
        let timeout = timeout.min(LOOK);
        let Ok(mut wakes) = self.link.client.subscribe(names::grown(job)).await else {
            return tokio::time::sleep(timeout).await;
        };
        // The question goes the same way after the subscription, so what is not there yet will be told.
        if matches!(self.next(job, after).await, Ok(None)) {
            let _ = tokio::time::timeout(timeout, wakes.next()).await;
        }
    }
}

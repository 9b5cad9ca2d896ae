//! Records in a bucket of keys and values.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::kv;
use async_trait::async_trait;

use super::link::{Found, Link};
use super::names::{key, key_of};
use super::objects::{MARK, META};
use crate::error::{Error, Result};
use crate::lab::engines::{Expect, Meta, Record};

/// Records that are read at once.
const PAGE: usize = 256;

/// The bucket.
pub(super) struct Records {
    link: Arc<Link>,
    bucket: kv::Store,
}

/// Whether a message marks that its key was deleted.
fn is_mark(headers: &HeaderMap) -> bool {
    headers.get("KV-Operation").is_some() || headers.get("Nats-Marker-Reason").is_some()
}

impl Records {
    pub(super) fn new(link: Arc<Link>, bucket: kv::Store) -> Self {
        Self { link, bucket }
    }

    fn subject(key_: &str) -> String {
        format!("$KV.{META}.{}", key(key_))
    }

    /// The last message on a key, a mark too.
    async fn last(&self, key: &str) -> Result<Option<Found>> {
        self.link.last(&self.bucket.stream, &Self::subject(key)).await
    }

    /// Writes if the last message on the key has this sequence, 0 for none. The new one, or `None` if it has another.
    async fn write(&self, key: &str, value: &[u8], after: Option<u64>) -> Result<Option<u64>> {
        let most = self.link.client.server_info().max_payload;
        if value.len() + HEADERS > most {
            let (limit, value) = ("nats max_payload".to_owned(), most as u64);
            return Err(Error::Exhausted { limit, value, what: "the length of a record".to_owned() });
        }
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert("Nats-Expected-Last-Subject-Sequence", after.to_string().as_str());
        }
        let (subject, value) = (Self::subject(key), bytes::Bytes::copy_from_slice(value));
        let put = || async {
            let publish = self.link.jetstream.publish_with_headers(subject.clone(), headers.clone(), value.clone());
            match publish.await?.await {
                Ok(ack) => Ok(Some(ack.sequence)),
                Err(e) if e.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
                Err(e) => Err(e),
            }
        };
        self.link.ask("writing a record", put).await
    }
}

impl Records {
    /// Writes if there is no record.
    async fn add(&self, key: &str, value: &[u8]) -> Result<Option<u64>> {
        let mut after = 0;
        for _ in 0..TRIES {
            if let Some(revision) = self.write(key, value, Some(after)).await? {
                return Ok(Some(revision));
            }
            match self.last(key).await? {
                Some(mark) if is_mark(&mark.headers) => after = mark.sequence,
                Some(_) => return Ok(None),
                // A cluster also refuses while another record is on its way to the replicas, which may yet be lost.
                None => tokio::time::sleep(PAUSE).await,
            }
        }
        Err(Error::Unavailable("a record is being written by another server; retry".to_owned()))
    }
}

/// How often a record that is on its way is looked for, and the pause in between.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes that subject and headers may take of a message.
pub(super) const HEADERS: usize = 4096;

#[async_trait]
impl Meta for Records {
    async fn get(&self, key: &str) -> Result<Option<Record>> {
        let found = self.last(key).await?.filter(|found| !is_mark(&found.headers));
        Ok(found.map(|m| Record { key: key.to_owned(), revision: m.sequence, value: m.body.to_vec() }))
    }

    /// A write whose answer was lost on the way counts as another's: `None`, with the same value in its place.
    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<Option<u64>> {
        match expect {
            Expect::Any => self.write(key, value, None).await,
            Expect::Revision(revision) => self.write(key, value, Some(revision)).await,
            Expect::Absent => self.add(key, value).await,
        }
    }

    async fn delete(&self, key_: &str, expect: Expect) -> Result<bool> {
        loop {
            let Some(last) = self.last(key_).await?.filter(|found| !is_mark(&found.headers)) else { return Ok(false) };
            match expect {
                Expect::Absent => return Ok(false),
                Expect::Revision(revision) if revision != last.sequence => return Ok(false),
                Expect::Any | Expect::Revision(_) => {}
            }
            let purge = || async {
                let purge = self.bucket.purge_expect_revision_with_ttl(key(key_), last.sequence, MARK);
                match purge.await {
                    Ok(()) => Ok(true),
                    // Somebody wrote in between.
                    Err(e) if e.to_string().contains("wrong last sequence") => Ok(false),
                    Err(e) => Err(e),
                }
            };
            if self.link.ask("deleting a record", purge).await? {
                return Ok(true);
            }
        }
    }

    /// Reads all records below the prefix: keys are in the order of their writing in the stream.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let whole = prefix.rfind('/').map_or("", |end| &prefix[..end]);
        let filter = if whole.is_empty() { format!("$KV.{META}.>") } else { format!("{}.>", Self::subject(whole)) };
        let (mut records, mut from) = (Vec::new(), 1);
        loop {
            let page = self.link.page(&format!("KV_{META}"), &filter, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.sequence + 1;
            for found in page.into_iter().filter(|found| !is_mark(&found.headers)) {
                let subject = found.subject.strip_prefix(&format!("$KV.{META}.")).and_then(key_of);
                let key = subject.ok_or_else(|| Error::internal("ASSAY_META", "a key that is not assay's"))?;
                if key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after) {
                    records.push(Record { key, revision: found.sequence, value: found.body.to_vec() });
                }
            }
        }
        records.sort_by(|a, b| a.key.cmp(&b.key));
        records.truncate(limit);
        Ok(records)
    }
}

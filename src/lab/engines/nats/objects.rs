//! The streams and buckets: made if they are missing, else looked at, since what they promise hangs on how they were made.

use std::time::Duration;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{ErrorCode, kv, object_store::ObjectStore};

use super::link::Link;
use super::{Settings, Storage};
use crate::error::{Error, Result};

pub(super) const TASKS: &str = "ASSAY_TASKS";
pub(super) const RESULTS: &str = "ASSAY_RESULTS";
pub(super) const META: &str = "ASSAY_META";
pub(super) const BLOBS: &str = "ASSAY_BLOBS";

/// How long the mark of a deleted record stays. Whoever read it before compares revisions within this time.
pub(super) const MARK: Duration = Duration::from_secs(3600);

/// What the engine keeps its state in.
pub(super) struct Objects {
    pub(super) tasks: Stream,
    pub(super) results: Stream,
    pub(super) meta: kv::Store,
    pub(super) blobs: Option<ObjectStore>,
}

impl Objects {
    /// Makes what is missing.
    pub(super) async fn make(link: &Link, settings: &Settings) -> Result<Self> {
        let storage = match settings.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        };
        let base = Config { storage, num_replicas: settings.replicas, ..Config::default() };
        // One message a subject, and a second is refused: a shard is queued once, and its first line stands.
        let once = Config {
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..base.clone()
        };
        let tasks = Config {
            name: TASKS.to_owned(),
            description: Some("assay: shards that wait for a worker".to_owned()),
            subjects: vec!["assay.*.task.>".to_owned()],
            retention: RetentionPolicy::WorkQueue,
            ..once.clone()
        };
        let results = Config {
            name: RESULTS.to_owned(),
            description: Some("assay: what shards gave".to_owned()),
            subjects: vec!["assay.*.result.>".to_owned()],
            allow_direct: true,
            ..once
        };
        let meta = Config {
            name: format!("KV_{META}"),
            description: Some("assay: models, suites, jobs".to_owned()),
            subjects: vec![format!("$KV.{META}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(MARK),
            ..base.clone()
        };
        // Without direct gets: what a replica lacks yet would look as if it was lost.
        let blobs = Config {
            name: format!("OBJ_{BLOBS}"),
            description: Some("assay: files of models and suites, arrays".to_owned()),
            subjects: vec![format!("$O.{BLOBS}.C.>"), format!("$O.{BLOBS}.M.>")],
            discard: DiscardPolicy::New,
            allow_rollup: true,
            ..base
        };
        let (tasks, results) = (ensure(link, tasks).await?, ensure(link, results).await?);
        ensure(link, meta).await?;
        let meta = link.ask("opening ASSAY_META", || async { link.jetstream.get_key_value(META).await }).await?;
        let mut store = None;
        if settings.blobs == "jetstream" {
            ensure(link, blobs).await?;
            store =
                Some(link.ask("opening ASSAY_BLOBS", || async { link.jetstream.get_object_store(BLOBS).await }).await?);
        }
        Ok(Self { tasks, results, meta, blobs: store })
    }
}

/// A stream, if it is there.
pub(super) async fn find(link: &Link, name: &str) -> Result<Option<Stream>> {
    let look = || async {
        match link.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(e) => match e.kind() {
                GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(e),
            },
        }
    };
    link.ask(&format!("looking for the stream {name}"), look).await
}

/// The stream, made if there is none.
async fn ensure(link: &Link, wanted: Config) -> Result<Stream> {
    let name = &wanted.name;
    let Some(found) = find(link, name).await? else {
        // Whoever makes it at the same time makes the same.
        let make = || async { link.jetstream.get_or_create_stream(wanted.clone()).await };
        return link.ask(&format!("making the stream {name}"), make).await;
    };
    check(&wanted, &found.cached_info().config)?;
    Ok(found)
}

/// Whether a stream that somebody else made keeps what is promised. Bounds of its size are its operator's choice: what is
/// there is never thrown away for what is new.
fn check(wanted: &Config, found: &Config) -> Result<()> {
    let same = |field: &str, wanted: String, found: String| {
        if wanted == found { Ok(()) } else { Err(format!("{field} {found}, {wanted} was expected")) }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let differs = [
        same("retention", text(&wanted.retention), text(&found.retention)),
        same("discard", text(&wanted.discard), text(&found.discard)),
        same(
            "max_msgs_per_subject",
            text(&wanted.max_messages_per_subject.max(0)),
            text(&found.max_messages_per_subject.max(0)),
        ),
        same("discard_new_per_subject", text(&wanted.discard_new_per_subject), text(&found.discard_new_per_subject)),
        same("subjects", text(&wanted.subjects), text(&found.subjects)),
        same("max_age", text(&wanted.max_age), text(&found.max_age)),
        same("allow_rollup_hdrs", text(&wanted.allow_rollup), text(&found.allow_rollup)),
        same("allow_msg_ttl", text(&wanted.allow_message_ttl), text(&found.allow_message_ttl)),
        same("allow_direct", text(&wanted.allow_direct), text(&found.allow_direct)),
    ];
    if let Some(Err(message)) = differs.into_iter().find(Result::is_err) {
        let name = &wanted.name;
        return Err(Error::Precondition(format!("the stream {name} has {message}; something else than assay made it")));
    }
    if wanted.num_replicas != found.num_replicas {
        let (name, found, wanted) = (&wanted.name, found.num_replicas, wanted.num_replicas);
        tracing::warn!(name, found, wanted, "a stream has another number of replicas than nats.replicas says");
    }
    Ok(())
}

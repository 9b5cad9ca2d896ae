//! Who did what: a record of every call that changed something or was refused.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use prost::Message;
use prost_types::Timestamp;
use serde::Serialize;
use tonic::Code;
use tonic::body::Body;

use super::Identity;
use crate::error::{Error, Result};
use crate::telemetry::code_name;

/// Bytes of a message in which its name is looked for; it comes first.
const PEEK: usize = 1024;

/// Length of what gRPC puts before a message.
const PREFIX: usize = 5;

/// Lines a second about callers whom nobody knows; more are only counted.
const STRANGERS: u32 = 100;

/// Where records go: to the log, under a target of their own, and to a file if there is one.
pub(super) struct Audit {
    file: Option<Mutex<File>>,
    strangers: Mutex<Strangers>,
}

/// Calls of nobody in this second. They cost a caller next to nothing, and must not fill a disk.
struct Strangers {
    second: Instant,
    count: u32,
}

impl Strangers {
    /// Whether one more is written down; else, with the first of another second, how many were not.
    fn one_more(&mut self, now: Instant) -> (bool, u32) {
        let mut left_out = 0;
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            left_out = self.count.saturating_sub(STRANGERS);
            *self = Self { second: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        (self.count <= STRANGERS, left_out)
    }
}

impl Audit {
    /// Only the file's owner may read who did what.
    pub(super) fn new(file: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            file.map(Mutex::new).map_err(|e| Error::invalid("auth.audit_log", format!("{}: {e}", path.display())))
        };
        let strangers = Mutex::new(Strangers { second: Instant::now(), count: 0 });
        Ok(Self { file: file.map(open).transpose()?, strangers })
    }

    fn write(&self, line: &Line<'_>) {
        if line.name.is_none() {
            let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            let (written, left_out) = strangers.one_more(Instant::now());
            if left_out > 0 {
                tracing::warn!(target: "assay::audit", left_out, "calls without an identity were not written down");
            }
            if !written {
                return;
            }
        }
        let Line { name, tenant, role, method, resource, code, peer, .. } = line;
        tracing::info!(target: "assay::audit", name, tenant, role, method, resource, code, peer, "call");
        let Some(file) = &self.file else { return };
        // A line is short and goes to the system at once, so that it outlives this process.
        let written = serde_json::to_string(line).map_err(std::io::Error::other).and_then(|text| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(format!("{text}\n").as_bytes())
        });
        if let Err(error) = written {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    name: Option<&'a str>,
    tenant: Option<&'a str>,
    role: Option<String>,
    method: &'a str,
    resource: Option<String>,
    code: &'static str,
    peer: Option<String>,
}

/// A call that is written down once its request and its answer are gone.
pub(super) struct Record {
    audit: Arc<Audit>,
    method: String,
    peer: Option<SocketAddr>,
    /// Nobody's, if that is why it was refused.
    identity: Option<Identity>,
    asked: Peek,
    answered: Peek,
    code: Option<Code>,
}

impl Record {
    pub(super) fn new(audit: &Arc<Audit>, method: &str, peer: Option<SocketAddr>, identity: Option<Identity>) -> Self {
        let (audit, method) = (audit.clone(), method.to_owned());
        let (asked, answered) = (Peek::default(), Peek::default());
        Self { audit, method, peer, identity, asked, answered, code: None }
    }

    /// The call was refused; nothing more is to come.
    pub(super) fn refused(mut self, code: Code) {
        self.code = Some(code);
    }

    fn see(&mut self, headers: &HeaderMap) {
        self.code = headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let identity = self.identity.as_ref();
        self.audit.write(&Line {
            time: Timestamp::from(SystemTime::now()).to_string(),
            name: identity.map(|i| i.name.as_str()),
            tenant: identity.map(|i| &*i.tenant),
            role: identity.map(|i| i.role.to_string()),
            method: &self.method,
            resource: self.answered.name().or_else(|| self.asked.name()),
            // Whoever goes before the answer leaves none.
            code: code_name(self.code.unwrap_or(Code::Cancelled)),
            peer: self.peer.map(|peer| peer.to_string()),
        });
    }
}

/// A record that a request and its answer write to as they pass.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Record>>);

impl Shared {
    pub(super) fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(record)))
    }

    fn update(&self, update: impl FnOnce(&mut Record)) {
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks for a name in the request.
    pub(super) fn request(&self, body: Body) -> Body {
        let record = self.clone();
        Body::new(body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                record.update(|record| record.asked.see(data));
            }
            frame
        }))
    }

    /// Looks for a name and the status in the answer.
    pub(super) fn response(self, response: Response<Body>) -> Response<Body> {
        self.update(|record| record.see(response.headers()));
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                self.update(|record| match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => record.answered.see(data),
                    (_, Some(trailers)) => record.see(trailers),
                    _ => {}
                });
                frame
            }))
        })
    }
}

/// The first bytes of a stream of messages.
#[derive(Default)]
struct Peek(Vec<u8>);

impl Peek {
    fn see(&mut self, data: &[u8]) {
        self.0.extend(data.iter().take(PEEK - self.0.len()));
    }

    /// The name in the first message, if it is one of a resource. Requests that mean one, and all resources, have it in
    /// their first field.
    fn name(&self) -> Option<String> {
        #[derive(Clone, PartialEq, Message)]
        struct Named {
            #[prost(string, tag = "1")]
            name: String,
        }
        let mut named = Named::default();
        // Where the bytes end early, what came before counts.
        let _ = named.merge(self.0.get(PREFIX..)?);
        named.name.starts_with("tenants/").then_some(named.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pb;

    fn peek(message: &impl Message) -> Peek {
        let mut peek = Peek::default();
        peek.see(&[0; PREFIX]);
        peek.see(&message.encode_to_vec());
        peek
    }

    #[test]
    fn a_name_is_found_where_there_is_one() {
        let name = "tenants/local/jobs/7".to_owned();
        let spec = Some(pb::JobSpec { suite: "x".repeat(2 * PEEK), ..pb::JobSpec::default() });
        let job = pb::Job { name: name.clone(), spec, ..pb::Job::default() };
        assert_eq!(peek(&job).name().as_ref(), Some(&name));
        assert_eq!(peek(&pb::CancelJobRequest { name: name.clone() }).name(), Some(name));
        assert_eq!(peek(&pb::DeleteJobRequest { name: "x".repeat(2 * PEEK) }).name(), None);
        assert_eq!(peek(&pb::CreateJobRequest::default()).name(), None);
        let header = pb::UploadModelHeader { display_name: "tenants/".to_owned(), ..pb::UploadModelHeader::default() };
        let message = Some(pb::upload_model_request::Message::Header(header));
        assert_eq!(peek(&pb::UploadModelRequest { message }).name(), None);
        assert_eq!(Peek::default().name(), None);
    }

    #[test]
    fn lines_are_json_whatever_they_hold_and_the_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Arc::new(Audit::new(Some(&path)).unwrap());
        let identity = Identity { name: "c\nd".to_owned(), ..Identity::anyone() };
        drop(Record::new(&audit, "a\n\"b\u{1b}[31m", None, Some(identity)));
        Record::new(&audit, "e", Some(([127, 0, 0, 1], 9).into()), None).refused(Code::Unauthenticated);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["name"], &lines[0]["code"]), (&"c\nd".into(), &"CANCELLED".into()));
        assert_eq!((&lines[1]["peer"], &lines[1]["code"]), (&"127.0.0.1:9".into(), &"UNAUTHENTICATED".into()));
        assert_eq!((lines.len(), lines[1]["name"].is_null()), (2, true));
    }
}

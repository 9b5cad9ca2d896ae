//! The client's side of the service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::connection::remote;
use super::headers::Headers;
use super::serve::Within;
use crate::api::pb::catalog_service_client::CatalogServiceClient;
use crate::api::pb::job_service_client::JobServiceClient;
use crate::api::pb::model_service_client::ModelServiceClient;
use crate::api::pb::suite_service_client::SuiteServiceClient;
use crate::api::{CASES_MAX, CHUNK_MAX, case_to_pb, error_from_status, pb};
use crate::data::Cases;
use crate::error::{Error, Result};
use crate::lab::remote::{Entry, RemoteModel, Settings};

/// How long a broken connection is tried again without a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// A stream without even a heartbeat for so long is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Batches of cases that are read before the connection takes them.
const BATCHES_AHEAD: usize = 4;

/// A channel whose calls say who calls, and in which trace.
type Headed = InterceptedService<Channel, Headers>;

/// A connection to a service, which may live within this process.
pub(super) struct Client {
    pub(super) models: ModelServiceClient<Headed>,
    pub(super) suites: SuiteServiceClient<Headed>,
    pub(super) jobs: JobServiceClient<Headed>,
    pub(super) catalog: CatalogServiceClient<Headed>,
    within: Option<Within>,
}

impl Client {
    /// Connects to `server`; without one, starts a service within this process.
    pub(super) async fn connect(server: Option<&str>, slots: usize) -> Result<Self> {
        Self::connect_for(server, slots, None).await
    }

    /// The same, where a service within this process may ask the endpoint of this model: whoever names it there is who
    /// allows it.
    pub(super) async fn connect_for(server: Option<&str>, slots: usize, model: Option<&RemoteModel>) -> Result<Self> {
        let (within, channel, authorization) = match server {
            Some(url) => {
                let (channel, authorization) = remote(url).await?;
                (None, channel, authorization)
            }
            None => {
                let allow = model.map(|model| Entry::Plain(model.authority().to_owned())).into_iter().collect();
                let (within, channel) = Within::start(slots, Settings { allow, ..Settings::default() }).await?;
                (Some(within), channel, None)
            }
        };
        let channel = InterceptedService::new(channel, Headers::new(authorization));
        Ok(Self {
            models: ModelServiceClient::new(channel.clone()),
            suites: SuiteServiceClient::new(channel.clone()).max_encoding_message_size(CASES_MAX),
            jobs: JobServiceClient::new(channel.clone()).max_decoding_message_size(CASES_MAX),
            catalog: CatalogServiceClient::new(channel),
            within,
        })
    }

    /// Ends what was started with the connection.
    pub(super) async fn close(self) {
        if let Some(within) = self.within {
            within.stop().await;
        }
    }

    /// Uploads an ONNX file with a signature (YAML, may be empty). A broken connection goes on where it broke.
    pub(super) async fn upload_model(&self, onnx: Vec<u8>, name: &str, signature: String) -> Result<pb::Model> {
        let sha256: String = Sha256::digest(&onnx).iter().map(|b| format!("{b:02x}")).collect();
        let header = pb::UploadModelHeader {
            size_bytes: onnx.len() as u64,
            sha256,
            display_name: name.to_owned(),
            signature,
            resumable: true,
        };
        let (onnx, began) = (Arc::new(onnx), tokio::time::Instant::now());
        loop {
            let kept = pb::GetUploadRequest { sha256: header.sha256.clone(), size_bytes: header.size_bytes };
            let sent = match self.models.clone().get_upload(kept).await {
                Ok(kept) => self.send_model(&header, &onnx, kept.into_inner().committed_bytes).await,
                Err(status) => Err(status),
            };
            match sent {
                Err(lost) if is_broken(&lost) && began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                answered => return answer(answered),
            }
        }
    }

    /// Registers a model that an endpoint has, with a signature (YAML, may be empty).
    pub(super) async fn register_model(&self, model: RemoteModel, name: &str, signature: String) -> Result<pb::Model> {
        let RemoteModel { endpoint, model, version } = model;
        let remote = Some(pb::RemoteModel { endpoint, model, version });
        let request = pb::RegisterModelRequest { display_name: name.to_owned(), remote, signature };
        answer(self.models.clone().register_model(request).await)
    }

    async fn send_model(
        &self,
        header: &pb::UploadModelHeader,
        onnx: &Arc<Vec<u8>>,
        from: u64,
    ) -> std::result::Result<tonic::Response<pb::Model>, Status> {
        use pb::upload_model_request::Message;
        let message = |message| pb::UploadModelRequest { message: Some(message) };
        let (onnx, from) = (onnx.clone(), usize::try_from(from).unwrap_or(0).min(onnx.len()));
        let chunks = (from..onnx.len()).step_by(CHUNK_MAX).map(move |start| {
            let end = onnx.len().min(start + CHUNK_MAX);
            message(Message::Chunk(pb::Chunk { offset: start as u64, data: onnx[start..end].to_vec() }))
        });
        let messages = std::iter::once(message(Message::Header(header.clone()))).chain(chunks);
        self.models.clone().upload_model(tokio_stream::iter(messages)).await
    }

    /// Uploads cases with default checks and gates, while they are read.
    pub(super) async fn upload_suite(
        &self,
        cases: Cases,
        name: &str,
        checks: &[String],
        gates: &[String],
    ) -> Result<pb::Suite> {
        use pb::upload_suite_request::Message;
        let header = pb::UploadSuiteHeader {
            display_name: name.to_owned(),
            checks: checks.iter().map(|spec| check(spec)).collect(),
            gates: gates.to_vec(),
            // Cases that cannot be read end the stream early, which is then no suite.
            case_count: cases.len() as u64,
        };
        let message = |message| pb::UploadSuiteRequest { message: Some(message) };
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (fail, mut failed) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let sent = send_batches(cases, |batch| sender.blocking_send(message(Message::Cases(batch))).is_ok());
            if let Err(error) = sent {
                // Nobody listens any more if the upload broke before.
                let _ = fail.send(error);
            }
        });
        let first = tokio_stream::once(message(Message::Header(header)));
        let answered = self.suites.clone().upload_suite(first.chain(ReceiverStream::new(receiver))).await;
        failed.try_recv().map_or_else(|_| answer(answered), Err)
    }

    /// Follows a job to its end; `each` is called with every message once, whatever connections break meanwhile.
    pub(super) async fn watch(
        &mut self,
        job: &str,
        mut each: impl FnMut(pb::stream_results_response::Message) -> Result<()>,
    ) -> Result<pb::Done> {
        use pb::stream_results_response::Message;
        let (mut token, mut broken) = (String::new(), None);
        loop {
            let request = pb::StreamResultsRequest { name: job.to_owned(), resume_token: token.clone() };
            let lost = match self.jobs.stream_results(request).await {
                Err(status) => status,
                Ok(response) => {
                    let mut stream = Box::pin(response.into_inner().timeout(SILENCE));
                    loop {
                        match stream.next().await {
                            Some(Ok(Ok(response))) => {
                                broken = None;
                                token = response.resume_token;
                                match response.message {
                                    Some(Message::Done(done)) => return Ok(done),
                                    Some(message) => each(message)?,
                                    None => {}
                                }
                            }
                            Some(Ok(Err(status))) => break status,
                            Some(Err(_)) => break Status::unavailable("the stream fell silent"),
                            None => break Status::unavailable("the stream ended early"),
                        }
                    }
                }
            };
            let since = *broken.get_or_insert_with(tokio::time::Instant::now);
            if !is_broken(&lost) || since.elapsed() > PATIENCE {
                return Err(error_from_status(&lost));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All bytes of an artifact.
    pub(super) async fn read_artifact(&mut self, name: &str) -> Result<Vec<u8>> {
        let request = pb::ReadArtifactRequest { name: name.to_owned(), offset: 0 };
        let mut stream = answer(self.jobs.read_artifact(request).await)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.message().await.map_err(|s| error_from_status(&s))? {
            bytes.extend(chunk.data);
        }
        Ok(bytes)
    }
}

/// Gives `send` as many cases a message as fit into a chunk, at least one, until there are none or it says no.
fn send_batches(cases: Cases, mut send: impl FnMut(pb::CaseBatch) -> bool) -> Result<()> {
    let (mut batch, mut size) = (Vec::new(), 0);
    for case in cases {
        let case = case_to_pb(case?);
        let length = prost::Message::encoded_len(&case);
        if size + length > CHUNK_MAX && !batch.is_empty() {
            if !send(pb::CaseBatch { cases: std::mem::take(&mut batch) }) {
                return Ok(());
            }
            size = 0;
        }
        size += length;
        batch.push(case);
    }
    send(pb::CaseBatch { cases: batch });
    Ok(())
}

/// Whether the connection broke, as opposed to the service having answered with an error.
///
/// A reset stream shows under codes that a service sends itself too. A broken transport leaves its own error behind the
/// status, which an answer never has; where a stream was cut off at a clean end, tonic's words alone tell.
fn is_broken(status: &Status) -> bool {
    let cut = ["protocol error: missing grpc-status", "Unexpected EOF decoding stream"];
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Cancelled | Code::Internal => {
            std::error::Error::source(status).is_some() || cut.iter().any(|words| status.message().starts_with(words))
        }
        _ => false,
    }
}

/// The body of an answer, or the error behind its status.
pub(super) fn answer<T>(response: std::result::Result<tonic::Response<T>, Status>) -> Result<T> {
    response.map(tonic::Response::into_inner).map_err(|status| error_from_status(&status))
}

/// A check as its SPEC.
pub(super) fn check(spec: &str) -> pb::Check {
    pb::Check { spec: spec.to_owned(), name: String::new(), params: None }
}

/// A file's bytes, or an error of `field`.
pub(super) fn file(path: &Path, field: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::invalid(field, format!("{}: {e}", path.display())))
}

/// A signature's YAML; files of class names and of vocabularies are read into it.
pub(super) fn signature(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok(String::new()) };
    let refuse = |e: &dyn std::fmt::Display| Error::invalid("signature", format!("{}: {e}", path.display()));
    let text = String::from_utf8(file(path, "signature")?).map_err(|e| refuse(&e))?;
    let mut yaml: serde_norway::Value = serde_norway::from_str(&text).map_err(|e| refuse(&e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut changed = false;
    if let Some(output) = yaml.get_mut("output") {
        changed |= listed(output, "classes", folder, "signature.output.classes")?;
    }
    let inputs = match yaml.get_mut("input") {
        Some(serde_norway::Value::Sequence(inputs)) => inputs.iter_mut().collect(),
        Some(input) => vec![input],
        None => Vec::new(),
    };
    for input in inputs {
        changed |= listed(input, "vocabulary", folder, "signature.input.vocabulary")?;
    }
    if changed { serde_norway::to_string(&yaml).map_err(|e| refuse(&e)) } else { Ok(text) }
}

/// Reads the list that a key names as a file: a JSON (or YAML) list, or a name a line.
fn listed(of: &mut serde_norway::Value, key: &str, folder: &Path, field: &str) -> Result<bool> {
    let Some(value) = of.get_mut(key) else { return Ok(false) };
    let Some(name) = value.as_str() else { return Ok(false) };
    let text = String::from_utf8(file(&folder.join(name), field)?).map_err(|e| Error::invalid(field, e.to_string()))?;
    let list: Vec<String> =
        serde_norway::from_str(&text).unwrap_or_else(|_| text.lines().map(|l| l.trim().to_owned()).collect());
    *value = serde_norway::to_value(list).map_err(|e| Error::invalid(field, e.to_string()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_not_a_broken_connection() {
        assert!(is_broken(&Status::unavailable("the server stops")));
        for code in [Code::Unknown, Code::Cancelled, Code::Internal] {
            let mut status = Status::new(code, "as a service says it");
            assert!(!is_broken(&status), "{code:?}");
            status.set_source(Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
            assert!(is_broken(&status), "{code:?}");
        }
        assert!(!is_broken(&Status::data_loss("a record cannot be read")));
    }
}

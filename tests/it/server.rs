//! A real server over a real socket, and the requests that tests make of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use assay::api::{case_to_pb, error_from_status, pb};
use assay::data;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(crate) const MODEL: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

/// Process ids of a process's children.
pub(crate) fn children(process: u32) -> Vec<i32> {
    let list = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let children = list.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok());
    children.flat_map(|c| c.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// A server of its own, killed at the end of the test.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// Where the console is, if the configuration asks for one.
    pub(crate) console: Option<String>,
}

impl Server {
    pub(crate) fn start(folder: &Path, slots: &str) -> Self {
        Self::configured(folder, slots, "")
    }

    /// With a configuration file of this text.
    pub(crate) fn configured(folder: &Path, slots: &str, config: &str) -> Self {
        Self::on(&format!("sqlite:{}", folder.display()), folder, slots, config)
    }

    /// On an engine.
    pub(crate) fn on(engine: &str, folder: &Path, slots: &str, config: &str) -> Self {
        let file = folder.join("config.toml");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["serve", "--listen", "127.0.0.1:0", "--engine", engine, "--slots", slots, "--config"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut console = None;
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            console = console.or(line.strip_prefix("console on http://").map(str::to_owned));
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        // The pipe is kept empty, so that the server never waits to say something.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, console }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Process ids of the slots.
    pub(crate) fn slots(&self) -> Vec<i32> {
        children(self.child.id())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn header(sha256: &str, size: usize, signature: &str) -> pb::UploadModelRequest {
    let header = pb::UploadModelHeader {
        size_bytes: size as u64,
        sha256: sha256.to_owned(),
        display_name: "test".to_owned(),
        signature: signature.to_owned(),
        resumable: false,
    };
    pb::UploadModelRequest { message: Some(pb::upload_model_request::Message::Header(header)) }
}

pub(crate) fn chunk(offset: usize, data: &[u8]) -> pb::UploadModelRequest {
    let chunk = pb::Chunk { offset: offset as u64, data: data.to_vec() };
    pb::UploadModelRequest { message: Some(pb::upload_model_request::Message::Chunk(chunk)) }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) async fn upload(channel: &Channel, messages: Vec<pb::UploadModelRequest>) -> Result<pb::Model, Status> {
    let response = ModelServiceClient::new(channel.clone()).upload_model(tokio_stream::iter(messages)).await;
    response.map(tonic::Response::into_inner)
}

pub(crate) async fn model(channel: &Channel, bytes: &[u8], signature: &str) -> Result<pb::Model, Status> {
    let half = bytes.len() / 2;
    let messages =
        vec![header(&sha256(bytes), bytes.len(), signature), chunk(0, &bytes[..half]), chunk(half, &bytes[half..])];
    upload(channel, messages).await
}

pub(crate) fn digits(count: usize) -> Vec<pb::Case> {
    let cases = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    let mut cases: Vec<_> = cases.map(Result::unwrap).collect();
    cases.truncate(count);
    cases.into_iter().map(case_to_pb).collect()
}

pub(crate) async fn suite(channel: &Channel, cases: Vec<pb::Case>) -> Result<pb::Suite, Status> {
    use pb::upload_suite_request::Message;
    let message = |message| pb::UploadSuiteRequest { message: Some(message) };
    let mut messages = vec![message(Message::Header(pb::UploadSuiteHeader::default()))];
    messages.extend(cases.chunks(100).map(|c| message(Message::Cases(pb::CaseBatch { cases: c.to_vec() }))));
    let response = SuiteServiceClient::new(channel.clone()).upload_suite(tokio_stream::iter(messages)).await;
    response.map(tonic::Response::into_inner)
}

pub(crate) fn spec(model: &str, suite: &str, checks: &[&str]) -> pb::JobSpec {
    let check = |spec: &&str| pb::Check { spec: (*spec).to_owned(), ..pb::Check::default() };
    pb::JobSpec {
        subject: Some(pb::Subject { subject: Some(pb::subject::Subject::Model(model.to_owned())) }),
        suite: suite.to_owned(),
        checks: checks.iter().map(check).collect(),
        ..pb::JobSpec::default()
    }
}

pub(crate) async fn create(channel: &Channel, spec: pb::JobSpec, request_id: &str) -> Result<pb::Job, Status> {
    let request = pb::CreateJobRequest { spec: Some(spec), request_id: request_id.to_owned(), validate_only: false };
    JobServiceClient::new(channel.clone()).create_job(request).await.map(tonic::Response::into_inner)
}

/// Verdicts after a token, until done or until `most` have come; the last token; whether done came.
pub(crate) async fn follow(channel: &Channel, job: &str, token: &str, most: usize) -> (Vec<pb::Verdict>, String, bool) {
    let request = pb::StreamResultsRequest { name: job.to_owned(), resume_token: token.to_owned() };
    let mut stream = match JobServiceClient::new(channel.clone()).stream_results(request).await {
        Ok(response) => response.into_inner(),
        // As good as a stream that broke at once.
        Err(status) if status.code() == Code::Unavailable => return (Vec::new(), token.to_owned(), false),
        Err(status) => panic!("{status}"),
    };
    let (mut verdicts, mut token) = (Vec::new(), token.to_owned());
    while let Ok(Some(response)) = stream.message().await {
        token = response.resume_token;
        match response.message.unwrap() {
            pb::stream_results_response::Message::Verdicts(batch) => verdicts.extend(batch.verdicts),
            pb::stream_results_response::Message::Done(_) => return (verdicts, token, true),
            _ => {}
        }
        if verdicts.len() >= most {
            break;
        }
    }
    (verdicts, token, false)
}

/// In the order of cases and checks, as bytes that can be compared.
pub(crate) fn sorted(mut verdicts: Vec<pb::Verdict>) -> Vec<String> {
    verdicts.sort_by_key(|v| (v.case_index, v.check_index));
    let measures =
        |v: &pb::Verdict| v.measures.iter().map(|(k, m)| (k.clone(), *m)).collect::<std::collections::BTreeMap<_, _>>();
    verdicts
        .iter()
        .map(|v| {
            format!("{} {} {:?} {:?} {:?} {:?}", v.case_id, v.check, v.params, v.outcome, v.predicted, measures(v))
        })
        .collect()
}

pub(crate) fn fields(status: &Status) -> Vec<String> {
    match error_from_status(status) {
        assay::Error::Invalid(violations) => violations.into_iter().map(|v| v.field).collect(),
        other => vec![format!("{other:?}")],
    }
}

pub(crate) const CHECKS: [&str; 3] = ["clean", "gaussian_noise", "motion_blur"];

/// Files below a folder.
pub(crate) fn walk(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

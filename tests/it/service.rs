//! The real server over a real socket: what is wrong is refused, what is killed goes on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assay::api::{case_to_pb, error_from_status, pb};
use assay::data;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::catalog_service_client::CatalogServiceClient;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

const MODEL: &[u8] = include_bytes!("../models/mnist_cnn.onnx");

/// A server of its own, killed at the end of the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, slots: &str) -> Self {
        let engine = format!("sqlite:{}", folder.display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["serve", "--listen", "127.0.0.1:0", "--engine", &engine, "--slots", slots])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        // The pipe is kept empty, so that the server never waits to say something.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Process ids of the slots.
    fn slots(&self) -> Vec<i32> {
        let id = self.child.id();
        let list = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let children = list.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok());
        children.flat_map(|c| c.split_whitespace().map(|p| p.parse().unwrap()).collect::<Vec<_>>()).collect()
    }

    fn kill(&mut self) {
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

fn header(sha256: &str, size: usize, signature: &str) -> pb::UploadModelRequest {
    let header = pb::UploadModelHeader {
        size_bytes: size as u64,
        sha256: sha256.to_owned(),
        display_name: "test".to_owned(),
        signature: signature.to_owned(),
    };
    pb::UploadModelRequest { message: Some(pb::upload_model_request::Message::Header(header)) }
}

fn chunk(offset: usize, data: &[u8]) -> pb::UploadModelRequest {
    let chunk = pb::Chunk { offset: offset as u64, data: data.to_vec() };
    pb::UploadModelRequest { message: Some(pb::upload_model_request::Message::Chunk(chunk)) }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

async fn upload(channel: &Channel, messages: Vec<pb::UploadModelRequest>) -> Result<pb::Model, Status> {
    let response = ModelServiceClient::new(channel.clone()).upload_model(tokio_stream::iter(messages)).await;
    response.map(tonic::Response::into_inner)
}

async fn model(channel: &Channel, bytes: &[u8], signature: &str) -> Result<pb::Model, Status> {
    let half = bytes.len() / 2;
    let messages =
        vec![header(&sha256(bytes), bytes.len(), signature), chunk(0, &bytes[..half]), chunk(half, &bytes[half..])];
    upload(channel, messages).await
}

fn digits(count: usize) -> Vec<pb::Case> {
    let mut cases = data::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mnist_test.npz")).unwrap();
    cases.truncate(count);
    cases.into_iter().map(case_to_pb).collect()
}

async fn suite(channel: &Channel, cases: Vec<pb::Case>) -> Result<pb::Suite, Status> {
    use pb::upload_suite_request::Message;
    let message = |message| pb::UploadSuiteRequest { message: Some(message) };
    let mut messages = vec![message(Message::Header(pb::UploadSuiteHeader::default()))];
    messages.extend(cases.chunks(100).map(|c| message(Message::Cases(pb::CaseBatch { cases: c.to_vec() }))));
    let response = SuiteServiceClient::new(channel.clone()).upload_suite(tokio_stream::iter(messages)).await;
    response.map(tonic::Response::into_inner)
}

fn spec(model: &str, suite: &str, checks: &[&str]) -> pb::JobSpec {
    let check = |spec: &&str| pb::Check { spec: (*spec).to_owned(), ..pb::Check::default() };
    pb::JobSpec {
        subject: Some(pb::Subject { subject: Some(pb::subject::Subject::Model(model.to_owned())) }),
        suite: suite.to_owned(),
        checks: checks.iter().map(check).collect(),
        ..pb::JobSpec::default()
    }
}

async fn create(channel: &Channel, spec: pb::JobSpec, request_id: &str) -> Result<pb::Job, Status> {
    let request = pb::CreateJobRequest { spec: Some(spec), request_id: request_id.to_owned(), validate_only: false };
    JobServiceClient::new(channel.clone()).create_job(request).await.map(tonic::Response::into_inner)
}

/// Verdicts after a token, until done or until `most` have come; the last token; whether done came.
async fn follow(channel: &Channel, job: &str, token: &str, most: usize) -> (Vec<pb::Verdict>, String, bool) {
    let request = pb::StreamResultsRequest { name: job.to_owned(), resume_token: token.to_owned() };
    let mut stream = JobServiceClient::new(channel.clone()).stream_results(request).await.unwrap().into_inner();
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
fn sorted(mut verdicts: Vec<pb::Verdict>) -> Vec<String> {
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

fn fields(status: &Status) -> Vec<String> {
    match error_from_status(status) {
        assay::Error::Invalid(violations) => violations.into_iter().map(|v| v.field).collect(),
        other => vec![format!("{other:?}")],
    }
}

const CHECKS: [&str; 3] = ["clean", "gaussian_noise", "motion_blur"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_slots_and_a_killed_server_lose_and_repeat_nothing() {
    let (calm, rough) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let count = 600;
    let expected = {
        let server = Server::start(calm.path(), "2");
        let channel = server.channel().await;
        let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(count)).await.unwrap());
        let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap();
        let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
        assert!(done);
        sorted(verdicts)
    };
    assert_eq!(expected.len(), count * 11);

    let mut server = Server::start(rough.path(), "3");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(count)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "once").await.unwrap();
    let (mut verdicts, mut token, _) = follow(&channel, &job.name, "", 300).await;
    let slots = server.slots();
    assert!(!slots.is_empty());
    slots.iter().for_each(|slot| kill(Pid::from_raw(*slot), Signal::SIGKILL).unwrap());
    let (more, next, done) = follow(&channel, &job.name, &token, 600).await;
    assert!(!done, "the job ended before the server could be killed");
    verdicts.extend(more);
    token = next;
    server.kill();

    let server = Server::start(rough.path(), "2");
    let channel = server.channel().await;
    // A client that never heard the answer asks again and gets the same job.
    assert_eq!(create(&channel, spec(&model.name, &suite.name, &CHECKS), "once").await.unwrap().name, job.name);
    let (rest, token, done) = follow(&channel, &job.name, &token, usize::MAX).await;
    assert!(done);
    verdicts.extend(rest);
    assert_eq!(sorted(verdicts), expected);
    // After the end there is nothing but the end.
    let (rest, _, done) = follow(&channel, &job.name, &token, usize::MAX).await;
    assert!(done && rest.is_empty());
    let job = JobServiceClient::new(channel).get_job(pb::GetJobRequest { name: job.name }).await.unwrap().into_inner();
    assert_eq!(job.state(), pb::JobState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_models_are_refused_by_field_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let refused = async |messages, field: &str, code| {
        let status = upload(&channel, messages).await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (code, vec![field.to_owned()]), "{}", status.message());
    };
    let (hash, size) = (sha256(MODEL), MODEL.len());
    refused(vec![chunk(0, MODEL)], "header", Code::InvalidArgument).await;
    refused(vec![header(&hash, 0, "")], "header.size_bytes", Code::InvalidArgument).await;
    refused(vec![header("../etc", size, "")], "header.sha256", Code::InvalidArgument).await;
    refused(vec![header(&hash, size, ""), chunk(0, &MODEL[..100])], "header.size_bytes", Code::InvalidArgument).await;
    refused(vec![header(&hash, size, ""), chunk(7, MODEL)], "chunk.offset", Code::InvalidArgument).await;
    refused(vec![header(&hash, 10, ""), chunk(0, MODEL)], "chunk.data", Code::InvalidArgument).await;
    refused(vec![header(&sha256(b"x"), size, ""), chunk(0, MODEL)], "header.sha256", Code::InvalidArgument).await;
    let huge = upload(&channel, vec![header(&hash, 1 << 50, "")]).await.unwrap_err();
    assert_eq!(huge.code(), Code::ResourceExhausted);
    assert!(huge.message().contains("model_bytes"), "{}", huge.message());
    for bytes in [b"rubbish".to_vec(), MODEL[..size / 2].to_vec()] {
        let status = model(&channel, &bytes, "").await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["model".to_owned()]));
    }
    let status = model(&channel, MODEL, "input: {range: [2, 1]}").await.unwrap_err();
    assert_eq!(fields(&status), ["signature.input(input).range"]);
    let list = ModelServiceClient::new(channel.clone()).list_models(pb::ListModelsRequest::default()).await.unwrap();
    assert!(list.into_inner().models.is_empty());
    let files = |name: &str| walk(&folder.path().join(name));
    assert_eq!((files("blobs"), files("staging")), (0, 0));
}

/// Files below a folder.
fn walk(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_suites_and_jobs_are_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let changed = |change: fn(&mut Vec<pb::Case>)| {
        let mut cases = digits(3);
        change(&mut cases);
        cases
    };
    let bomb = |cases: &mut Vec<pb::Case>| {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\0\0\0\0".to_vec();
        png.extend([0; 4]);
        cases[1].inputs = [("x".to_owned(), pb::Value { value: Some(pb::value::Value::Image(png)) })].into();
    };
    for (cases, field) in [
        (Vec::new(), "cases"),
        (changed(|c| c[2].id = "0".to_owned()), "cases[2].id"),
        (changed(|c| c[1].inputs.clear()), "cases[1].inputs"),
        (changed(|c| tensor(&mut c[1]).data.truncate(5)), "cases[1].inputs.x.data"),
        (changed(|c| tensor(&mut c[1]).data_type = 99), "cases[1].inputs.x.data_type"),
        (changed(bomb), "cases[1].inputs.x"),
    ] {
        let status = suite(&channel, cases).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{}",
            status.message()
        );
    }
    assert_eq!(walk(&folder.path().join("blobs")), 0);

    let model = model(&channel, MODEL, "input: {range: [0, 1]}").await.unwrap().name;
    let good = suite(&channel, digits(3)).await.unwrap().name;
    let float = |value: f32| {
        move |c: &mut Vec<pb::Case>| {
            for case in c {
                let tensor = tensor(case);
                (tensor.data_type, tensor.data) = (pb::DataType::Float32.into(), value.to_le_bytes().repeat(784));
            }
        }
    };
    let mut odd = digits(3);
    float(f32::NAN)(&mut odd);
    let mut bright = digits(3);
    float(1.5)(&mut bright);
    let mut far = digits(3);
    far[1].expected = Some(pb::case::Expected::Class(pb::ClassAnswer {
        label: Some(pb::Class { class: Some(pb::class::Class::Index(10)) }),
        acceptable: Vec::new(),
    }));
    for (cases, field, words) in [
        (odd, "suite.inputs.input", "not finite"),
        (bright, "suite.inputs.input", "the value 1.5, the range is [0, 1]"),
        (far, "suite.expected", "case 1 has the label 10, the model has classes 0 to 9"),
    ] {
        let name = suite(&channel, cases).await.unwrap().name;
        let status = create(&channel, spec(&model, &name, &["clean"]), "").await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![field.to_owned()]));
        assert!(status.message().contains(words), "{}", status.message());
    }
    for (checks, field, words) in [
        (&["gausian_noise"][..], "checks[0].name", "did you mean gaussian_noise?"),
        (&["clean", "motion_blur:severty=1"], "checks[1].params.severty", "did you mean severity?"),
        (&["clean", "clean"], "checks[1]", "given twice"),
        (&[], "checks", "there is none"),
    ] {
        let status = create(&channel, spec(&model, &good, checks), "").await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![field.to_owned()]));
        assert!(status.message().contains(words), "{}", status.message());
    }
    // The same key with another spec is no retry.
    create(&channel, spec(&model, &good, &["clean"]), "key").await.unwrap();
    let status = create(&channel, spec(&model, &good, &["motion_blur"]), "key").await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    let gone = spec("tenants/local/models/0123", &good, &["clean"]);
    assert_eq!(create(&channel, gone, "").await.unwrap_err().code(), Code::NotFound);
    let foreign = spec("tenants/other/models/0123", &good, &["clean"]);
    assert_eq!(create(&channel, foreign, "").await.unwrap_err().code(), Code::NotFound);
}

fn tensor(case: &mut pb::Case) -> &mut pb::Tensor {
    match case.inputs.get_mut("x").unwrap().value.as_mut().unwrap() {
        pb::value::Value::Tensor(tensor) => tensor,
        pb::value::Value::Image(_) => panic!("digits are tensors"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_its_streams_and_a_deleted_model_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(1500)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap();
    let mut models = ModelServiceClient::new(channel.clone());
    let delete = pb::DeleteModelRequest { name: model.name.clone() };
    let status = models.delete_model(delete.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{}", status.message());
    let mut jobs = JobServiceClient::new(channel.clone());
    let stream = tokio::spawn({
        let (channel, name) = (channel.clone(), job.name.clone());
        async move { follow(&channel, &name, "", usize::MAX).await }
    });
    let cancelled = jobs.cancel_job(pb::CancelJobRequest { name: job.name.clone() }).await.unwrap().into_inner();
    assert_eq!(cancelled.state(), pb::JobState::Cancelled);
    let (verdicts, _, done) = stream.await.unwrap();
    assert!(done && verdicts.len() < 1500 * 11);
    models.delete_model(delete).await.unwrap();
    let status = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    jobs.delete_job(pb::DeleteJobRequest { name: job.name.clone() }).await.unwrap();
    assert_eq!(jobs.get_job(pb::GetJobRequest { name: job.name }).await.unwrap_err().code(), Code::NotFound);
    SuiteServiceClient::new(channel).delete_suite(pb::DeleteSuiteRequest { name: suite.name }).await.unwrap();
    assert_eq!(walk(&folder.path().join("blobs")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_stream_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(1500)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap();
    // The slot is stopped, so that the job cannot end before the deadline.
    let begin = Instant::now();
    let mut request = Request::new(pb::StreamResultsRequest { name: job.name, resume_token: String::new() });
    request.set_timeout(Duration::from_millis(300));
    while server.slots().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.slots().iter().for_each(|slot| kill(Pid::from_raw(*slot), Signal::SIGSTOP).unwrap());
    let mut stream = JobServiceClient::new(channel).stream_results(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended by itself"),
            Err(status) => break status,
        }
    };
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_health_and_reflection_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let probes = catalog.list_probes(pb::ListProbesRequest::default()).await.unwrap().into_inner().probes;
    assert_eq!(
        probes.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["clean", "gaussian_noise", "jpeg_compression", "motion_blur"]
    );
    let noise = &probes[1];
    assert!(noise.parameters.as_ref().unwrap().fields.contains_key("properties") && noise.paper.contains("1903.12261"));
    let status = catalog.get_probe(pb::GetProbeRequest { name: "gausian_noise".to_owned() }).await.unwrap_err();
    assert!(status.code() == Code::NotFound && status.message().contains("did you mean gaussian_noise?"));
    let info = catalog.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    assert!(info.slots == 1 && info.limits.contains_key("model_bytes"));
    let health = tonic_health::pb::health_client::HealthClient::new(channel.clone())
        .check(tonic_health::pb::HealthCheckRequest { service: String::new() })
        .await
        .unwrap();
    assert_eq!(health.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    use tonic_reflection::pb::v1 as reflection;
    let request = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("assay.v1.JobService"), "{answer}");
}

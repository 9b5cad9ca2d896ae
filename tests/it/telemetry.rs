//! What a server says of itself: metrics, traces, log lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay::api::pb::model_service_client::ModelServiceClient;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server as Grpc;
use tonic::{Code, Request, Response, Status};

use crate::server::{MODEL, Server, create, digits, follow, model, spec, suite};

/// A collector that keeps the spans it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Begins to collect; the URL is for exporters.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(Grpc::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, url)
    }

    /// Spans of a name in one trace, in the order of their beginnings.
    fn spans(&self, trace: &str, name: &str) -> Vec<Span> {
        let all = self.0.lock().unwrap();
        let mut own: Vec<Span> = all.iter().filter(|s| hex(&s.trace_id) == trace && s.name == name).cloned().collect();
        own.sort_by_key(|span| span.start_time_unix_nano);
        own
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An attribute as text.
fn attribute(span: &Span, key: &str) -> String {
    let value = span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

/// Ends a server as its operator would.
async fn stop(server: &mut Server) {
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    for _ in 0..200 {
        if server.child.try_wait().unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server did not end");
}

/// Status line and body of a page of the console.
pub(crate) fn page(console: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(console).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// The value of a line of a scrape; `None` if it is not there.
pub(crate) fn value(scrape: &str, line: &str) -> Option<f64> {
    scrape.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')).map(|v| v.parse().unwrap())
}

/// Calls of a method that ended with a status.
fn calls(scrape: &str, method: &str, status: &str) -> Option<f64> {
    let labels = format!("rpc_system_name=\"grpc\",rpc_method=\"{method}\",rpc_response_status_code=\"{status}\"");
    value(scrape, &format!("rpc_server_call_duration_seconds_count{{{labels}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_shows_what_a_job_did() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), "1", "console = \"127.0.0.1:0\"");
    let console = server.console.clone().unwrap();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(page(&console, path), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    }
    assert!(page(&console, "/nothing").0.contains("404"));
    let before = page(&console, "/metrics").1;
    for (line, expected) in [
        ("assay_jobs{state=\"running\"}", 0.0),
        ("assay_jobs{state=\"succeeded\"}", 0.0),
        ("assay_queue_depth", 0.0),
        ("assay_lease_redeliveries_total", 0.0),
        ("assay_results_duplicates_total", 0.0),
        ("assay_worker_restarts_total{reason=\"signal\"}", 0.0),
        ("assay_model_queries_total", 0.0),
        ("assay_upload_bytes_total", 0.0),
    ] {
        assert_eq!(value(&before, line), Some(expected), "{line}\n{before}");
    }
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(40)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &["clean", "gaussian_noise"]), "").await.unwrap();
    let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
    assert!(done && verdicts.len() == 240);
    // A killed slot is counted when the next order meets it, and its shard comes again.
    server.slots().iter().for_each(|slot| kill(Pid::from_raw(*slot), Signal::SIGKILL).unwrap());
    let again = create(&channel, spec(&model.name, &suite.name, &["motion_blur:severity=1"]), "").await.unwrap();
    assert!(follow(&channel, &again.name, "", usize::MAX).await.2);
    let after = page(&console, "/metrics").1;
    let queries = value(&after, "assay_model_queries_total").unwrap();
    for (line, expected) in [
        ("assay_jobs{state=\"running\"}", 0.0),
        ("assay_jobs{state=\"succeeded\"}", 2.0),
        ("assay_queue_depth", 0.0),
        ("assay_lease_redeliveries_total", 1.0),
        ("assay_results_duplicates_total", 0.0),
        ("assay_worker_restarts_total{reason=\"signal\"}", 1.0),
        ("assay_case_duration_seconds_count{probe=\"clean\"}", 40.0),
        ("assay_case_duration_seconds_count{probe=\"gaussian_noise\"}", 40.0),
        ("assay_case_duration_seconds_count{probe=\"motion_blur\"}", 40.0),
    ] {
        assert_eq!(value(&after, line), Some(expected), "{line}\n{after}");
    }
    assert!(queries >= 240.0, "{queries}");
    let uploaded = value(&after, "assay_upload_bytes_total").unwrap();
    assert!(uploaded > MODEL.len() as f64 + 40.0 * 784.0, "{uploaded}");
    assert_eq!(calls(&after, "assay.v1.JobService/CreateJob", "OK"), Some(2.0), "{after}");
    assert_eq!(calls(&after, "assay.v1.JobService/StreamResults", "OK"), Some(2.0), "{after}");
    // Every family says what it is, and no label names a job, a case or a model.
    for line in after.lines().filter(|line| line.starts_with("# TYPE ")) {
        let family = line.split(' ').nth(2).unwrap();
        assert!(after.contains(&format!("# HELP {family} ")), "{family}");
    }
    assert!(!after.contains("tenants/"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_given_up_count_and_made_up_methods_share_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), "1", "console = \"127.0.0.1:0\"");
    let mut client = tonic::client::Grpc::new(server.channel().await);
    for path in ["/made.up/One", "/made.up/Two", "/assay.v1.JobService/Three"] {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = client.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    let mut models = ModelServiceClient::new(server.channel().await);
    let endless = models.upload_model(Request::new(tokio_stream::pending()));
    assert!(tokio::time::timeout(Duration::from_millis(100), endless).await.is_err());
    // The server learns of it when the connection tells, which on a busy machine takes its time.
    // Whether it hears of the call's end or of the stream's first, the call counts.
    let uploads = |scrape: &str, code: &str| calls(scrape, "assay.v1.ModelService/UploadModel", code);
    let counted = |scrape: &str| uploads(scrape, "CANCELLED").or(uploads(scrape, "INVALID_ARGUMENT"));
    let mut scrape = String::new();
    for _ in 0..100 {
        scrape = page(server.console.as_ref().unwrap(), "/metrics").1;
        if counted(&scrape).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(calls(&scrape, "_OTHER", "UNIMPLEMENTED"), Some(3.0), "{scrape}");
    assert_eq!(counted(&scrape), Some(1.0), "{scrape}");
    assert!(!scrape.contains("made.up") && !scrape.contains("Three"), "{scrape}");
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// The program, started within a trace.
fn traced(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01")).env("TRACESTATE", "vendor=note");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_one_trace_with_its_caller_even_over_a_restart() {
    let (collector, url) = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[telemetry]\notlp = \"{url}\"");
    let mut server = Server::configured(folder.path(), "1", &config);
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(1500)).await.unwrap());
    let submit = ["job", "submit", "--model", &model.name, "--suite", &suite.name, "--check", "motion_blur"];
    let output = traced(&[&submit[..], &["--server", &server.address]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let job = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let (some, token, done) = follow(&channel, &job, "", 200).await;
    assert!(!done, "the job ended before the server was stopped");
    drop(channel);
    stop(&mut server).await;
    let first = collector.spans(TRACE, "shard").len();
    let mut server = Server::configured(folder.path(), "2", &config);
    let (rest, _, done) = follow(&server.channel().await, &job, &token, usize::MAX).await;
    assert!(done && some.len() + rest.len() == 1500 * 5);
    stop(&mut server).await;

    let rpc = collector.spans(TRACE, "rpc");
    let created = rpc.iter().find(|s| attribute(s, "rpc.method") == "assay.v1.JobService/CreateJob").unwrap();
    assert_eq!((hex(&created.parent_span_id).as_str(), created.trace_state.as_str()), (CALLER, "vendor=note"));
    assert_eq!(attribute(created, "rpc.system.name"), "grpc");
    assert_eq!(attribute(created, "rpc.response.status_code"), "OK");
    let jobs = collector.spans(TRACE, "job");
    assert_eq!(jobs.len(), 1);
    assert_eq!((&jobs[0].parent_span_id, attribute(&jobs[0], "job")), (&created.span_id, job));
    let shards = collector.spans(TRACE, "shard");
    assert!(0 < first && first < shards.len(), "{first} of {} before the restart", shards.len());
    assert!(shards.iter().all(|shard| shard.parent_span_id == jobs[0].span_id));
    println!("caller {CALLER}\n  rpc {}\n    job {}", attribute(created, "rpc.method"), attribute(&jobs[0], "job"));
    for shard in &shards {
        let [first, cases, attempt] = ["first_case", "cases", "attempt"].map(|name| attribute(shard, name));
        println!("      shard first_case {first} cases {cases} attempt {attempt}");
    }
    // Each case once, but for shards that the first server gave back.
    let finished = shards.iter().filter(|s| s.attributes.iter().any(|a| a.key == "queries"));
    let mut cases: Vec<(u64, u64)> = finished
        .map(|s| {
            assert_eq!(attribute(s, "check"), "0");
            (attribute(s, "first_case").parse().unwrap(), attribute(s, "cases").parse().unwrap())
        })
        .collect();
    cases.sort_unstable();
    assert!(cases.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0) && cases.iter().map(|c| c.1).sum::<u64>() == 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_a_collector_for_every_command() {
    let (collector, url) = Collector::start().await;
    let run = async |parent: &str, url: &str| {
        let args = ["run", "--model", "tests/models/mnist_cnn.onnx", "--cases", "tests/data/mnist_test.npz"];
        let mut command = traced(&[&args[..], &["--check", "clean", "--limit", "20", "--slots", "1"]].concat());
        command.env("TRACEPARENT", parent).env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&format!("00-{TRACE}-{CALLER}-01"), &url).await;
    let (jobs, shards) = (collector.spans(TRACE, "job"), collector.spans(TRACE, "shard"));
    assert_eq!((jobs.len(), attribute(&jobs[0], "cases")), (1, "20".to_owned()));
    assert!(!shards.is_empty() && shards.iter().all(|shard| shard.parent_span_id == jobs[0].span_id));
    let rpc = collector.spans(TRACE, "rpc");
    let stream = rpc.iter().find(|s| attribute(s, "rpc.method") == "assay.v1.JobService/StreamResults").unwrap();
    assert!(stream.end_time_unix_nano > shards.last().unwrap().start_time_unix_nano, "it lasts until its last byte");
    let all = || collector.0.lock().unwrap().iter().filter(|s| s.name == "job").count();
    // A context that cannot be read begins a trace of its own; one that is not sampled sends nothing.
    run("nonsense", &url).await;
    assert_eq!((collector.spans(TRACE, "job").len(), all()), (1, 2));
    run(&format!("00-{TRACE}-{CALLER}-00"), &url).await;
    assert_eq!(all(), 2);
    // A collector that is not there harms nobody.
    run("", "http://127.0.0.1:1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_objects_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let engine = format!("sqlite:{}", folder.path().display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--listen", "127.0.0.1:0", "--engine", &engine, "--slots", "1", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let address = lines.find_map(|line| {
        assert_eq!(line["level"], "INFO");
        line["fields"]["message"].as_str().unwrap().strip_prefix("listening on ").map(str::to_owned)
    });
    let address = address.unwrap();
    let server = Server { child, address, console: None };
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(20)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &["clean"]), "").await.unwrap();
    assert!(follow(&channel, &job.name, "", usize::MAX).await.2);
    let uploaded = lines.next().unwrap();
    assert_eq!((&uploaded["target"], &uploaded["fields"]["resource"]), (&"assay::audit".into(), &model.name.into()));
    assert_eq!((&uploaded["fields"]["tenant"], &uploaded["fields"]["code"]), (&"local".into(), &"OK".into()));
    let ended = lines.find(|line| line["target"] != "assay::audit").unwrap();
    assert_eq!((&ended["fields"]["message"], &ended["fields"]["job"]), (&"a job ended".into(), &job.name.into()));
    assert_eq!((&ended["span"]["name"], &ended["span"]["check"]), (&"shard".into(), &0.into()));
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(lines.any(|line| line["fields"]["message"] == "stopping"));
}

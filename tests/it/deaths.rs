//! Models and cases that end their slots: each is named by its kind, and the rest goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::model_service_client::ModelServiceClient;
use prost::Message;
use tonic::Code;
use tract_onnx::pb as onnx;

use crate::inference::{infer, pictures, request};
use crate::server::{MODEL, Server, create, digits, follow, model, spec, suite};

/// A check that takes some tenths of a second a case, so that its slot can be hit in mid-work.
const LONG: &str = "pgd:steps=1000,eps=0.001";

/// Sends a signal to the slots of a server, again and again, until it is dropped. One that has just started is let be: it
/// would not have read its order.
struct Storm {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Storm {
    fn over(server: &Server, signal: Signal) -> Self {
        let (stop, id) = (Arc::new(AtomicBool::new(false)), server.child.id());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let slots = crate::server::children(id);
                for slot in slots.iter().filter(|slot| seen.contains(*slot)) {
                    // One that has just gone cannot be hit.
                    let _ = kill(Pid::from_raw(*slot), signal);
                }
                seen = slots;
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The reasons of a job's failed verdicts.
async fn reasons(server: &Server, job: &pb::Job) -> Vec<String> {
    let (verdicts, _, done) = follow(&server.channel().await, &job.name, "", usize::MAX).await;
    assert!(done);
    assert!(verdicts.iter().all(|v| v.outcome() == pb::Outcome::Failed), "{verdicts:?}");
    verdicts.into_iter().map(|v| v.reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slot_died_of_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let limits = "[limits]\nshard_seconds = 1\ncase_seconds = 1\nshard_failures = 1\n";
    let server = Server::configured(folder.path(), "1", limits);
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(2)).await.unwrap());
    for (signal, told) in
        [(Signal::SIGSTOP, "timeout: no answer within "), (Signal::SIGSEGV, "crash: signal 11 (SIGSEGV)")]
    {
        let job = create(&channel, spec(&model.name, &suite.name, &[LONG]), "").await.unwrap();
        let storm = Storm::over(&server, signal);
        let reasons = reasons(&server, &job).await;
        drop(storm);
        assert!(reasons.len() == 2 && reasons.iter().all(|reason| reason.starts_with(told)), "{reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_takes_too_much_memory_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let glutton = glutton(400_000_000);
    let small = Server::configured(folder.path(), "1", "[limits]\nslot_memory_bytes = 1500000000\n");
    let refused = model(&small.channel().await, &glutton, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let told = "the model ended its slot at inspection: out of memory: more than slot_memory_bytes = 1500000000";
    assert!(refused.message().contains(told), "{}", refused.message());
    // A modest one runs beside it.
    assert!(model(&small.channel().await, MODEL, "").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_ends_slot_after_slot_is_put_in_quarantine_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), "1", "[limits]\nmodel_deaths = 4\nshard_failures = 1\n");
    let channel = server.channel().await;
    let (bad, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(40)).await.unwrap());
    let good = model(&channel, MODEL, "output: {kind: logits}\ninput: {range: [0, 1]}").await.unwrap();
    let job = create(&channel, spec(&bad.name, &suite.name, &[LONG]), "").await.unwrap();
    let storm = Storm::over(&server, Signal::SIGSEGV);
    let reasons = reasons(&server, &job).await;
    drop(storm);
    let quarantined = reasons.iter().filter(|reason| reason.contains("is in quarantine: 4 slots died")).count();
    assert!(reasons.len() == 40 && quarantined >= 35, "{reasons:?}");
    let refused = create(&channel, spec(&bad.name, &suite.name, &["clean"]), "").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("crash: signal 11 (SIGSEGV)"), "{}", refused.message());
    let unserved = infer(&channel, request(&bad.name, &pictures(1), true)).await.unwrap_err();
    assert_eq!(unserved.code(), Code::FailedPrecondition);
    assert!(unserved.message().contains("is in quarantine"), "{}", unserved.message());
    infer(&channel, request(&good.name, &pictures(1), true)).await.unwrap();
    let run = async |model: &pb::Model| {
        let job = create(&channel, spec(&model.name, &suite.name, &["clean"]), "").await.unwrap();
        follow(&channel, &job.name, "", usize::MAX).await.0.iter().all(|v| v.outcome() != pb::Outcome::Failed)
    };
    assert!(run(&good).await);
    let mut models = ModelServiceClient::new(channel.clone());
    models.delete_model(pb::DeleteModelRequest { name: bad.name }).await.unwrap();
    assert!(run(&model(&channel, MODEL, "").await.unwrap()).await);
}

/// A network that adds the mean of so many zeros to its row.
fn glutton(zeros: i64) -> Vec<u8> {
    use onnx::tensor_proto::DataType;
    let shape = onnx::TensorProto {
        name: "shape".to_owned(),
        dims: vec![1],
        data_type: DataType::Int64 as i32,
        int64_data: vec![zeros],
        ..Default::default()
    };
    let node = |op: &str, input: &[&str], output: &str| onnx::NodeProto {
        op_type: op.to_owned(),
        name: output.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let value = |name: &str| {
        let fixed = |value| onnx::tensor_shape_proto::Dimension { value: Some(value), ..Default::default() };
        let dim = |n| fixed(onnx::tensor_shape_proto::dimension::Value::DimValue(n));
        let batch = fixed(onnx::tensor_shape_proto::dimension::Value::DimParam("N".to_owned()));
        let tensor = onnx::type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(onnx::TensorShapeProto { dim: vec![batch, dim(4)] }),
        };
        let kind = onnx::TypeProto { value: Some(onnx::type_proto::Value::TensorType(tensor)), ..Default::default() };
        onnx::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
    };
    let graph = onnx::GraphProto {
        name: "glutton".to_owned(),
        node: vec![
            node("ConstantOfShape", &["shape"], "zeros"),
            node("ReduceMean", &["zeros"], "mean"),
            node("Add", &["x", "mean"], "y"),
        ],
        initializer: vec![shape],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset = onnx::OperatorSetIdProto { domain: String::new(), version: 13 };
    onnx::ModelProto { ir_version: 7, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
        .encode_to_vec()
}

//! A server of the Open Inference Protocol that is not assay's: a linear model that can be in many moods.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use assay::lab::remote::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use assay::lab::remote::inference::model_infer_response::InferOutputTensor;
use assay::lab::remote::inference::model_metadata_response::TensorMetadata;
use assay::lab::remote::inference::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Features of a row, and classes: the score of a class is the sum of its four features.
pub(crate) const FEATURES: usize = 16;
pub(crate) const CLASSES: usize = 4;

/// How it answers inferences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// It is away for so many requests.
    Stumbling(usize),
    /// It is away until then.
    Away(Instant),
    Slow(Duration),
    /// It keeps the deadline itself, as servers of tonic do.
    Expired,
    Refusing,
    FewerRows,
    FewerScores,
    Doubles,
    Half,
    Nan,
    Short,
    OtherName,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Fake(Arc<State>);

struct State {
    pub(crate) address: SocketAddr,
    mood: Mutex<Mood>,
    /// Inferences and rows of them that came, refused ones too.
    requests: AtomicUsize,
    rows: AtomicUsize,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, requests, rows) = (Mutex::new(Mood::Well), AtomicUsize::new(0), AtomicUsize::new(0));
        let fake = Self(Arc::new(State { address, mood, requests, rows }));
        let service = GrpcInferenceServiceServer::new(fake.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
        fake
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn rows(&self) -> usize {
        self.0.rows.load(Ordering::Relaxed)
    }
}

/// The scores of a row.
pub(crate) fn scores(row: &[f32]) -> Vec<f32> {
    row.chunks(FEATURES / CLASSES).map(|part| part.iter().sum()).collect()
}

/// Whether it answers now.
fn here(mood: &mut Mood) -> Result<(), Status> {
    match mood {
        Mood::Stumbling(left) if *left > 0 => *left -= 1,
        Mood::Away(until) if Instant::now() < *until => {}
        Mood::Expired => return Err(Status::cancelled("Timeout expired")),
        Mood::Refusing => return Err(Status::invalid_argument("no such model\nno such line")),
        _ => return Ok(()),
    }
    Err(Status::unavailable("not now"))
}

#[tonic::async_trait]
impl GrpcInferenceService for Fake {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(ServerLiveResponse { live: true }.into())
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(ServerReadyResponse { ready: true }.into())
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(ServerMetadataResponse::default().into())
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        match request.get_ref().name.as_str() {
            "unknown" => Err(Status::not_found("there is no such model")),
            name => Ok(ModelReadyResponse { ready: name != "asleep" }.into()),
        }
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let tensor = |name: &str, datatype: &str, shape: &[i64]| TensorMetadata {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
        };
        let datatype = if request.get_ref().name == "half" { "FP16" } else { "FP32" };
        let response = ModelMetadataResponse {
            name: request.into_inner().name,
            inputs: vec![tensor("x", datatype, &[-1, FEATURES as i64])],
            outputs: vec![tensor("label", "INT64", &[-1]), tensor("scores", "FP32", &[-1, CLASSES as i64])],
            ..ModelMetadataResponse::default()
        };
        Ok(response.into())
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let request = request.into_inner();
        let values: Vec<f32> =
            request.raw_input_contents[0].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.rows.fetch_add(values.len() / FEATURES, Ordering::Relaxed);
        let mood = {
            let mut mood = self.0.mood.lock().unwrap();
            here(&mut mood)?;
            *mood
        };
        if let Mood::Slow(time) = mood {
            tokio::time::sleep(time).await;
        }
        assert_eq!((request.inputs[0].name.as_str(), request.inputs[0].datatype.as_str()), ("x", "FP32"));
        assert_eq!(request.inputs[0].shape, [(values.len() / FEATURES) as i64, FEATURES as i64]);
        assert_eq!(request.outputs.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["scores"]);
        let mut found: Vec<Vec<f32>> = values.chunks(FEATURES).map(scores).collect();
        match mood {
            Mood::FewerRows => drop(found.pop()),
            Mood::FewerScores => found.iter_mut().for_each(|row| row.truncate(CLASSES - 1)),
            Mood::Nan => found[0][1] = f32::NAN,
            _ => {}
        }
        let shape = vec![found.len() as i64, found.first().map_or(CLASSES, Vec::len) as i64];
        let mut flat = found.concat();
        let (name, mut datatype) = (if mood == Mood::OtherName { "other" } else { "scores" }, "FP32");
        let mut contents = InferTensorContents::default();
        match mood {
            Mood::Short => drop(flat.pop()),
            Mood::Half => datatype = "FP16",
            Mood::Doubles => datatype = "FP64",
            _ => {}
        }
        match mood {
            Mood::Doubles => contents.fp64_contents = flat.iter().map(|v| f64::from(*v)).collect(),
            _ => contents.fp32_contents = flat,
        }
        let output = InferOutputTensor {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape,
            contents: Some(contents),
            ..InferOutputTensor::default()
        };
        Ok(ModelInferResponse { outputs: vec![output], ..ModelInferResponse::default() }.into())
    }
}

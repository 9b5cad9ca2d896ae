//! assay as a server of the Open Inference Protocol, and as the remote of another assay.

use assay::engine::Model;
use assay::lab::remote::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use assay::lab::remote::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use assay::lab::remote::inference::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelReadyRequest,
    ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
};
use assay::tensor::{Tensor, Tensors};
use ndarray::ArrayD;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cli::assay;
use crate::server::{MODEL, Server, fields, model};
use crate::tenants::{CASES, call, said, tokens};
use crate::tls::{Authority, here};

/// So many pictures.
pub(crate) fn pictures(count: usize) -> ArrayD<f32> {
    #[allow(clippy::cast_precision_loss)]
    ArrayD::from_shape_fn(vec![count, 1, 28, 28], |i| ((i[0] * 7 + i[2] * 3 + i[3]) % 11) as f32 / 10.0)
}

/// A request in raw or in typed contents.
pub(crate) fn request(name: &str, x: &ArrayD<f32>, raw: bool) -> ModelInferRequest {
    let values: Vec<f32> = x.iter().copied().collect();
    let contents = InferTensorContents { fp32_contents: values.clone(), ..InferTensorContents::default() };
    ModelInferRequest {
        model_name: name.to_owned(),
        id: "17".to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "FP32".to_owned(),
            shape: x.shape().iter().map(|n| i64::try_from(*n).unwrap()).collect(),
            contents: (!raw).then_some(contents),
            ..InferInputTensor::default()
        }],
        raw_input_contents: raw.then(|| values.iter().flat_map(|v| v.to_le_bytes()).collect()).into_iter().collect(),
        ..ModelInferRequest::default()
    }
}

pub(crate) async fn infer(channel: &Channel, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    let mut client = GrpcInferenceServiceClient::new(channel.clone());
    client.model_infer(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_client_can_query_a_model_of_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    // What the signature says of preprocessing is no part of the file.
    let signature = "input: {range: [0, 1], preprocess: [{normalize: {mean: 0.1, std: 0.3}}]}";
    let name = model(&channel, MODEL, signature).await.unwrap().name;
    let id = name.rsplit('/').next().unwrap().to_owned();
    let mut client = GrpcInferenceServiceClient::new(channel.clone());
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert_eq!(client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner().name, "assay");
    let ready = ModelReadyRequest { name: id.clone(), version: String::new() };
    assert!(client.model_ready(ready).await.unwrap().into_inner().ready);
    let asked = ModelMetadataRequest { name: name.clone(), version: String::new() };
    let metadata = client.model_metadata(asked).await.unwrap().into_inner();
    let [input, output] = [&metadata.inputs[0], &metadata.outputs[0]];
    assert_eq!(
        (input.name.as_str(), input.datatype.as_str(), input.shape.as_slice()),
        ("input", "FP32", &[-1, 1, 28, 28][..])
    );
    assert_eq!((output.name.as_str(), output.shape.as_slice()), ("logits", &[-1, 10][..]));

    let bare = Model::load(MODEL, "").unwrap();
    for (count, name) in [(1, &name), (3, &id), (40, &name)] {
        let x = pictures(count);
        let expected = bare.predict(&Tensors::from([("input".to_owned(), Tensor::F32(x.clone()))])).unwrap();
        let raw = infer(&channel, request(name, &x, true)).await.unwrap();
        assert_eq!((raw.id.as_str(), &raw.model_name), ("17", name));
        assert_eq!(raw.outputs[0].shape, [count as i64, 10]);
        assert_eq!(raw.raw_output_contents, [expected["logits"].to_bytes()]);
        let typed = infer(&channel, request(name, &x, false)).await.unwrap();
        assert!(typed.raw_output_contents.is_empty());
        assert_eq!(typed.outputs[0].contents.as_ref().unwrap().fp32_contents, expected["logits"].to_f32());
    }
    // One slot has answered all of them.
    assert!(server.slots().len() <= 2, "{:?}", server.slots());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_gets_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let name = model(&channel, MODEL, "").await.unwrap().name;
    let good = || request(&name, &pictures(2), true);
    let with = |change: &dyn Fn(&mut ModelInferRequest)| {
        let mut request = good();
        change(&mut request);
        request
    };
    for (request, field) in [
        (with(&|r| r.model_version = "2".to_owned()), "model_version"),
        (with(&|r| r.inputs[0].name = "pixels".to_owned()), "inputs.pixels"),
        (with(&|r| r.inputs.clear()), "raw_input_contents"),
        (
            with(&|r| {
                r.inputs.clear();
                r.raw_input_contents.clear();
            }),
            "inputs.input",
        ),
        (with(&|r| r.inputs[0].datatype = "FP16".to_owned()), "inputs[0].datatype"),
        (with(&|r| r.inputs[0].datatype = "INT32".to_owned()), "inputs.input.datatype"),
        (with(&|r| r.inputs[0].shape = vec![2, 28, 28]), "inputs.input.shape"),
        (with(&|r| r.inputs[0].shape = vec![2, 1, 14, 56]), "inputs.input.shape"),
        (with(&|r| r.inputs[0].shape = vec![-1, 1, 28, 28]), "inputs[0].shape"),
        (with(&|r| r.inputs[0].shape = vec![3, 1, 28, 28]), "inputs[0].data"),
        (
            with(&|r| {
                r.inputs[0].shape = vec![0, 1, 28, 28];
                r.raw_input_contents[0].clear();
            }),
            "inputs.input.shape",
        ),
        (with(&|r| r.inputs[0].contents = Some(InferTensorContents::default())), "inputs[0].contents"),
        (with(&|r| r.inputs.push(r.inputs[0].clone())), "raw_input_contents"),
        (
            with(&|r| {
                let name = "labels".to_owned();
                r.outputs = vec![InferRequestedOutputTensor { name, ..InferRequestedOutputTensor::default() }];
            }),
            "outputs[0].name",
        ),
    ] {
        let status = infer(&channel, request).await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![field.to_owned()]), "{status:?}");
    }
    for name in ["0123456789abcdef", "tenants/local/models/0123456789abcdef", "tenants/other/models/0123456789abcdef"] {
        let status = infer(&channel, with(&|r| r.model_name = name.to_owned())).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{name}");
    }
    infer(&channel, good()).await.unwrap();
}

/// Two servers, of which one knows the other's model over TLS, with a token: its verdicts are those on the file, byte for
/// byte, for both run it with the same engine.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_assay_has_the_same_verdicts_as_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ca, certificate, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
    Authority::new(&ca).issue(here(), &certificate, &key);
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let far = Server::configured(&at("far"), "1", &[tls, tokens()].concat());
    let there = |args: &[&str]| {
        let (server, ca) = (format!("https://{}", far.address), ca.to_str().unwrap().to_owned());
        said(&call(&server, "runner", &[args, &["--ca", &ca]].concat()))
    };
    let name = there(&["model", "push", crate::tenants::MODEL]);
    std::fs::write(at("far.token"), "runner\n").unwrap();
    let allow =
        |more: &str| format!("[remote]\nallow = [{{ at = \"{}\", {more} }}]\nrows_per_second = 1000000\n", far.address);
    let url = |scheme: &str| format!("{scheme}://{}/{name}", far.address);
    let checks = [
        "--check",
        "clean",
        "--check",
        "square:eps=0.1,query_budget=60",
        "--check",
        "gaussian_noise:severity=3",
        "--check",
        "rise:n_samples=40",
    ];
    let run = |server: &Server, model: &str| {
        let args = ["run", "--model", model, "--cases", CASES, "--limit", "24", "--output", "jsonl", "--seed", "3"];
        let server = ["--server", &server.address];
        let output = assay(&[&args[..], &checks, &server].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), crate::cli::stderr(&output))
    };
    let token = format!("token_file = \"{}\"", at("far.token").display());
    let ca = format!("ca = \"{}\"", ca.display());
    let near = Server::configured(&at("near"), "2", &allow(&format!("{token}, {ca}")));
    let (code, remote, words) = run(&near, &url("grpcs"));
    assert_eq!(code, Some(0), "{words}");
    let (_, file, _) = run(&near, crate::tenants::MODEL);
    assert_eq!(remote.lines().count(), 24 * 4 + 1);
    assert_eq!(remote, file);
    // Without its token, without its authority, or in the clear, the other server is not asked.
    let (_, _, words) = run(&near, &url("grpc"));
    assert!(words.contains("would pass in the clear"), "{words}");
    for (more, told) in [(&token, "cannot be reached"), (&ca, "no credentials")] {
        let server = Server::configured(&at("less"), "1", &allow(more));
        let (code, _, words) = run(&server, &url("grpcs"));
        assert!(code != Some(0) && words.contains(told), "{words}");
    }
}

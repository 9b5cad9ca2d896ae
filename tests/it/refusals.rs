//! What is wrong is refused, by field, at the earliest moment, and leaves nothing behind.

use assay::api::pb;
use assay::lab::remote::inference::ModelInferRequest;
use assay::lab::remote::inference::model_infer_request::InferInputTensor;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use prost::Message;
use tonic::Code;

use crate::inference::infer;
use crate::server::{MODEL, Server, chunk, create, digits, fields, header, model, sha256, spec, suite, upload, walk};

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

#[tokio::test(flavor = "multi_thread")]
async fn bad_suites_are_refused_by_field() {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn suites_that_do_not_fit_the_model_are_refused_when_the_job_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let model = model(&channel, MODEL, "input: {range: [0, 1]}").await.unwrap().name;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_jobs_are_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let model = model(&channel, MODEL, "").await.unwrap().name;
    let good = suite(&channel, digits(3)).await.unwrap().name;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_an_answer_and_a_wrong_configuration_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), "1", "[limits]\nqueued_shards = 20");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap().name, suite(&channel, digits(1000)).await.unwrap());
    let status = create(&channel, spec(&model, &suite.name, &["clean"]), "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("is over the limit queued_shards = 20"), "{}", status.message());
    let small = pb::JobSpec { limit: 10, ..spec(&model, &suite.name, &["clean"]) };
    create(&channel, small, "").await.unwrap();

    let config = folder.path().join("wrong.toml");
    std::fs::write(&config, "[limits]\nqueued_shard = 20").unwrap();
    let output = crate::cli::assay(&["serve", "--engine", "memory", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(crate::cli::stderr(&output).contains("unknown field `queued_shard`"), "{}", crate::cli::stderr(&output));
}

fn tensor(case: &mut pb::Case) -> &mut pb::Tensor {
    match case.inputs.get_mut("x").unwrap().value.as_mut().unwrap() {
        pb::value::Value::Tensor(tensor) => tensor,
        pb::value::Value::Image(_) => panic!("digits are tensors"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_limit_is_told_its_name_and_value() {
    let folder = tempfile::tempdir().unwrap();
    // Room for sixty digits, of the hundred that a message brings.
    let longest = 60 * digits(1)[0].encoded_len() as u64;
    let limits = format!("[limits]\ncase_queries = 100\njob_checks = 2\nmessage_bytes = {longest}\nsuite_cases = 50\n");
    let server = Server::configured(folder.path(), "1", &limits);
    let channel = server.channel().await;
    let (model, small) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(20)).await.unwrap());
    let told = |status: tonic::Status, limit: &str, value: u64| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let assay::Error::Exhausted { limit: named, value: found, .. } = assay::api::error_from_status(&status) else {
            panic!("{status:?}")
        };
        assert_eq!((named.as_str(), found), (limit, value));
    };
    let job = async |checks: &[&str]| create(&channel, spec(&model.name, &small.name, checks), "").await.unwrap_err();
    told(job(&["rise"]).await, "case_queries", 100);
    told(job(&["clean", "clean", "clean"]).await, "job_checks", 2);
    told(suite(&channel, digits(51)).await.unwrap_err(), "suite_cases", 50);
    told(suite(&channel, digits(100)).await.unwrap_err(), "message_bytes", longest);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_too_many_small_things_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let (channel, many) = (server.channel().await, (1 << 20) + 1);
    let told = |status: tonic::Status| match assay::api::error_from_status(&status) {
        assay::Error::Exhausted { limit, value, .. } => {
            assert_eq!((limit.as_str(), value), ("message_fields", 1 << 20))
        }
        other => panic!("{other}"),
    };
    let request = ModelInferRequest { inputs: vec![InferInputTensor::default(); many], ..ModelInferRequest::default() };
    told(infer(&channel, request).await.unwrap_err());
    let cases = pb::CaseBatch { cases: vec![pb::Case::default(); many] };
    let message = pb::UploadSuiteRequest { message: Some(pb::upload_suite_request::Message::Cases(cases)) };
    let mut suites = SuiteServiceClient::new(channel.clone());
    told(suites.upload_suite(tokio_stream::iter([message])).await.unwrap_err());
    let checks = vec![pb::Check::default(); many];
    told(create(&channel, pb::JobSpec { checks, ..pb::JobSpec::default() }, "").await.unwrap_err());
}

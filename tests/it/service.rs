//! The service over a real socket.

use std::time::{Duration, Instant};

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::catalog_service_client::CatalogServiceClient;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use tonic::{Code, Request};

use crate::server::{CHECKS, MODEL, Server, create, digits, follow, model, spec, suite, walk};

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
    let names: Vec<&str> = probes.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names[0], "clean");
    // Within a family in the order of the alphabet.
    assert!(probes.windows(2).all(|pair| pair[0].family != pair[1].family || pair[0].name < pair[1].name), "{names:?}");
    let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
    let (_, noise) = (at("motion_blur"), &probes[at("gaussian_noise")]);
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

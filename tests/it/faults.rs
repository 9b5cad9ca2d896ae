//! What is killed goes on where it was.

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;

use crate::server::{CHECKS, MODEL, Server, chunk, create, digits, follow, header, model, sha256, sorted, spec, suite};

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
async fn an_upload_that_broke_off_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "1");
    let mut models = ModelServiceClient::new(server.channel().await);
    let (hash, half) = (sha256(MODEL), MODEL.len() / 2);
    let mut begin = header(&hash, MODEL.len(), "");
    if let Some(pb::upload_model_request::Message::Header(header)) = &mut begin.message {
        header.resumable = true;
    }
    let kept = pb::GetUploadRequest { sha256: hash, size_bytes: MODEL.len() as u64 };
    let committed = async |models: &mut ModelServiceClient<_>| {
        models.get_upload(kept.clone()).await.unwrap().into_inner().committed_bytes
    };
    assert_eq!(committed(&mut models).await, 0);
    // A client that stalls in the middle, until its server is killed.
    let first = [begin.clone(), chunk(0, &MODEL[..half])];
    let stalled = tokio_stream::StreamExt::chain(tokio_stream::iter(first), tokio_stream::pending());
    let upload = tokio::spawn({
        let mut models = models.clone();
        async move { models.upload_model(stalled).await }
    });
    while committed(&mut models).await < half as u64 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.kill();
    assert!(upload.await.unwrap().is_err());

    let server = Server::start(folder.path(), "1");
    let mut models = ModelServiceClient::new(server.channel().await);
    assert_eq!(committed(&mut models).await, half as u64);
    let rest = [begin, chunk(half, &MODEL[half..])];
    let model = models.upload_model(tokio_stream::iter(rest)).await.unwrap().into_inner();
    assert_eq!((model.size_bytes, committed(&mut models).await), (MODEL.len() as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_sends_its_streams_elsewhere() {
    use tonic_types::StatusExt;
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(600)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap();
    let request = pb::StreamResultsRequest { name: job.name.clone(), resume_token: String::new() };
    let mut stream = JobServiceClient::new(channel).stream_results(request).await.unwrap().into_inner();
    let (mut token, mut count, mut asked) = (String::new(), 0, false);
    let end = loop {
        match stream.message().await {
            Err(status) => break status,
            Ok(None) => panic!("a stream never ends well before `Done`"),
            Ok(Some(response)) => {
                token = response.resume_token;
                if let Some(pb::stream_results_response::Message::Verdicts(batch)) = response.message {
                    count += batch.verdicts.len();
                }
                if !asked && count > 0 {
                    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGTERM).unwrap();
                    asked = true;
                }
            }
        }
    };
    assert_eq!(end.code(), tonic::Code::Unavailable, "{end:?}");
    assert!(end.get_details_retry_info().is_some() && end.message().starts_with("the server stops"), "{end:?}");
    assert!(server.child.wait().unwrap().success());
    let server = Server::start(folder.path(), "2");
    let (rest, _, done) = follow(&server.channel().await, &job.name, &token, usize::MAX).await;
    assert!(done && count < 600 * 11);
    assert_eq!(count + rest.len(), 600 * 11);
}

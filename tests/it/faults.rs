//! What is killed goes on where it was.

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::job_service_client::JobServiceClient;

use crate::server::{CHECKS, MODEL, Server, create, digits, follow, model, sorted, spec, suite};

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

//! Several clients on one job.

use std::time::Duration;

use assay::api::pb;
use pb::job_service_client::JobServiceClient;
use pb::stream_results_response::Message;
use prost::Message as _;
use tonic::transport::Channel;

use crate::server::{CHECKS, MODEL, Server, create, digits, model, spec, suite};

/// The verdicts and the end of a stream as bytes, each with its token. Progress tells the pace of a stream of its own.
async fn read(channel: Channel, job: String, token: String, pause: Duration, most: usize) -> Vec<(String, Vec<u8>)> {
    let request = pb::StreamResultsRequest { name: job, resume_token: token };
    let mut stream = JobServiceClient::new(channel).stream_results(request).await.unwrap().into_inner();
    let mut read = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        if let Some(Message::Verdicts(_) | Message::Done(_)) = response.message {
            read.push((response.resume_token.clone(), response.encode_to_vec()));
            tokio::time::sleep(pause).await;
        }
        if read.len() == most {
            break;
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_different_tokens_get_the_same_bytes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let mut cases = digits(400);
    for (i, case) in cases.iter_mut().enumerate() {
        let tag = |text: &str| pb::Tag { tag: Some(pb::tag::Tag::Text(text.to_owned())) };
        case.tags = [("half", ["a", "b"][i % 2]), ("light", ["day", "night"][i / 7 % 2])]
            .map(|(name, text)| (name.to_owned(), tag(text)))
            .into();
    }
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, cases).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &CHECKS), "").await.unwrap().name;
    let first = read(channel.clone(), job.clone(), String::new(), Duration::ZERO, 5).await;
    // While the job runs: from the beginning twice, once slowly, and from three places in between, over connections of
    // their own.
    let tokens = [String::new(), String::new(), first[0].0.clone(), first[2].0.clone(), first[4].0.clone()];
    let mut clients = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let pause = Duration::from_millis(if i == 1 { 20 } else { 0 });
        clients.push(tokio::spawn(read(server.channel().await, job.clone(), token.clone(), pause, usize::MAX)));
    }
    let running = JobServiceClient::new(channel.clone()).get_job(pb::GetJobRequest { name: job.clone() }).await;
    assert_eq!(running.unwrap().into_inner().state(), pb::JobState::Running, "the job ended before anyone could join");
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await.unwrap());
    }
    assert_eq!(all[0].len(), 3 * 16 + 1);
    assert!(all[0].starts_with(&first) && all[0] == all[1]);
    for (from, read) in [1, 3, 5].into_iter().zip(&all[2..]) {
        assert!(all[0][from..] == **read, "from message {from}");
    }
    // Afterwards too.
    assert!(read(channel, job, String::new(), Duration::ZERO, usize::MAX).await == all[0]);
    let batch = pb::StreamResultsResponse::decode(&*all[0][0].1).unwrap();
    let Some(Message::Verdicts(batch)) = batch.message else { panic!("no verdicts") };
    assert!(batch.verdicts.iter().all(|verdict| batch.tags[&verdict.case_index].tags.len() == 2));
}

//! Tokens of pages and of streams: those of another call, cut ones, and no tokens at all.

use assay::api::pb;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::drive;
use crate::server::{MODEL, Server, create, digits, fields, follow, model, spec, suite};
use crate::soak::rounds;

/// A text in place of every token that the service gives, each in its call.
async fn token(channel: &Channel, job: &str, bytes: &[u8]) -> bool {
    let page_token = String::from_utf8_lossy(bytes).into_owned();
    let (resume_token, name, page_size) = (page_token.clone(), job.to_owned(), 1);
    let models = pb::ListModelsRequest { page_size, page_token: page_token.clone() };
    let models = ModelServiceClient::new(channel.clone()).list_models(models).await.map(drop);
    let suites = pb::ListSuitesRequest { page_size, page_token: page_token.clone() };
    let suites = SuiteServiceClient::new(channel.clone()).list_suites(suites).await.map(drop);
    let mut jobs = JobServiceClient::new(channel.clone());
    let request = pb::ListJobsRequest { page_size, page_token: page_token.clone() };
    let listed = jobs.list_jobs(request).await.map(drop);
    let request = pb::ListResultsRequest { name: name.clone(), page_size, page_token };
    let results = jobs.list_results(request).await.map(drop);
    let stream = match jobs.stream_results(pb::StreamResultsRequest { name, resume_token }).await {
        // The job is done, so a stream ends, wherever it begins.
        Ok(stream) => {
            let mut stream = stream.into_inner();
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                }
            }
        }
        Err(status) => Err(status),
    };
    let answers = [models, suites, listed, results, stream];
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    refused.for_each(|status| assert!(is_of_the_token(status), "{status:?}"));
    answers.iter().any(Result::is_ok)
}

fn is_of_the_token(status: &Status) -> bool {
    status.code() == Code::InvalidArgument && fields(status).iter().all(|f| f == "page_token" || f == "resume_token")
}

#[test]
fn tokens() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let channel = runtime.block_on(server.channel());
    let (job, samples) = runtime.block_on(async {
        let model = model(&channel, MODEL, "").await.unwrap();
        let suite = suite(&channel, digits(3)).await.unwrap();
        let job = create(&channel, spec(&model.name, &suite.name, &["clean"]), "").await.unwrap();
        let (_, last, done) = follow(&channel, &job.name, "", usize::MAX).await;
        assert!(done);
        let key = |kind: &str, name: &str| format!("{kind}/local/{}", name.rsplit('/').next().unwrap());
        (job.name.clone(), [key("model", &model.name), key("suite", &suite.name), key("job", &job.name), last])
    });
    let samples = samples.map(String::into_bytes).into();
    drive("token", samples, rounds(200, 10_000), |bytes| runtime.block_on(token(&channel, &job, bytes)));
}

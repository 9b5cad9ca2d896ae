//! JobService.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::convert::{
    BACKGROUND, artifact_to_pb, check_from_pb, job_to_pb, progress_to_pb, state_to_pb, tags_to_pb, tensor_to_pb,
    verdict_to_pb,
};
use super::pb::{self, job_service_server::JobService};
use super::report::report_to_pb;
use super::{CHUNK_MAX, Reply, Service, tenant};
use crate::error::{Error, Result};
use crate::lab::records::JobSpec;
use crate::lab::{Lab, Message, PoolName, Progress, Replayed};

/// A stream says at least this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Messages that may wait for a slow client.
const AHEAD: usize = 4;

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = std::result::Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl JobService for Service {
    type StreamResultsStream = Stream<pb::StreamResultsResponse>;
    type ReadArtifactStream = Stream<pb::ReadArtifactResponse>;

    async fn create_job(&self, request: Request<pb::CreateJobRequest>) -> Reply<pb::Job> {
        let tenant = tenant(&request)?;
        let pb::CreateJobRequest { spec, request_id, validate_only } = request.into_inner();
        let spec = spec_from_pb(spec.ok_or_else(|| Error::invalid("spec", "is missing"))?)?;
        let created = self.lab.create_job(&tenant, spec, &request_id, validate_only).await?;
        let estimate = validate_only.then(|| pb::Estimate {
            queries: created.queries,
            seconds: created.seconds / f64::from(self.slots.max(1)),
            memory_bytes: created.memory,
        });
        let progress =
            Progress { shards_total: created.shards, verdicts_total: created.verdicts, ..Progress::default() };
        Ok(pb::Job { estimate, ..job_to_pb(&created.job, Some(&progress)) }.into())
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Reply<pb::Job> {
        let job = self.lab.job(&tenant(&request)?, &request.get_ref().name).await?;
        let progress = self.lab.progress(&job).await?;
        Ok(job_to_pb(&job, Some(&progress)).into())
    }

    async fn list_jobs(&self, request: Request<pb::ListJobsRequest>) -> Reply<pb::ListJobsResponse> {
        let (tenant, page) = (tenant(&request)?, request.get_ref());
        let (jobs, next_page_token) = self.lab.jobs(&tenant, page.page_size, &page.page_token).await?;
        Ok(pb::ListJobsResponse { jobs: jobs.iter().map(|j| job_to_pb(j, None)).collect(), next_page_token }.into())
    }

    async fn cancel_job(&self, request: Request<pb::CancelJobRequest>) -> Reply<pb::Job> {
        let job = self.lab.cancel_job(&tenant(&request)?, &request.get_ref().name).await?;
        let progress = self.lab.progress(&job).await?;
        Ok(job_to_pb(&job, Some(&progress)).into())
    }

    async fn delete_job(&self, request: Request<pb::DeleteJobRequest>) -> Reply<()> {
        self.lab.delete_job(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(().into())
    }

    async fn stream_results(&self, request: Request<pb::StreamResultsRequest>) -> Reply<Self::StreamResultsStream> {
        let (tenant, deadline) = (tenant(&request)?, deadline(request.metadata()));
        let pb::StreamResultsRequest { name, resume_token } = request.into_inner();
        let after = place("resume_token", &resume_token)?;
        let job = self.lab.job(&tenant, &name).await?;
        let (checks, seed) = (job.checks()?, job.spec.seed);
        let mut follow = self.lab.follow(&tenant, &name, after).await?;
        let held = self.lab.stream_place(&tenant)?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(feed(self.lab.clone(), sender, deadline, async move |sender| {
            let _held = held;
            while let Some((place, message)) = follow.next(HEARTBEAT).await? {
                use pb::stream_results_response::Message as Out;
                let message = match message {
                    Message::Verdicts { verdicts, tags } => {
                        let verdicts = verdicts.into_iter().map(|v| verdict_to_pb(v, &checks, seed)).collect();
                        let tags = tags.into_iter().map(|(case, tags)| (case, pb::Tags { tags: tags_to_pb(tags) }));
                        Out::Verdicts(pb::VerdictBatch { verdicts, tags: tags.collect() })
                    }
                    Message::Progress(progress) => Out::Progress(progress_to_pb(&progress)),
                    Message::Heartbeat => Out::Heartbeat(pb::Heartbeat {}),
                    Message::Done { state, counts } => Out::Done(pb::Done { state: state_to_pb(state).into(), counts }),
                };
                let response = pb::StreamResultsResponse { resume_token: place.to_string(), message: Some(message) };
                if sender.send(Ok(response)).await.is_err() {
                    break;
                }
            }
            Ok(())
        }));
        Ok(stream(receiver))
    }

    async fn list_results(&self, request: Request<pb::ListResultsRequest>) -> Reply<pb::ListResultsResponse> {
        let (tenant, page) = (tenant(&request)?, request.get_ref());
        let limit = match page.page_size {
            0 => 1000,
            n => usize::try_from(n).map_err(|_| Error::invalid("page_size", format!("{n} was found")))?.min(10_000),
        };
        let after = place("page_token", &page.page_token)?;
        let job = self.lab.job(&tenant, &page.name).await?;
        let checks = job.checks()?;
        let (verdicts, next) = self.lab.results(&tenant, &page.name, after, limit).await?;
        let verdicts = verdicts.into_iter().map(|v| verdict_to_pb(v, &checks, job.spec.seed)).collect();
        let next_page_token = if next == 0 { String::new() } else { next.to_string() };
        Ok(pb::ListResultsResponse { verdicts, next_page_token }.into())
    }

    async fn replay_case(&self, request: Request<pb::ReplayCaseRequest>) -> Reply<pb::ReplayCaseResponse> {
        let tenant = tenant(&request)?;
        let _held = self.lab.stream_place(&tenant)?;
        let pb::ReplayCaseRequest { name, case_id, check, include_arrays } = request.into_inner();
        let Replayed { job, checks, verdicts, arrays, identical } =
            self.lab.replay(&tenant, &name, &case_id, &check).await?;
        let verdicts = verdicts.into_iter().map(|v| verdict_to_pb(v, &checks, job.spec.seed)).collect();
        let arrays = arrays.iter().filter(|_| include_arrays).map(|(n, a)| (n.clone(), tensor_to_pb(a))).collect();
        Ok(pb::ReplayCaseResponse { verdicts, identical, arrays }.into())
    }

    async fn get_report(&self, request: Request<pb::GetReportRequest>) -> Reply<pb::Report> {
        let (_, report) = self.lab.report(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(report_to_pb(report).into())
    }

    async fn list_artifacts(&self, request: Request<pb::ListArtifactsRequest>) -> Reply<pb::ListArtifactsResponse> {
        let name = &request.get_ref().name;
        let (job, artifacts) = self.lab.artifacts(&tenant(&request)?, name).await?;
        Ok(pb::ListArtifactsResponse { artifacts: artifacts.iter().map(|a| artifact_to_pb(&job, a)).collect() }.into())
    }

    async fn read_artifact(&self, request: Request<pb::ReadArtifactRequest>) -> Reply<Self::ReadArtifactStream> {
        let (tenant, deadline) = (tenant(&request)?, deadline(request.metadata()));
        let pb::ReadArtifactRequest { name, offset } = request.into_inner();
        let Some((job, id)) = name.split_once("/artifacts/") else {
            return Err(
                Error::invalid("name", format!("`{name}` was found, `.../jobs/ID/artifacts/ID` was expected")).into()
            );
        };
        let artifact = self.lab.artifact(&tenant, job, id).await?;
        if offset > artifact.size {
            let message = format!("{offset} was found, the artifact has {} bytes", artifact.size);
            return Err(Error::invalid("offset", message).into());
        }
        let (lab, held) = (self.lab.clone(), self.lab.stream_place(&tenant)?);
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(feed(self.lab.clone(), sender, deadline, async move |sender| {
            let _held = held;
            let mut offset = offset;
            while offset < artifact.size {
                let data = lab.read_artifact(&artifact, offset, CHUNK_MAX).await?;
                if data.is_empty() {
                    return Err(Error::DataLoss("the artifact's blob is torn".to_owned()));
                }
                offset += data.len() as u64;
                if sender.send(Ok(pb::ReadArtifactResponse { data })).await.is_err() {
                    break;
                }
            }
            Ok(())
        }));
        Ok(stream(receiver))
    }
}

fn stream<T: Send + 'static>(receiver: mpsc::Receiver<std::result::Result<T, Status>>) -> tonic::Response<Stream<T>> {
    tonic::Response::new(Box::pin(ReceiverStream::new(receiver)))
}

/// Runs `work`, which fills a stream, until it ends, the client goes, the server is stopped, or the call's deadline passes.
async fn feed<T: Send + 'static>(
    lab: Lab,
    sender: mpsc::Sender<std::result::Result<T, Status>>,
    deadline: Option<Instant>,
    work: impl AsyncFnOnce(&mpsc::Sender<std::result::Result<T, Status>>) -> Result<()>,
) {
    let late = async {
        match deadline {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = work(&sender) => result,
        () = sender.closed() => return,
        () = late => Err(Error::Deadline("the stream".to_owned())),
        () = lab.closed() => {
            Err(Error::Unavailable("the server stops; go on elsewhere, after what came last".to_owned()))
        }
    };
    if let Err(error) = result {
        // A client that has gone needs no error.
        let _ = sender.send(Err(error.into())).await;
    }
}

/// When the call's `grpc-timeout` passes; tonic itself ends only calls that have not begun to answer.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (amount, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = amount.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount.checked_mul(3600)?),
        "M" => Duration::from_secs(amount.checked_mul(60)?),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

fn place(field: &str, token: &str) -> Result<u64> {
    if token.is_empty() {
        return Ok(0);
    }
    token.parse().map_err(|_| Error::invalid(field, format!("`{token}` is not one that this service gave")))
}

fn spec_from_pb(spec: pb::JobSpec) -> Result<JobSpec> {
    let Some(pb::subject::Subject::Model(model)) = spec.subject.and_then(|s| s.subject) else {
        return Err(Error::invalid("subject", "is missing; the name of a model was expected"));
    };
    if let Some(role) = spec.references.keys().find(|role| *role != BACKGROUND) {
        let message = "is no role of a reference suite; `background` is the only one";
        return Err(Error::invalid(format!("references.{role}"), message));
    }
    Ok(JobSpec {
        model,
        suite: spec.suite,
        checks: spec.checks.into_iter().map(check_from_pb).collect::<Result<_>>()?,
        gates: spec.gates,
        seed: spec.seed,
        limit: spec.limit,
        artifacts: spec.artifacts,
        baseline: spec.baseline,
        background: spec.references.get(BACKGROUND).cloned().unwrap_or_default(),
        pool: if spec.pool.is_empty() { PoolName::default() } else { spec.pool.parse()? },
    })
}

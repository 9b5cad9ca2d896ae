//! Many callers at once: tenants share the slots, slow and lost readers cost nothing, and the server stays small.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use assay::api::{error_from_status, pb};
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use pb::suite_service_client::SuiteServiceClient;
use tonic::codegen::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::server::{MODEL, Server, chunk, digits, header, sha256, spec};
use crate::soak::rounds;

/// A caller with a token, which is the tenant's name.
#[derive(Clone)]
struct Caller {
    channel: Channel,
    tenant: String,
}

impl tonic::service::Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.tenant).parse().unwrap());
        Ok(request)
    }
}

impl Caller {
    fn jobs(&self) -> JobServiceClient<InterceptedService<Channel, Self>> {
        JobServiceClient::with_interceptor(self.channel.clone(), self.clone())
    }

    /// The model and a suite of so many digits.
    async fn upload(&self, cases: usize) -> (String, String) {
        use pb::upload_suite_request::Message;
        let mut models = ModelServiceClient::with_interceptor(self.channel.clone(), self.clone());
        let model = vec![header(&sha256(MODEL), MODEL.len(), ""), chunk(0, MODEL)];
        let model = models.upload_model(tokio_stream::iter(model)).await.unwrap().into_inner();
        let mut suites = SuiteServiceClient::with_interceptor(self.channel.clone(), self.clone());
        let message = |message| pb::UploadSuiteRequest { message: Some(message) };
        let header = message(Message::Header(pb::UploadSuiteHeader::default()));
        let mut messages = vec![header];
        let batches = digits(cases).chunks(100).map(<[_]>::to_vec).collect::<Vec<_>>();
        messages.extend(batches.into_iter().map(|cases| message(Message::Cases(pb::CaseBatch { cases }))));
        let suite = suites.upload_suite(tokio_stream::iter(messages)).await.unwrap().into_inner();
        (model.name, suite.name)
    }

    /// A job of its own seed, since verdicts of the same are copied and take no time.
    async fn submit(&self, (model, suite): &(String, String), check: &str, seed: u64) -> Result<String, Status> {
        let spec = pb::JobSpec { seed, ..spec(model, suite, &[check]) };
        let request = pb::CreateJobRequest { spec: Some(spec), ..Default::default() };
        self.jobs().create_job(request).await.map(|job| job.into_inner().name)
    }

    /// Verdicts of all of the tenant's jobs so far.
    async fn verdicts(&self, jobs: &[String]) -> u64 {
        let mut sum = 0;
        for name in jobs {
            let job = self.jobs().get_job(pb::GetJobRequest { name: name.clone() }).await.unwrap().into_inner();
            sum += job.progress.map_or(0, |progress| progress.verdicts_done);
        }
        sum
    }
}

fn name(tenant: usize) -> String {
    format!("tenant-{tenant:02}")
}

/// The configuration of a server for so many tenants.
fn tokens(count: usize) -> String {
    let token = |tenant| {
        let name = name(tenant);
        let digest = sha256(name.as_bytes());
        format!("[[auth.token]]\nname = \"{name}\"\ntenant = \"{name}\"\nrole = \"runner\"\nsha256 = \"{digest}\"\n")
    };
    (0..count).map(token).collect()
}

/// A caller of each tenant.
async fn callers(server: &Server, count: usize) -> Vec<Caller> {
    let mut callers = Vec::new();
    for tenant in 0..count {
        callers.push(Caller { channel: server.channel().await, tenant: name(tenant) });
    }
    callers
}

/// A server for so many tenants, and a caller of each.
async fn tenants(folder: &std::path::Path, count: usize, more: &str) -> (Server, Vec<Caller>) {
    let server = Server::configured(folder, "2", &format!("{more}\n{}", tokens(count)));
    let callers = callers(&server, count).await;
    (server, callers)
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_the_workers_of_a_cluster() {
    let Some(nats) = crate::nats::Nats::start(1) else { return };
    let (count, folder) = (3, tempfile::tempdir().unwrap());
    let server = Server::on(&nats.url(), folder.path(), "0", &tokens(count));
    let callers = callers(&server, count).await;
    let mut jobs = Vec::new();
    for (i, caller) in callers.iter().enumerate() {
        let uploaded = caller.upload(400).await;
        let mut own = Vec::new();
        for seed in 0..if i == 0 { 18 } else { 6 } {
            own.push(caller.submit(&uploaded, "rise:n_samples=30", seed).await.unwrap());
        }
        jobs.push(own);
    }
    // Processes that know nothing of one another.
    let workers: Vec<_> = (0..2).map(|_| crate::cluster::Worker::start(&nats, folder.path(), "default")).collect();
    let count_all = async || {
        let mut all = Vec::new();
        for (caller, jobs) in callers.iter().zip(&jobs) {
            all.push(caller.verdicts(jobs).await);
        }
        all
    };
    while count_all().await.contains(&0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = count_all().await;
    tokio::time::sleep(Duration::from_secs(rounds(12, 60) as u64)).await;
    let served: Vec<u64> = count_all().await.iter().zip(&before).map(|(after, before)| after - before).collect();
    drop(workers);
    let mean = served.iter().sum::<u64>() as f64 / count as f64;
    let widest = served.iter().map(|n| (*n as f64 / mean - 1.0).abs()).fold(0.0, f64::max);
    println!("verdicts of each tenant {served:?}: {:.1} % from the mean at most", 100.0 * widest);
    assert!(mean > 100.0 && widest < 0.25, "{served:?}");
}

/// Resident memory of a process, in MiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_the_slots_whoever_came_first_with_most() {
    let (count, each) = (rounds(4, 20), rounds(6, 50));
    let folder = tempfile::tempdir().unwrap();
    let (server, callers) = tenants(folder.path(), count, "").await;
    let mut jobs: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    // The first tenant comes first, and with three times as much as the others.
    for (i, caller) in callers.iter().enumerate() {
        let uploaded = caller.upload(400).await;
        for seed in 0..each * if i == 0 { 3 } else { 1 } {
            let job = caller.submit(&uploaded, "rise:n_samples=30", seed as u64).await.unwrap();
            jobs.entry(i).or_default().push(job);
        }
    }
    let count_all = async || {
        let mut all = Vec::new();
        for (caller, jobs) in callers.iter().zip(jobs.values()) {
            all.push(caller.verdicts(jobs).await);
        }
        all
    };
    let small = resident(server.child.id());
    // A pool of readers that never read, and of readers that leave.
    let streams = rounds(40, 200);
    let mut slow = Vec::new();
    for i in 0..streams {
        let (caller, jobs) = (&callers[i % count], &jobs[&(i % count)]);
        let request = pb::StreamResultsRequest { name: jobs[i % jobs.len()].clone(), resume_token: String::new() };
        let stream = caller.jobs().stream_results(request).await.unwrap().into_inner();
        if i % 2 == 0 {
            slow.push(stream);
        }
    }
    let (before, begin) = (count_all().await, Instant::now());
    let mut times = Vec::new();
    let lasts = Duration::from_secs(rounds(16, 120) as u64);
    while begin.elapsed() < lasts {
        let asked = Instant::now();
        callers[times.len() % count].verdicts(&jobs[&(times.len() % count)][..1]).await;
        times.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (after, large) = (count_all().await, resident(server.child.id()));
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    let served: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let mean = served.iter().sum::<u64>() as f64 / count as f64;
    let widest = served.iter().map(|n| (*n as f64 / mean - 1.0).abs()).fold(0.0, f64::max);
    println!(
        "{count} tenants, {} jobs, {streams} streams: verdicts in {} s {served:?}, {:.1} % from the mean at most; \
         GetJob p99 {} ms of {}; memory {small} to {large} MiB",
        jobs.values().map(Vec::len).sum::<usize>(),
        lasts.as_secs(),
        widest * 100.0,
        p99.as_millis(),
        times.len(),
    );
    assert!(widest < 0.2, "{served:?}");
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    assert!(large < small + 200, "{small} to {large} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_finds_its_job_where_there_is_no_room_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, callers) = tenants(folder.path(), 1, "[quota]\nrunning_jobs = 1\n").await;
    let (caller, uploaded) = (&callers[0], callers[0].upload(400).await);
    let create = async |request_id: &str| {
        let spec = Some(spec(&uploaded.0, &uploaded.1, &["rise"]));
        let request = pb::CreateJobRequest { spec, request_id: request_id.to_owned(), validate_only: false };
        caller.jobs().create_job(request).await.map(|job| job.into_inner().name)
    };
    let first = create("once").await.unwrap();
    assert_eq!(create("twice").await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(create("once").await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_with_a_time_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[quota]\nrunning_jobs = 2\nstreams = 3\nsuites = 1\n[tenant.tenant-01]\nrunning_jobs = 1\n";
    let (_server, callers) = tenants(folder.path(), 2, more).await;
    let again = |status: &Status| {
        use tonic_types::StatusExt;
        status.get_details_retry_info().and_then(|info| info.retry_delay).is_some()
    };
    let expect = |status: &Status, limit: &str, most: u64| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        match error_from_status(status) {
            assay::Error::Exhausted { limit: named, value, .. } => assert_eq!((named.as_str(), value), (limit, most)),
            other => panic!("{other:?}"),
        }
    };
    for (caller, most) in callers.iter().zip([2, 1]) {
        let uploaded = caller.upload(400).await;
        let mut jobs = Vec::new();
        for seed in 0..most {
            jobs.push(caller.submit(&uploaded, "rise", seed).await.unwrap());
        }
        let refused = caller.submit(&uploaded, "rise", most).await.unwrap_err();
        expect(&refused, "tenant_running_jobs", most);
        assert!(again(&refused));
        // Streams of both tenants: each has three of its own.
        let open = async || {
            let request = pb::StreamResultsRequest { name: jobs[0].clone(), resume_token: String::new() };
            caller.jobs().stream_results(request).await.map(tonic::Response::into_inner)
        };
        let streams = [open().await.unwrap(), open().await.unwrap(), open().await.unwrap()];
        let refused = open().await.unwrap_err();
        expect(&refused, "tenant_streams", 3);
        assert!(again(&refused));
        drop(streams);
        let begin = Instant::now();
        while open().await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "places of dropped streams are not free again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

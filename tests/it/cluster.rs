//! A service on NATS: servers and workers in processes of their own, that come, go and are killed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::job_service_client::JobServiceClient;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cli::assay;
use crate::nats::Nats;
use crate::server::{MODEL, Server, create, digits, follow, model, spec, suite};

/// Workers that are killed are no fault of the model or the cases, and are noticed soon.
const LIMITS: &str = "[limits]\nmodel_deaths = 1000000\nshard_failures = 1000000\nlease_seconds = 3\n";

fn config(nats: &Nats) -> String {
    format!("{LIMITS}[nats]\nreplicas = {}\n", nats.nodes.len())
}

/// A worker in a process of its own.
pub(crate) struct Worker(Child);

impl Worker {
    pub(crate) fn start(nats: &Nats, folder: &Path, pools: &str) -> Self {
        let file = folder.join("worker.toml");
        std::fs::write(&file, config(nats)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["worker", "--engine", &nats.url(), "--slots", "1", "--pool", pools, "--config"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("working for ")), "the worker did not start");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// Ends it as an orchestrator does; how long that took.
    fn drain(mut self) -> Duration {
        let begin = Instant::now();
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
        begin.elapsed()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server for these servers, once they elected their leaders.
fn server(nats: &Nats, folder: &Path) -> Server {
    Server::on(&nats.url(), folder, "0", &config(nats))
}

const CHECKS: [&str; 5] =
    ["clean", "gaussian_noise:severity=[1,3,5]", "pgd:steps=5", "square:query_budget=30", "saliency"];

/// A job of pictures under all kinds of checks, of so many cases.
async fn order(channel: &Channel, cases: usize, pool: &str) -> pb::JobSpec {
    let model = model(channel, MODEL, "").await.unwrap().name;
    let suite = suite(channel, digits(cases)).await.unwrap().name;
    pb::JobSpec { pool: pool.to_owned(), ..spec(&model, &suite, &CHECKS) }
}

async fn job(channel: &Channel, cases: usize, pool: &str) -> pb::Job {
    create(channel, order(channel, cases, pool).await, "").await.unwrap()
}

fn jsonl(server: &Server, job: &str) -> Vec<u8> {
    let output = assay(&["job", "watch", job, "--output", "jsonl", "--server", &format!("http://{}", server.address)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What one machine makes of the same job.
async fn embedded(cases: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let job = job(&server.channel().await, cases, "").await;
    tokio::task::block_in_place(|| jsonl(&server, &job.name))
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_join_and_leave_in_mid_job_and_it_ends_as_on_one_machine() {
    let Some(nats) = Nats::start(1) else { return };
    let expected = embedded(48).await;
    let folder = tempfile::tempdir().unwrap();
    let server = server(&nats, folder.path());
    let channel = server.channel().await;
    let first = Worker::start(&nats, folder.path(), "default");
    let job = job(&channel, 48, "").await;
    // The first has begun; the second comes, and the first goes.
    follow(&channel, &job.name, "", 1).await;
    let second = Worker::start(&nats, folder.path(), "default");
    let took = first.drain();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let printed = tokio::task::block_in_place(|| jsonl(&server, &job.name));
    assert!(printed == expected, "the verdicts differ from those of one machine");
    // A second server shows the same.
    let other = tempfile::tempdir().unwrap();
    let other = self::server(&nats, other.path());
    assert!(tokio::task::block_in_place(|| jsonl(&other, &job.name)) == expected);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_to_the_pool_that_it_asks_for() {
    let Some(nats) = Nats::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = server(&nats, folder.path());
    let channel = server.channel().await;
    let _usual = Worker::start(&nats, folder.path(), "default");
    let waits = job(&channel, 4, "big-memory").await;
    let goes = job(&channel, 4, "").await;
    assert!(follow(&channel, &goes.name, "", usize::MAX).await.2);
    let get = pb::GetJobRequest { name: waits.name.clone() };
    let waiting = JobServiceClient::new(channel.clone()).get_job(get).await.unwrap().into_inner();
    assert_eq!(waiting.progress.unwrap().shards_done, 0, "nobody of its pool is there");
    assert_eq!(waiting.spec.unwrap().pool, "big-memory");
    let _large = Worker::start(&nats, folder.path(), "gpu-like,big-memory");
    assert!(follow(&channel, &waits.name, "", usize::MAX).await.2);
    let refused = create(&channel, pb::JobSpec { pool: "Big Memory".to_owned(), ..goes.spec.unwrap() }, "").await;
    assert!(refused.unwrap_err().message().contains("pool"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_is_let_go_of_by_workers_elsewhere() {
    let Some(nats) = Nats::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = server(&nats, folder.path());
    let channel = server.channel().await;
    let _worker = Worker::start(&nats, folder.path(), "default");
    let (model, suite) =
        (model(&channel, MODEL, "").await.unwrap().name, suite(&channel, digits(64)).await.unwrap().name);
    // One shard takes longer than the test.
    let long = create(&channel, spec(&model, &suite, &["square:query_budget=100000"]), "").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cancel = pb::CancelJobRequest { name: long.name };
    JobServiceClient::new(channel.clone()).cancel_job(cancel).await.unwrap();
    let begin = Instant::now();
    let next = create(&channel, spec(&model, &suite, &["clean"]), "").await.unwrap();
    assert!(follow(&channel, &next.name, "", usize::MAX).await.2);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// What was counted of jobs that ended while others were killed.
#[derive(Debug, Default)]
struct Count {
    jobs: usize,
    verdicts: usize,
    doubled: usize,
    differing: usize,
}

/// Takes jobs one after the other from creation to deletion, until told that it is over: whenever a blow falls, one runs.
async fn live(server: &Server, expected: &[u8], over: &AtomicBool, count: &mut Count) {
    let channel = server.channel().await;
    let spec = order(&channel, CASES, "").await;
    while !over.load(Ordering::Relaxed) {
        // A request that is made again while the cluster elects a leader gives the same job.
        let id = count.jobs.to_string();
        let job = insist(async || create(&channel, spec.clone(), &id).await).await;
        let (mut verdicts, mut token, mut done) = (Vec::new(), String::new(), false);
        while !done {
            let (some, next, ended) = follow(&channel, &job.name, &token, usize::MAX).await;
            verdicts.extend(some);
            (token, done) = (next, ended);
        }
        let all = verdicts.len();
        let places: HashSet<_> =
            verdicts.into_iter().map(|v| (v.case_index, v.check_index, format!("{:?}", v.params))).collect();
        let printed = tokio::task::block_in_place(|| jsonl(server, &job.name));
        count.jobs += 1;
        count.verdicts += places.len();
        count.doubled += all - places.len();
        count.differing += usize::from(printed != expected);
        // Or its verdicts would be copied into the next.
        let delete = pb::DeleteJobRequest { name: job.name };
        insist(async || JobServiceClient::new(channel.clone()).delete_job(delete.clone()).await).await;
    }
}

/// Makes a call until the cluster behind the server answers.
async fn insist<T>(call: impl AsyncFn() -> Result<T, Status>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(status) => panic!("{status}"),
        }
    }
}

const CASES: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_a_cluster_gives_every_verdict_once() {
    if !crate::soak::is_on() {
        return println!("skipped: nodes and workers are killed for two minutes; ASSAY_SOAK=1 runs this");
    }
    let Some(mut nats) = Nats::start(3) else { return };
    let seed = std::env::var("ASSAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let expected = embedded(CASES).await;
    let folder = tempfile::tempdir().unwrap();
    let server = server(&nats, folder.path());
    let mut workers: Vec<_> = (0..4).map(|_| Worker::start(&nats, folder.path(), "default")).collect();
    let (over, mut count, begin) = (AtomicBool::new(false), Count::default(), Instant::now());
    let (mut nodes, mut killed) = (0, 0);
    let killer = async {
        while begin.elapsed() < Duration::from_secs(120) {
            tokio::time::sleep(Duration::from_millis(2000 + u64::from(random.next_u32() % 3000))).await;
            let at = random.next_u32() as usize;
            tokio::task::block_in_place(|| {
                if random.next_u32() % 3 == 0 {
                    // One at a time: two of three are what a cluster can be without none of.
                    nats.nodes[at % 3].kill();
                    std::thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 2000)));
                    nats.nodes[at % 3].start();
                    nodes += 1;
                } else {
                    drop(workers.swap_remove(at % workers.len()));
                    workers.push(Worker::start(&nats, folder.path(), "default"));
                    killed += 1;
                }
            });
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(killer, live(&server, &expected, &over, &mut count));
    println!(
        "ASSAY_SEED={seed}: {nodes} nodes and {killed} workers killed in {:?}; {count:?}; {} bytes of JSONL each",
        begin.elapsed(),
        expected.len()
    );
    assert!(count.jobs > 0 && count.verdicts == count.jobs * CASES * (CHECKS.len() + 2), "{count:?}");
    assert_eq!((count.doubled, count.differing), (0, 0));
}

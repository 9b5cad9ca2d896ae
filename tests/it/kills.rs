//! A server and its slots killed at random, again and again, over jobs of all kinds: no job that was accepted is lost, none
//! of its lines stands twice, and what comes of it is, to the byte, what comes of it in peace.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay::api::pb;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::job_service_client::JobServiceClient;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::Notify;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::server::{MODEL, Server, create, digits, model, spec, suite};
use crate::soak::rounds;

/// The deaths that are dealt out here are no fault of the model or the cases.
const CONFIG: &str = "[limits]\nmodel_deaths = 1000000\nshard_failures = 1000000\n";

/// A job that is run again and again, with what it needs.
struct Order {
    onnx: Vec<u8>,
    cases: Vec<pb::Case>,
    checks: &'static [&'static str],
    gates: &'static [&'static str],
    background: bool,
    seed: u64,
}

impl Order {
    fn spec(&self, model: &str, suite: &str) -> pb::JobSpec {
        let gates = self.gates.iter().map(|gate| (*gate).to_owned()).collect();
        // The rows stand for one another, where a check wants some.
        let references = [("background".to_owned(), suite.to_owned())];
        let references = if self.background { references.into() } else { [].into() };
        pb::JobSpec { gates, references, seed: self.seed, ..spec(model, suite, self.checks) }
    }
}

/// Pictures under clean, corruption, attack by gradient and by score, and explanation; rows under audits.
fn orders(seeds: u64) -> Vec<Order> {
    let forest = crate::zoo::zoo().into_iter().find(|specimen| specimen.name == "sk_forest").unwrap().onnx;
    let pictures = |seed| Order {
        onnx: MODEL.to_vec(),
        cases: digits(16),
        checks: &["clean", "gaussian_noise:severity=[1,3,5]", "pgd:steps=5", "square:query_budget=30", "saliency"],
        gates: &["clean.accuracy >= 0.5", "pgd.robust_accuracy >= 0.1"],
        background: false,
        seed,
    };
    let rows = |seed| Order {
        onnx: forest.clone(),
        cases: crate::reuse::rows(60),
        checks: &["clean", "permutation_importance", "global_shap:target=0"],
        gates: &["clean.accuracy >= 0.1"],
        background: true,
        seed,
    };
    (0..seeds).flat_map(|seed| [pictures(seed), rows(seed)]).collect()
}

/// When a blow falls: after some time, or just after the client has begun or seen something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Anytime,
    Upload,
    Create,
    /// A line of the log has just come; its shard may not be acknowledged yet.
    Append,
    End,
}

const MOMENTS: [Moment; 5] = [Moment::Anytime, Moment::Upload, Moment::Create, Moment::Append, Moment::End];

impl Moment {
    /// How long after it the blow falls, at most.
    fn spread(self, job: Duration) -> Duration {
        Duration::from_millis(match self {
            Self::Anytime => return job,
            Self::Upload => 100,
            Self::Create => 20,
            Self::Append | Self::End => 4,
        })
    }
}

/// Where the server is now, and what its client is at.
#[derive(Default)]
struct World {
    address: Mutex<String>,
    moments: [Notify; 5],
    over: AtomicBool,
}

impl World {
    fn say(&self, moment: Moment) {
        self.moments[moment as usize].notify_waiters();
    }

    /// Does something until it succeeds: a call that a kill broke is made again, on the server that came after.
    async fn insist<T>(&self, mut call: impl AsyncFnMut(Channel) -> Result<T, Status>) -> Result<T, Status> {
        loop {
            let address = format!("http://{}", self.address.lock().unwrap());
            if let Ok(channel) = Channel::from_shared(address).unwrap().connect().await {
                match call(channel).await {
                    Err(status) if broken(&status) => {}
                    answer => return answer,
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Whether a kill, not the server, gave this answer.
fn broken(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => true,
        Code::Internal => {
            status.message().contains("h2 protocol error") || status.message().contains("starting a slot")
        }
        Code::InvalidArgument => status.message().contains("ended its slot at inspection"),
        _ => false,
    }
}

/// What was counted.
#[derive(Debug, Default)]
struct Count {
    accepted: usize,
    complete: usize,
    lost: usize,
    doubled_keys: u64,
    missing_keys: u64,
    doubled_verdicts: usize,
    differing: usize,
}

/// Takes a job from its upload to its deletion, whatever happens to the server meanwhile.
async fn live(world: &World, folder: &Path, order: &Order, id: &str, expected: &[u8], count: &mut Count) {
    world.say(Moment::Upload);
    let model = world.insist(async |c| model(&c, &order.onnx, "").await).await.unwrap().name;
    world.say(Moment::Upload);
    let suite = world.insist(async |c| suite(&c, order.cases.clone()).await).await.unwrap().name;
    let spec = order.spec(&model, &suite);
    world.say(Moment::Create);
    let job = world.insist(async |c| create(&c, spec.clone(), id).await).await.unwrap();
    count.accepted += 1;
    let (mut verdicts, mut token) = (Vec::new(), String::new());
    let end = world.insist(async |c| listen(world, &c, &job.name, &mut token, &mut verdicts).await).await;
    if end.is_err_and(|status| status.code() == Code::NotFound) {
        count.lost += 1;
        return;
    }
    let again = world.insist(async |c| create(&c, spec.clone(), id).await).await.unwrap();
    count.lost += usize::from(again.name != job.name);
    let places: HashSet<_> =
        verdicts.iter().map(|v| (v.case_index, v.check_index, format!("{:?}", v.params))).collect();
    count.doubled_verdicts += verdicts.len() - places.len();
    let shards = job.progress.unwrap().shards_total;
    let (rows, keys) = keys(folder, &job.name);
    count.doubled_keys += rows - keys;
    count.missing_keys += (shards + 1).abs_diff(keys);
    count.differing += usize::from(jsonl(world, &job.name).await != expected);
    let deleted = async |c| {
        let request = pb::DeleteJobRequest { name: job.name.clone() };
        JobServiceClient::new(c).delete_job(request).await
    };
    // Gone, or its verdicts would be copied into the next job of the same order.
    assert!(world.insist(deleted).await.map_or_else(|status| status.code() == Code::NotFound, |_| true));
    count.complete += 1;
}

/// Reads a job's stream from a token to its end.
async fn listen(
    world: &World,
    channel: &Channel,
    job: &str,
    token: &mut String,
    verdicts: &mut Vec<pb::Verdict>,
) -> Result<(), Status> {
    let request = pb::StreamResultsRequest { name: job.to_owned(), resume_token: token.clone() };
    let mut stream = JobServiceClient::new(channel.clone()).stream_results(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        *token = response.resume_token;
        match response.message.unwrap() {
            pb::stream_results_response::Message::Verdicts(batch) => {
                world.say(Moment::Append);
                verdicts.extend(batch.verdicts);
            }
            pb::stream_results_response::Message::Done(_) => {
                world.say(Moment::End);
                return Ok(());
            }
            _ => {}
        }
    }
    Err(Status::unavailable("the stream ended before its job"))
}

/// Rows and keys of a job in the log, as the database has them.
fn keys(folder: &Path, job: &str) -> (u64, u64) {
    let database =
        rusqlite::Connection::open_with_flags(folder.join("assay.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let query = "SELECT count(*), count(DISTINCT key) FROM log WHERE job = ?1";
    database.unwrap().query_row(query, [job], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// What the command line prints of a job.
async fn jsonl(world: &World, job: &str) -> Vec<u8> {
    loop {
        let server = format!("http://{}", world.address.lock().unwrap());
        let args = ["job", "watch", job, "--output", "jsonl", "--server", &server];
        let output = tokio::task::block_in_place(|| crate::cli::assay(&args));
        // Gates that held or not are both an end; a server that went is none.
        if output.status.code().is_some_and(|code| code < 2) {
            return output.stdout;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What each order gives in peace, and how long one takes.
async fn calm(orders: &[Order]) -> (Vec<Vec<u8>>, Duration) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), "2", CONFIG);
    let world = World { address: Mutex::new(server.address.clone()), ..World::default() };
    let mut expected = Vec::new();
    let begun = Instant::now();
    for (i, order) in orders.iter().enumerate() {
        let channel = server.channel().await;
        let model = model(&channel, &order.onnx, "").await.unwrap().name;
        let suite = suite(&channel, order.cases.clone()).await.unwrap().name;
        let job = create(&channel, order.spec(&model, &suite), &i.to_string()).await.unwrap();
        expected.push(jsonl(&world, &job.name).await);
    }
    (expected, begun.elapsed() / u32::try_from(orders.len()).unwrap())
}

/// Kills the server or one of its slots at a random moment; what was killed.
async fn strike(
    world: &World,
    server: &mut Server,
    folder: &Path,
    random: &mut ChaCha8Rng,
    job: Duration,
) -> (Moment, &'static str) {
    let moment = MOMENTS[random.next_u32() as usize % MOMENTS.len()];
    if moment != Moment::Anytime {
        // A moment that does not come is as good as any other.
        let _ = tokio::time::timeout(job * 2, world.moments[moment as usize].notified()).await;
    }
    let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
    tokio::time::sleep(moment.spread(job).mul_f64(share)).await;
    let (slots, coin) = (server.slots(), random.next_u32());
    let slot = slots.get((coin >> 1) as usize % slots.len().max(1)).filter(|_| coin & 1 == 0);
    if let Some(slot) = slot {
        // One that has just ended by itself cannot be killed any more.
        let _ = kill(Pid::from_raw(*slot), Signal::SIGKILL);
        return (moment, "slot");
    }
    tokio::task::block_in_place(|| {
        server.kill();
        *server = Server::configured(folder, "2", CONFIG);
    });
    world.address.lock().unwrap().clone_from(&server.address);
    (moment, "server")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_nothing_is_lost_and_nothing_comes_twice() {
    let points = rounds(30, 1000);
    let seed = std::env::var("ASSAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6);
    println!("ASSAY_SEED={seed}, {points} points");
    let (folder, mut random) = (tempfile::tempdir().unwrap(), ChaCha8Rng::seed_from_u64(seed));
    let orders = orders(rounds(2, 6) as u64);
    let (expected, job) = calm(&orders).await;
    assert!(expected.iter().all(|jsonl| jsonl.len() > 1000));
    let mut server = Server::configured(folder.path(), "2", CONFIG);
    let world = World { address: Mutex::new(server.address.clone()), ..World::default() };
    let (mut count, mut blows) = (Count::default(), BTreeMap::<_, usize>::new());
    let client = async {
        for number in 0.. {
            let at = number % orders.len();
            live(&world, folder.path(), &orders[at], &format!("request-{number}"), &expected[at], &mut count).await;
            if world.over.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let killer = async {
        for _ in 0..points {
            *blows.entry(strike(&world, &mut server, folder.path(), &mut random, job).await).or_default() += 1;
        }
        world.over.store(true, Ordering::Relaxed);
    };
    tokio::join!(client, killer);
    println!("{job:?} a job in peace; {points} points: {blows:?}");
    println!("{count:?}");
    assert!(count.accepted > 0 && count.complete == count.accepted && count.lost == 0, "{count:?}");
    assert_eq!((count.doubled_keys, count.missing_keys, count.doubled_verdicts, count.differing), (0, 0, 0, 0));
}

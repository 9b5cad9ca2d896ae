//! What the engine on NATS does when servers, connections and workers fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay::Error;
use assay::lab::PoolName;
use assay::lab::engines::{Appended, Engine, Expect, nats};
use async_nats::jetstream::stream::Config;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::nats::{Nats, SILENCE};

const LONG: Duration = Duration::from_secs(60);

/// A second process, as far as the servers can tell.
async fn other(nats: &Nats) -> Engine {
    nats.engine().await
}

async fn lease(engine: &Engine) -> Option<assay::lab::engines::Lease> {
    engine.queue.lease(LONG, "t", None).await.unwrap()
}

/// A shard as soon as the servers hand it out anew.
async fn lease_at_last(engine: &Engine) -> assay::lab::engines::Lease {
    let begin = Instant::now();
    loop {
        // As a worker does: it asks for a tenant that may have some, and again where the servers do not answer.
        if engine.queue.tenants().await.unwrap() == ["t"] {
            match engine.queue.lease(LONG, "t", None).await {
                Ok(Some(lease)) => return lease,
                Ok(None) | Err(Error::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(begin.elapsed() < SILENCE * 10, "nothing came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_its_line_and_its_acknowledgement_leaves_one_line() {
    let Some(nats) = Nats::start(1) else { return };
    let (dies, lives) = (nats.engine().await, other(&nats).await);
    dies.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    let held = lease(&dies).await.unwrap();
    let first = dies.log.append("j", 0, b"one").await.unwrap();
    drop(dies);
    let next = lease_at_last(&lives).await;
    assert_eq!((next.shard, next.failures), (held.shard, 0), "a death is no failure of the shard");
    assert!(next.token > 1, "it can be told that it was handed out before");
    let Appended::New(sequence) = first else { panic!("{first:?}") };
    assert_eq!(lives.log.append("j", 0, b"two").await.unwrap(), Appended::Exists(sequence));
    assert!(lives.queue.ack(&next).await.unwrap());
    assert_eq!(lives.log.read("j", 0, 9).await.unwrap()[0].body, b"one");
    assert!(!lives.queue.left("j").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_workers_report_are_known_to_all() {
    let Some(nats) = Nats::start(1) else { return };
    let (one, two) = (nats.engine().await, other(&nats).await);
    one.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    let held = lease(&one).await.unwrap();
    assert!(one.queue.nack(&held, true).await.unwrap());
    let held = lease_at_last(&two).await;
    assert_eq!(held.failures, 1);
    assert!(two.queue.nack(&held, true).await.unwrap());
    let held = lease_at_last(&one).await;
    assert_eq!(held.failures, 2);
    // A job that begins anew has no past.
    one.queue.forget("j").await.unwrap();
    one.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    assert_eq!(lease_at_last(&two).await.failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_other_lease_seconds_keeps_its_shards_all_the_same() {
    let Some(nats) = Nats::start(1) else { return };
    let makes = nats.engine().await;
    makes.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    // Left to itself it would say a word each 20 s; the consumer waits for 2 s.
    let patient = nats::open(&nats.url(), &nats.settings(), &[PoolName::default()], LONG).await.unwrap();
    let held = lease_at_last(&patient).await;
    let begin = Instant::now();
    while begin.elapsed() < SILENCE * 3 {
        assert!(lease(&makes).await.is_none(), "it was handed out anew after {:?}", begin.elapsed());
        makes.queue.wait(Duration::from_millis(100)).await;
    }
    assert!(patient.queue.ack(&held).await.unwrap());
    assert!(!makes.queue.left("j").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_read_is_taken_out_of_the_queue() {
    let Some(nats) = Nats::start(1) else { return };
    let engine = nats.engine().await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let rubbish = jetstream.publish("assay.t.task.default.j.0", "rubbish".into()).await.unwrap();
    rubbish.await.unwrap();
    engine.queue.enqueue("t", "default", "j", &[1], 1).await.unwrap();
    let held = lease_at_last(&engine).await;
    assert_eq!(held.shard, 1);
    assert!(engine.queue.ack(&held).await.unwrap());
    assert!(!engine.queue.left("j").await.unwrap());
    assert!(lease(&engine).await.is_none());
}

/// A connection that can be cut, as a network can.
struct Cut {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Cut {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, is_cut) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let cut = is_cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let cut = cut.clone();
                if cut.load(Ordering::Relaxed) {
                    continue;
                }
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let ends = async {
                        while !cut.load(Ordering::Relaxed) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    };
                    tokio::select! { _ = copy_bidirectional(&mut near, &mut far) => {}, () = ends => {} }
                });
            }
        });
        Self { address, is_cut }
    }

    fn set(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_behind_a_cut_network_comes_back_as_a_zombie_and_harms_nothing() {
    let Some(nats) = Nats::start(1) else { return };
    let lives = nats.engine().await;
    let cut = Cut::before(nats.nodes[0].port).await;
    let settings = nats::Settings { replicas: 1, ..nats::Settings::default() };
    let url = format!("nats://{}", cut.address);
    let zombie = nats::open(&url, &settings, &[PoolName::default()], SILENCE).await.unwrap();
    lives.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    let held = lease_at_last(&zombie).await;
    cut.set(true);
    // It is not told that it lost its lease, and has it for as long as was said.
    assert!(zombie.queue.extend(&held, LONG).await.unwrap());
    let next = lease_at_last(&lives).await;
    assert_eq!(next.shard, held.shard);
    let Appended::New(sequence) = lives.log.append("j", 0, b"living").await.unwrap() else { panic!("new") };
    cut.set(false);
    assert_eq!(zombie.log.append("j", 0, b"dead").await.unwrap(), Appended::Exists(sequence));
    zombie.queue.ack(&held).await.unwrap();
    assert_eq!(lives.log.read("j", 0, 9).await.unwrap()[0].body, b"living");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_costs_time_and_nothing_else() {
    let Some(mut nats) = Nats::with(1, "") else { return };
    let (engine, reader) = (nats.engine().await, other(&nats).await);
    engine.meta.put("a", b"1", Expect::Absent).await.unwrap();
    engine.queue.enqueue("t", "default", "j", &[0, 1], 1).await.unwrap();
    let held = lease(&engine).await.unwrap();
    engine.log.append("j", 1, b"before").await.unwrap();
    let after = reader.log.read("j", 0, 9).await.unwrap()[0].sequence;
    let follower = tokio::spawn(async move {
        loop {
            reader.log.wait("j", after, LONG).await;
            if let Some(entry) = reader.log.read("j", after, 9).await.unwrap().pop() {
                return entry;
            }
        }
    });
    nats.nodes[0].kill();
    let log = engine.log.clone();
    let append = tokio::spawn(async move { log.append("j", 0, b"through").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    nats.nodes[0].start();
    assert!(matches!(append.await.unwrap().unwrap(), Appended::New(_)), "it waited for the server");
    assert_eq!(follower.await.unwrap().body, b"through");
    assert_eq!(engine.meta.get("a").await.unwrap().unwrap().value, b"1");
    assert!(engine.queue.extend(&held, LONG).await.unwrap());
    assert!(engine.queue.ack(&held).await.unwrap());
    let next = lease_at_last(&engine).await;
    assert_eq!((next.shard, next.failures), (1, 0), "nothing counts against a shard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_its_leaders_goes_on_with_others() {
    if !crate::soak::is_on() {
        return println!("skipped: a cluster of three takes its time; ASSAY_SOAK=1 runs this");
    }
    let Some(mut nats) = Nats::start(3) else { return };
    let engine = nats.engine().await;
    engine.queue.enqueue("t", "default", "j", &(0..60).collect::<Vec<_>>(), 1).await.unwrap();
    let mut seen = Vec::new();
    for round in 0..60u32 {
        // Each of them in turn, so that whoever leads what is among them.
        if round % 10 == 5 {
            nats.nodes[(round / 10) as usize % 3].kill();
        }
        let held = lease_at_last(&engine).await;
        assert_eq!(held.failures, 0, "an election is no failure");
        engine.log.append("j", held.shard, &held.shard.to_le_bytes()).await.unwrap();
        assert!(engine.queue.ack(&held).await.unwrap());
        seen.push(held.shard);
        if round % 10 == 9 {
            nats.nodes[(round / 10) as usize % 3].start();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 60);
    assert_eq!(engine.log.read("j", 0, 100).await.unwrap().len(), 60);
    assert!(!engine.queue.left("j").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_longer_than_a_message_is_kept_beside_the_log() {
    let Some(nats) = Nats::start(1) else { return };
    let engine = nats.engine().await;
    let line: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).take(3 << 20).collect();
    engine.log.append("j", 0, &line).await.unwrap();
    engine.log.append("j", 1, b"short").await.unwrap();
    let read = other(&nats).await.log.read("j", 0, 9).await.unwrap();
    assert!(read[0].body == line && read[1].body == b"short");
    engine.log.forget("j").await.unwrap();
    assert!(engine.log.read("j", 0, 9).await.unwrap().is_empty());
    let record = engine.meta.put("a", &line, Expect::Any).await.unwrap_err().to_string();
    assert!(record.contains("max_payload"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_come_to_whoever_needs_them_and_damaged_copies_come_anew() {
    let Some(nats) = Nats::start(1) else { return };
    let (one, two) = (nats.engine().await, other(&nats).await);
    let mut staged = one.blobs.stage().await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    staged.write(bytes.clone()).await.unwrap();
    let digest = staged.publish(None).await.unwrap();
    let copy = two.blobs.local(&digest).await.unwrap();
    assert!(std::fs::read(&copy).unwrap() == bytes);
    std::fs::write(&copy, b"rubbish").unwrap();
    assert!(std::fs::read(two.blobs.local(&digest).await.unwrap()).unwrap() == bytes);
    assert!(one.blobs.delete(&digest).await.unwrap());
    assert_eq!(two.blobs.size(&digest).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_can_lie_elsewhere() {
    let Some(nats) = Nats::start(1) else { return };
    drop(nats.engine().await);
    let folder = tempfile::tempdir().unwrap();
    // A cloud's, where somebody has one to try: ASSAY_BLOBS=s3://bucket/prefix.
    let url = std::env::var("ASSAY_BLOBS").unwrap_or_else(|_| format!("file://{}", folder.path().display()));
    let settings = nats::Settings { blobs: url, ..nats::Settings::default() };
    let open = async || nats::open(&nats.url(), &settings, &[], SILENCE).await.unwrap();
    let (one, two) = (open().await, open().await);
    let mut staged = one.blobs.stage().await.unwrap();
    let bytes: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
    staged.write(bytes.clone()).await.unwrap();
    let digest = staged.publish(None).await.unwrap();
    assert_eq!(two.blobs.size(&digest).await.unwrap(), Some(bytes.len() as u64));
    assert!(std::fs::read(two.blobs.local(&digest).await.unwrap()).unwrap() == bytes);
    assert!(two.blobs.delete(&digest).await.unwrap() && !one.blobs.delete(&digest).await.unwrap());
    for blobs in ["memory:///", "ftp://a", "s4"] {
        let settings = nats::Settings { blobs: blobs.to_owned(), ..nats::Settings::default() };
        let error = nats::open(&nats.url(), &settings, &[], SILENCE).await.map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Invalid(v) if v[0].field == "nats.blobs"), "{blobs}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_clients_show_certificates() {
    use crate::tls::{Authority, here};
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let authority = Authority::new(&file("ca.pem"));
    authority.issue(here(), &file("server.pem"), &file("server.key"));
    authority.issue(rcgen::SanType::DnsName("assay-api".try_into().unwrap()), &file("api.pem"), &file("api.key"));
    let path = |name: &str| file(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify_and_map: true }}
         authorization {{ users: [{{ user: assay-api }}] }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    );
    let Some(nats) = Nats::with(1, &tls) else { return };
    let url = format!("tls://127.0.0.1:{}", nats.nodes[0].port);
    let known = nats::Settings {
        ca: Some(file("ca.pem")),
        certificate: Some(file("api.pem")),
        key: Some(file("api.key")),
        ..nats::Settings::default()
    };
    let engine = nats::open(&url, &known, &[], SILENCE).await.unwrap();
    engine.meta.put("a", b"1", Expect::Absent).await.unwrap();
    // Neither a client without a certificate gets in, nor is a server without a known one believed.
    for settings in
        [nats::Settings { certificate: None, key: None, ..known.clone() }, nats::Settings { ca: None, ..known }]
    {
        let error = nats::open(&url, &settings, &[], SILENCE).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_servers_is_said_at_start() {
    let open = async |url: &str| {
        let opened = nats::open(url, &nats::Settings::default(), &[], SILENCE).await;
        opened.map(|_| ()).unwrap_err()
    };
    let error = open("nats://127.0.0.1:1").await;
    assert!(matches!(&error, Error::Unavailable(m) if m.contains("127.0.0.1:1")), "{error}");
    let permissions = "authorization { users: [{ user: ada, password: x, permissions: {
        publish: { allow: [\"$JS.API.INFO\", \"$JS.API.STREAM.INFO.>\", \"_INBOX.>\"] }, subscribe: \">\" } }] }";
    let Some(nats) = Nats::with(1, permissions) else { return };
    let url = format!("nats://ada:x@127.0.0.1:{}", nats.nodes[0].port);
    let begin = Instant::now();
    let error = loop {
        match open(&url).await {
            Error::Unavailable(_) if begin.elapsed() < LONG => tokio::time::sleep(Duration::from_millis(50)).await,
            other => break other,
        }
    };
    let said = error.to_string();
    assert!(matches!(error, Error::Precondition(_)), "{said}");
    assert!(said.contains("lacks a permission") && said.contains("STREAM.CREATE.ASSAY_TASKS"), "{said}");
    // A stream of that name that somebody else made, or that was changed.
    let Some(nats) = Nats::start(1) else { return };
    drop(nats.engine().await);
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let made = jetstream.get_stream("ASSAY_RESULTS").await.unwrap().cached_info().config.clone();
    let subjects = made.subjects.clone();
    jetstream.update_stream(Config { max_age: LONG * 10, max_bytes: 1 << 20, ..made.clone() }).await.unwrap();
    let said = open(&nats.url()).await.to_string();
    assert!(said.contains("ASSAY_RESULTS") && said.contains("max_age 600s, 0ns was expected"), "{said}");
    // How large it may be is its operator's choice.
    jetstream.update_stream(Config { max_bytes: 1 << 20, ..made }).await.unwrap();
    drop(nats.engine().await);
    jetstream.delete_stream("ASSAY_RESULTS").await.unwrap();
    let config = Config { name: "ASSAY_RESULTS".to_owned(), subjects, ..Config::default() };
    jetstream.create_stream(config).await.unwrap();
    let said = open(&nats.url()).await.to_string();
    assert!(said.contains("ASSAY_RESULTS") && said.contains("discard"), "{said}");
}

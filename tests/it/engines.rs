//! What every engine promises, run against each of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use assay::Error;
use assay::lab::engines::{Appended, Engine, Expect, Lease, memory, sqlite};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

/// Runs each listed check as a test of each engine.
macro_rules! conformance {
    ($($check:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::$check(&assay::lab::engines::memory::open().unwrap()).await;
            })*
        }
        mod in_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let folder = tempfile::tempdir().unwrap();
                super::$check(&assay::lab::engines::sqlite::open(folder.path()).unwrap()).await;
            })*
        }
        mod on_one_nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                let Some(nats) = crate::nats::Nats::start(1) else { return };
                super::$check(&nats.engine().await).await;
            })*
        }
        mod on_three_nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                if !crate::soak::is_on() {
                    return println!("skipped: a cluster of three takes its time; ASSAY_SOAK=1 runs this");
                }
                let Some(nats) = crate::nats::Nats::start(3) else { return };
                super::$check(&nats.engine().await).await;
            })*
        }
    };
}

conformance!(
    records_are_compared_before_they_are_set,
    records_are_listed_in_key_order_and_in_pages,
    shards_come_first_in_first_out_and_once,
    a_worker_stays_with_its_chunk_and_keeps_away_from_others,
    tenants_have_queues_of_their_own,
    an_expired_lease_goes_to_another_and_the_first_holder_is_fenced_off,
    only_reported_failures_count,
    a_forgotten_job_has_no_shards_and_its_leases_are_void,
    a_job_has_shards_left_until_each_is_acknowledged,
    the_first_line_of_a_key_stands,
    appends_from_many_tasks_give_each_key_one_line,
    followers_are_woken_at_once,
    blobs_are_published_whole_or_not_at_all,
    a_dropped_partial_blob_is_gone_on_with,
    hostile_digests_never_become_paths,
    the_same_bytes_can_be_published_twice_at_once,
);

async fn records_are_compared_before_they_are_set(engine: &Engine) {
    let meta = &engine.meta;
    assert_eq!(meta.get("a").await.unwrap(), None);
    let first = meta.put("a", b"1", Expect::Absent).await.unwrap().unwrap();
    assert_eq!(meta.put("a", b"2", Expect::Absent).await.unwrap(), None);
    let second = meta.put("a", b"2", Expect::Revision(first)).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(meta.put("a", b"3", Expect::Revision(first)).await.unwrap(), None);
    assert!(!meta.delete("a", Expect::Revision(first)).await.unwrap());
    assert_eq!(meta.get("a").await.unwrap().unwrap().value, b"2");
    assert!(meta.delete("a", Expect::Any).await.unwrap());
    assert!(!meta.delete("a", Expect::Any).await.unwrap());
    // A key that comes back must not meet an old revision.
    assert!(meta.put("a", b"4", Expect::Absent).await.unwrap().unwrap() > second);
}

async fn records_are_listed_in_key_order_and_in_pages(engine: &Engine) {
    for key in ["b/2", "a/1", "b/10", "b/1", "b%/1", "c"] {
        engine.meta.put(key, key.as_bytes(), Expect::Any).await.unwrap();
    }
    let keys = async |after, limit| {
        let records = engine.meta.list("b/", after, limit).await.unwrap();
        records.into_iter().map(|r| r.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, 10).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(keys(None, 2).await, ["b/1", "b/10"]);
    assert_eq!(keys(Some("b/10"), 2).await, ["b/2"]);
    assert!(keys(Some("b/2"), 2).await.is_empty());
}

async fn lease(engine: &Engine, ttl: Duration) -> Option<Lease> {
    engine.queue.lease(ttl, "t", None).await.unwrap()
}

async fn shards_come_first_in_first_out_and_once(engine: &Engine) {
    engine.queue.enqueue("t", "default", "j", &[0, 1], 1).await.unwrap();
    engine.queue.enqueue("t", "default", "j", &[1, 2], 1).await.unwrap();
    assert_eq!(engine.queue.pending().await.unwrap(), 3);
    for shard in 0..3 {
        let held = lease(engine, LONG).await.unwrap();
        assert_eq!((held.job.as_str(), held.shard, held.failures), ("j", shard, 0));
        // Enqueueing again leaves a leased shard with its holder.
        engine.queue.enqueue("t", "default", "j", &[shard], 1).await.unwrap();
        if shard > 0 {
            assert!(engine.queue.ack(&held).await.unwrap());
            assert!(!engine.queue.ack(&held).await.unwrap());
        }
    }
    assert_eq!(lease(engine, LONG).await, None);
    assert_eq!(engine.queue.pending().await.unwrap(), 1);
}

async fn a_worker_stays_with_its_chunk_and_keeps_away_from_others(engine: &Engine) {
    // Three chunks of three checks.
    engine.queue.enqueue("t", "default", "j", &[0, 1, 2, 3, 4, 5, 6, 7, 8], 3).await.unwrap();
    let next = async |last: Option<&Lease>| engine.queue.lease(LONG, "t", last).await.unwrap().unwrap();
    let a = next(None).await;
    let b = next(None).await;
    assert_eq!((a.shard, a.chunk, b.shard, b.chunk), (0, 0, 3, 1));
    assert!(engine.queue.ack(&a).await.unwrap());
    let a = next(Some(&a)).await;
    assert_eq!((a.shard, next(Some(&b)).await.shard), (1, 4));
    assert!(engine.queue.nack(&a, false).await.unwrap());
    // What was given back comes before what follows it.
    let a = next(Some(&a)).await;
    assert_eq!((a.shard, next(Some(&a)).await.shard), (1, 2));
    let c = next(Some(&a)).await;
    assert_eq!((c.shard, c.chunk), (6, 2));
    // Where all chunks are worked on, the first shard in the queue.
    assert_eq!(next(Some(&a)).await.shard, 5);
}

async fn tenants_have_queues_of_their_own(engine: &Engine) {
    let queue = &engine.queue;
    queue.enqueue("b", "default", "j", &[0, 1], 1).await.unwrap();
    queue.enqueue("a", "default", "k", &[0], 1).await.unwrap();
    assert_eq!(queue.tenants().await.unwrap(), ["a", "b"]);
    assert_eq!(queue.lease(LONG, "c", None).await.unwrap(), None);
    let held = queue.lease(SHORT, "a", None).await.unwrap().unwrap();
    assert_eq!((held.job.as_str(), queue.lease(LONG, "a", None).await.unwrap()), ("k", None));
    assert_eq!(queue.tenants().await.unwrap(), ["b"]);
    // The shard that another tenant's worker had last is no reason to get one of its chunk.
    let other = queue.lease(LONG, "b", Some(&held)).await.unwrap().unwrap();
    assert_eq!((other.job.as_str(), other.shard), ("j", 0));
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(queue.tenants().await.unwrap(), ["a", "b"], "an expired lease is free again");
}

async fn an_expired_lease_goes_to_another_and_the_first_holder_is_fenced_off(engine: &Engine) {
    engine.queue.enqueue("t", "default", "j", &[7], 1).await.unwrap();
    let zombie = lease(engine, SHORT).await.unwrap();
    assert_eq!(lease(engine, LONG).await, None);
    assert!(engine.queue.extend(&zombie, SHORT * 4).await.unwrap());
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(lease(engine, LONG).await, None, "extended");
    tokio::time::sleep(SHORT * 4).await;
    let next = lease(engine, LONG).await.unwrap();
    assert_eq!((next.shard, next.failures), (7, 0));
    assert_ne!(next.token, zombie.token);
    assert!(!engine.queue.extend(&zombie, LONG).await.unwrap());
    assert!(!engine.queue.nack(&zombie, true).await.unwrap());
    assert!(!engine.queue.ack(&zombie).await.unwrap());
    assert!(engine.queue.ack(&next).await.unwrap());
}

async fn only_reported_failures_count(engine: &Engine) {
    engine.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    for (failed, expect) in [(false, 0), (true, 0), (true, 1), (false, 2)] {
        let held = lease(engine, LONG).await.unwrap();
        assert_eq!(held.failures, expect);
        assert!(engine.queue.nack(&held, failed).await.unwrap());
    }
}

async fn a_forgotten_job_has_no_shards_and_its_leases_are_void(engine: &Engine) {
    engine.queue.enqueue("t", "default", "j", &[0, 1], 1).await.unwrap();
    engine.queue.enqueue("t", "default", "k", &[0], 1).await.unwrap();
    let held = lease(engine, LONG).await.unwrap();
    engine.queue.forget("j").await.unwrap();
    assert!(!engine.queue.ack(&held).await.unwrap());
    assert_eq!(lease(engine, LONG).await.unwrap().job, "k");
    engine.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    assert!(!engine.queue.ack(&held).await.unwrap() || lease(engine, LONG).await.is_none());
}

async fn a_job_has_shards_left_until_each_is_acknowledged(engine: &Engine) {
    let left = async || engine.queue.left("j").await.unwrap();
    assert!(!left().await);
    engine.queue.enqueue("t", "default", "j", &[0, 1], 1).await.unwrap();
    for _ in 0..2 {
        assert!(left().await);
        let held = lease(engine, LONG).await.unwrap();
        assert!(left().await, "what is leased is left still");
        engine.queue.ack(&held).await.unwrap();
    }
    assert!(!left().await);
    // Giving back what nobody took loses nothing.
    engine.queue.enqueue("t", "default", "j", &[0, 1, 2], 3).await.unwrap();
    let held = lease(engine, LONG).await.unwrap();
    assert!(engine.queue.nack(&held, false).await.unwrap());
    engine.queue.give_back().await;
    let mut shards = BTreeSet::new();
    while let Some(held) = lease(engine, LONG).await {
        shards.insert(held.shard);
    }
    assert_eq!(shards, BTreeSet::from([0, 1, 2]));
}

async fn the_first_line_of_a_key_stands(engine: &Engine) {
    let log = &engine.log;
    let Appended::New(first) = log.append("j", 5, b"one").await.unwrap() else { panic!("new") };
    assert_eq!(log.append("j", 5, b"other").await.unwrap(), Appended::Exists(first));
    let Appended::New(second) = log.append("j", 4, b"two").await.unwrap() else { panic!("new") };
    assert!(second > first);
    let bodies = async |after, limit| {
        let entries = log.read("j", after, limit).await.unwrap();
        entries.into_iter().map(|e| (e.key, e.body)).collect::<Vec<_>>()
    };
    assert_eq!(bodies(0, 10).await, [(5, b"one".to_vec()), (4, b"two".to_vec())]);
    assert_eq!(log.get("j", 4).await.unwrap().map(|e| (e.sequence, e.body)), Some((second, b"two".to_vec())));
    assert_eq!((log.get("j", 6).await.unwrap(), log.get("k", 4).await.unwrap()), (None, None));
    assert_eq!(bodies(0, 1).await.len(), 1);
    assert_eq!(bodies(first, 10).await, [(4, b"two".to_vec())]);
    let keys = async |job| log.keys(job).await.unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!((keys("j").await, keys("k").await), (BTreeSet::from([4, 5]), BTreeSet::new()));
    log.forget("j").await.unwrap();
    assert_eq!((keys("j").await.len(), bodies(0, 10).await.len()), (0, 0));
}

async fn appends_from_many_tasks_give_each_key_one_line(engine: &Engine) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8u32 {
        let log = engine.log.clone();
        tasks.spawn(async move {
            let mut new = 0;
            for key in 0..50 {
                let body = writer.to_le_bytes();
                new += u32::from(matches!(log.append("j", key, &body).await.unwrap(), Appended::New(_)));
            }
            new
        });
    }
    let new: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!((new, engine.log.keys("j").await.unwrap().len()), (50, 50));
    let entries = engine.log.read("j", 0, 100).await.unwrap();
    assert!(entries.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}

async fn followers_are_woken_at_once(engine: &Engine) {
    let log = engine.log.clone();
    let begin = Instant::now();
    let follower = tokio::spawn(async move {
        log.wait("j", 0, LONG).await;
        log.read("j", 0, 10).await.unwrap().len()
    });
    tokio::time::sleep(SHORT).await;
    engine.log.append("j", 0, b"x").await.unwrap();
    assert_eq!(follower.await.unwrap(), 1);
    // What is there already is not waited for.
    engine.log.wait("j", 0, LONG).await;
    let queue = engine.queue.clone();
    let worker = tokio::spawn(async move { queue.wait(LONG).await });
    tokio::time::sleep(SHORT).await;
    engine.queue.enqueue("t", "default", "j", &[0], 1).await.unwrap();
    worker.await.unwrap();
    assert!(begin.elapsed() < LONG / 4);
}

async fn blobs_are_published_whole_or_not_at_all(engine: &Engine) {
    let blobs = &engine.blobs;
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let stage = async || {
        let mut staged = blobs.stage().await.unwrap();
        staged.write(b"hel".to_vec()).await.unwrap();
        staged.write(b"lo".to_vec()).await.unwrap();
        assert_eq!(staged.size(), 5);
        staged
    };
    drop(stage().await);
    let wrong = "0".repeat(64);
    assert!(matches!(stage().await.publish(Some(&wrong)).await, Err(Error::DataLoss(_))));
    assert_eq!(blobs.size(digest).await.unwrap(), None);
    assert!(matches!(blobs.read(digest, 0, 1).await, Err(Error::NotFound(_))));
    assert_eq!(stage().await.publish(Some(digest)).await.unwrap(), digest);
    assert_eq!(stage().await.publish(None).await.unwrap(), digest);
    assert_eq!(blobs.size(digest).await.unwrap(), Some(5));
    assert_eq!(blobs.read(digest, 1, 3).await.unwrap(), b"ell");
    assert_eq!(blobs.read(digest, 4, 100).await.unwrap(), b"o");
    assert_eq!(std::fs::read(blobs.local(digest).await.unwrap()).unwrap(), b"hello");
    assert!(blobs.delete(digest).await.unwrap());
    assert!(!blobs.delete(digest).await.unwrap());
    assert!(blobs.local(digest).await.is_err());
}

async fn a_dropped_partial_blob_is_gone_on_with(engine: &Engine) {
    let blobs = &engine.blobs;
    assert_eq!(blobs.kept("key").await.unwrap(), 0);
    let mut staged = blobs.resume("key").await.unwrap();
    staged.write(b"hel".to_vec()).await.unwrap();
    assert!(matches!(blobs.resume("key").await, Err(Error::Unavailable(_))), "two writers");
    drop(staged);
    assert_eq!((blobs.kept("key").await.unwrap(), blobs.kept("other").await.unwrap()), (3, 0));
    let mut staged = blobs.resume("key").await.unwrap();
    assert_eq!(staged.size(), 3);
    staged.write(b"lo".to_vec()).await.unwrap();
    let digest = staged.publish(None).await.unwrap();
    assert_eq!(blobs.read(&digest, 0, 10).await.unwrap(), b"hello");
    assert_eq!(blobs.kept("key").await.unwrap(), 0);
    // What turns out to be something else is not gone on with.
    let mut staged = blobs.resume("key").await.unwrap();
    staged.write(b"rubbish".to_vec()).await.unwrap();
    assert!(staged.publish(Some(&digest)).await.is_err());
    assert_eq!(blobs.kept("key").await.unwrap(), 0);
    assert!(blobs.resume("../key").await.is_err());
}

async fn hostile_digests_never_become_paths(engine: &Engine) {
    let long = "a".repeat(65);
    for digest in ["", "../../../../etc/passwd", "/etc/passwd", long.as_str(), &"A".repeat(64), &"é".repeat(32)] {
        assert!(matches!(engine.blobs.read(digest, 0, 1).await, Err(Error::Invalid(_))), "{digest}");
        assert!(engine.blobs.delete(digest).await.is_err());
        assert!(engine.blobs.local(digest).await.is_err());
    }
}

async fn the_same_bytes_can_be_published_twice_at_once(engine: &Engine) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let blobs = engine.blobs.clone();
        tasks.spawn(async move {
            let mut staged = blobs.stage().await.unwrap();
            staged.write(vec![7; 10_000]).await.unwrap();
            staged.publish(None).await.unwrap()
        });
    }
    let digests = tasks.join_all().await;
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(engine.blobs.size(&digests[0]).await.unwrap(), Some(10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_everything_over_a_restart_and_frees_leases() {
    let folder = tempfile::tempdir().unwrap();
    let digest = {
        let engine = sqlite::open(folder.path()).unwrap();
        engine.meta.put("a", b"1", Expect::Absent).await.unwrap();
        engine.queue.enqueue("t", "default", "j", &[0, 1], 1).await.unwrap();
        lease(&engine, LONG).await.unwrap();
        // A worker that dies between its line and its acknowledgement.
        engine.log.append("j", 0, b"line").await.unwrap();
        engine.blobs.stage().await.unwrap().write(b"torn".to_vec()).await.unwrap();
        engine.blobs.resume("half").await.unwrap().write(b"par".to_vec()).await.unwrap();
        let mut staged = engine.blobs.stage().await.unwrap();
        staged.write(b"whole".to_vec()).await.unwrap();
        staged.publish(None).await.unwrap()
    };
    let engine = reopen(folder.path()).await;
    assert_eq!(engine.meta.get("a").await.unwrap().unwrap().value, b"1");
    assert_eq!(lease(&engine, LONG).await.unwrap().shard, 0);
    assert!(matches!(engine.log.append("j", 0, b"again").await.unwrap(), Appended::Exists(_)));
    assert_eq!(engine.log.read("j", 0, 10).await.unwrap()[0].body, b"line");
    assert_eq!(engine.blobs.read(&digest, 0, 10).await.unwrap(), b"whole");
    assert_eq!(engine.blobs.kept("half").await.unwrap(), 3);
    assert_eq!(std::fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
}

/// Opens a folder as soon as the writer's thread of the engine before has let it go.
async fn reopen(folder: &std::path::Path) -> Engine {
    for _ in 0..100 {
        if let Ok(engine) = sqlite::open(folder) {
            return engine;
        }
        tokio::time::sleep(SHORT).await;
    }
    sqlite::open(folder).unwrap()
}

#[tokio::test]
async fn sqlite_refuses_a_second_process_and_a_newer_database() {
    let folder = tempfile::tempdir().unwrap();
    let first = sqlite::open(folder.path()).unwrap();
    let error = sqlite::open(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Precondition(m) if m.contains("another assay holds")), "{error}");
    drop(first);
    drop(reopen(folder.path()).await);
    let database = rusqlite::Connection::open(folder.path().join("assay.db")).unwrap();
    database.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(database);
    let error = sqlite::open(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test]
async fn memory_engines_know_nothing_of_one_another() {
    let (one, two) = (memory::open().unwrap(), memory::open().unwrap());
    one.meta.put("a", b"1", Expect::Any).await.unwrap();
    assert_eq!(two.meta.get("a").await.unwrap(), None);
}

//! `assay doctor`, which looks and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cli::{assay, stderr};
use crate::server::{CHECKS, MODEL, Server, create, digits, follow, model, spec, suite};

/// What it says of a folder: its exit code, and signs by what they are of.
fn examine(folder: &Path, extra: &[&str]) -> (i32, BTreeMap<String, (String, String)>) {
    let engine = format!("sqlite:{}", folder.display());
    let output = assay(&[&["doctor", "--output", "json", "--engine", &engine], extra].concat());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sign = |s: &Value| (text(&s["what"]), (text(&s["health"]), text(&s["found"])));
    (output.status.code().unwrap(), found["signs"].as_array().unwrap().iter().map(sign).collect())
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    // The shared memory of a database is the readers' own business: they note there what they read.
    let paths = paths.filter(|path| path.extension().is_none_or(|e| e != "db-shm"));
    paths.flat_map(|p| if p.is_dir() { contents(&p) } else { [(p.clone(), fs::read(&p).unwrap())].into() }).collect()
}

#[test]
fn a_sound_machine_is_said_in_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let (code, signs) = examine(&nowhere, &[]);
    assert_eq!(code, 0, "{signs:?}");
    assert!(signs["slot"].0 == "ok" && signs["data"].1.contains("is not there yet") && !nowhere.exists(), "{signs:?}");
    for what in ["processor", "memory", "kernel", "landlock", "seccomp", "cgroup v2"] {
        assert!(signs[what].0 == "ok" || signs[what].0 == "warn", "{signs:?}");
    }
    let table = String::from_utf8(assay(&["doctor", "--engine", "memory"]).stdout).unwrap();
    assert!(table.contains("processor") && table.lines().all(|l| l.chars().count() <= 80), "{table}");
    let (code, signs) = examine(&nowhere, &["--server", "127.0.0.1:1"]);
    assert!(code == 3 && signs["server"].0 == "fail", "{signs:?}");
    assert_eq!(assay(&["doctor", "--engine", "tape:a"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_left_alone_and_so_is_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(300)).await.unwrap());
    let spec = |artifacts| assay::api::pb::JobSpec { artifacts, ..spec(&model.name, &suite.name, &CHECKS) };
    let job = create(&channel, spec(true), "").await.unwrap();
    follow(&channel, &job.name, "", 300).await;
    // In the middle of a job, with a lease out.
    let (code, signs) = examine(folder.path(), &["--server", &server.address]);
    assert_eq!(code, 0, "{signs:?}");
    assert!(signs["data"].1.contains(&format!("in use by process {}", server.child.id())), "{signs:?}");
    assert!(signs["server"].1.contains(env!("CARGO_PKG_VERSION")) && signs["database"].0 == "ok", "{signs:?}");
    assert!(!signs.contains_key("missing") && !signs.contains_key("torn"), "{signs:?}");
    let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
    assert!(done && verdicts.len() == 300 * 11);

    // With leases, a log that is not yet in the database, and a file in the staging folder.
    create(&channel, assay::api::pb::JobSpec { seed: 1, ..spec(false) }, "").await.unwrap();
    while server.slots().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.kill();
    fs::write(folder.path().join("staging/0"), b"left behind").unwrap();
    let before = contents(folder.path());
    let (code, signs) = examine(folder.path(), &[]);
    assert!(code == 0 && signs["data"].1.ends_with("not in use"), "{signs:?}");
    assert_eq!(before, contents(folder.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_torn_and_orphaned_blobs_and_a_newer_database_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let model = model(&channel, MODEL, "").await.unwrap();
    let suite = suite(&channel, digits(20)).await.unwrap();
    // Ended well, so that nothing is left beside the database.
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    server.child.wait().unwrap();
    // The last to close the database puts its log away; even then a reader leaves none.
    let database = rusqlite::Connection::open(folder.path().join("assay.db")).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(database);
    assert!(!folder.path().join("assay.db-wal").exists());
    let before = contents(folder.path());
    let (code, signs) = examine(folder.path(), &[]);
    assert!(code == 0 && signs["blobs"].1.starts_with("2 files"), "{signs:?}");
    assert_eq!(before, contents(folder.path()), "nothing is left beside the database");

    let blob = |digest: &str| folder.path().join("blobs").join(&digest[..2]).join(digest);
    fs::remove_file(blob(&suite.sha256)).unwrap();
    fs::write(blob(&model.sha256), b"other bytes").unwrap();
    let stranger = "ab".repeat(32);
    fs::create_dir_all(blob(&stranger).parent().unwrap()).unwrap();
    fs::write(blob(&stranger), b"").unwrap();
    let (code, signs) = examine(folder.path(), &[]);
    assert_eq!(code, 3);
    let named = |what: &str, health: &str, digest: &str| {
        let (found, text) = &signs[what];
        assert!(found == health && text.contains(&digest[..12]), "{what}: {signs:?}");
    };
    named("missing", "fail", &suite.sha256);
    named("torn", "fail", &model.sha256);
    named("orphans", "warn", &stranger);

    let database = rusqlite::Connection::open(folder.path().join("assay.db")).unwrap();
    database.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(database);
    let (code, signs) = examine(folder.path(), &[]);
    assert!(code == 3 && signs["database"].1.contains("schema version 99, this assay knows"), "{signs:?}");
    fs::write(folder.path().join("assay.db"), b"no database at all, but long enough to be read as one").unwrap();
    let (code, signs) = examine(folder.path(), &[]);
    assert!(code == 3 && signs["database"].0 == "fail", "{signs:?}");
}

//! Databases that earlier versions wrote, in tests/data/databases: each is opened, and says what it said then. Before a
//! release `UPDATE_DATABASES=1 cargo test migrations` adds this version's.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::cli::assay;
use crate::server::{MODEL, Server, create, digits, follow, model, spec, suite};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/databases")
}

/// The only job of a server: its name, and what the command line prints of it.
fn told(server: &Server) -> String {
    let url = format!("http://{}", server.address);
    let list = String::from_utf8(assay(&["job", "list", "--server", &url]).stdout).unwrap();
    let name = list.split_whitespace().find(|word| word.starts_with("tenants/")).unwrap();
    let output = assay(&["job", "watch", name, "--output", "jsonl", "--server", &url]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::cli::stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether all that `old` says stands in `new`, which may say more.
fn holds(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(key, old)| new.get(key).is_some_and(|new| holds(new, old)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| holds(new, old))
        }
        _ => new == old,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_released_versions_database_is_read() {
    if std::env::var_os("UPDATE_DATABASES").is_some() {
        write_this_versions_database().await;
    }
    let mut seen = 0;
    for file in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(&file).unwrap()).read_to_end(&mut bytes).unwrap();
        fs::write(home.path().join("assay.db"), bytes).unwrap();
        let server = Server::start(home.path(), "1");
        let (now, then) = (told(&server), fs::read_to_string(file.with_extension("").with_extension("jsonl")).unwrap());
        assert_eq!(now.lines().count(), then.lines().count(), "{}", file.display());
        for (now, then) in now.lines().zip(then.lines()) {
            let read = |line| serde_json::from_str::<Value>(line).unwrap();
            assert!(holds(&read(now), &read(then)), "{}:\n{now}\n{then}", file.display());
        }
        seen += 1;
    }
    assert!(seen > 0, "no database was found");
}

/// Writes the database of a small job and what is told of it, for this version.
async fn write_this_versions_database() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(6)).await.unwrap());
    let spec = spec(&model.name, &suite.name, &["clean", "gaussian_noise:severity=[1,3]", "saliency"]);
    let spec = assay::api::pb::JobSpec { gates: vec!["clean.accuracy >= 0.2".to_owned()], ..spec };
    let job = create(&channel, spec, "once").await.unwrap();
    assert!(follow(&channel, &job.name, "", usize::MAX).await.2);
    let told = told(&server);
    drop(server);
    let database = rusqlite::Connection::open(home.path().join("assay.db")).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let version: usize = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    drop(database);
    let name = format!("{}-schema-{version}", env!("CARGO_PKG_VERSION").replace('.', "_"));
    fs::create_dir_all(folder()).unwrap();
    fs::write(folder().join(format!("{name}.jsonl")), told).unwrap();
    let file = File::create_new(folder().join(format!("{name}.db.gz"))).unwrap();
    let mut packed = GzEncoder::new(file, Compression::best());
    packed.write_all(&fs::read(home.path().join("assay.db")).unwrap()).unwrap();
    packed.finish().unwrap();
}

//! What disks and clients do to a server, and what it makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use assay::api::pb;
use assay::lab::engines::sqlite;
use assay::lab::remote::Remotes;
use assay::lab::{LOCAL, Lab, Limits, Quotas, Walls};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pb::suite_service_client::SuiteServiceClient;
use tonic::Code;

use crate::cli::{assay, stderr};
use crate::server::{MODEL, Server, chunk, create, digits, follow, header, model, sha256, spec, suite, upload, walk};
use crate::soak::rounds;

fn blob(folder: &Path, digest: &str) -> PathBuf {
    folder.join("blobs").join(&digest[..2]).join(digest)
}

/// Changes one byte in the middle of a file, which stays as long as it was.
fn tear(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_or_lost_blob_ends_its_jobs_with_the_reason_and_an_upload_puts_it_right() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let (model_, suite_) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(8)).await.unwrap());
    let run = async |seed| {
        let spec = pb::JobSpec { seed, ..spec(&model_.name, &suite_.name, &["clean", "motion_blur:severity=1"]) };
        let job = create(&channel, spec, "").await.unwrap();
        let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
        assert!(done && verdicts.len() == 16);
        verdicts.into_iter().map(|v| v.reason).collect::<Vec<_>>()
    };
    assert!(run(0).await.iter().all(String::is_empty));
    for (seed, digest) in [(1, &suite_.sha256), (2, &model_.sha256)] {
        tear(&blob(folder.path(), digest));
        let reasons = run(seed).await;
        assert!(reasons.iter().all(|r| r.starts_with(&format!("blob {digest} is torn"))), "{reasons:?}");
        println!("torn: {}", reasons[0]);
        // The same bytes once more: the same names, and sound blobs.
        assert_eq!(suite(&channel, digits(8)).await.unwrap().name, suite_.name);
        assert_eq!(model(&channel, MODEL, "").await.unwrap().name, model_.name);
        assert!(run(seed + 10).await.iter().all(String::is_empty));
    }
    fs::remove_file(blob(folder.path(), &suite_.sha256)).unwrap();
    let reasons = run(3).await;
    assert!(reasons.iter().all(|r| r.ends_with("not found")), "{reasons:?}");
    println!("lost: {}", reasons[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_gives_no_wrong_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let name = {
        let server = Server::start(folder.path(), "2");
        let channel = server.channel().await;
        let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(32)).await.unwrap());
        let job = create(&channel, spec(&model.name, &suite.name, &["clean", "fog"]), "").await.unwrap();
        assert!(follow(&channel, &job.name, "", usize::MAX).await.2);
        job.name
    };
    let database = rusqlite::Connection::open(folder.path().join("assay.db")).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(database);
    let sound = fs::read(folder.path().join("assay.db")).unwrap();
    let read = async |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("assay.db"), bytes).unwrap();
        let engine = sqlite::open(folder.path()).map_err(|e| format!("at start: {e}"))?;
        let (limits, quotas, walls) = (Limits::default(), Quotas::default(), Walls::default());
        let report = Lab::new(engine, limits, quotas, walls, Remotes::default()).report(LOCAL, &name).await;
        report.map(|(_, report)| format!("{report:?}")).map_err(|e| format!("when read: {e}"))
    };
    let expected = read(&sound).await.unwrap();
    let (mut start, mut late, mut same) = (0, 0, 0);
    let tries = rounds(60, 2000);
    for i in 0..tries {
        let mut bytes = sound.clone();
        let at = 100 + (bytes.len() - 100) * i / tries;
        bytes[at] ^= 0x20;
        match read(&bytes).await {
            Err(e) if e.starts_with("at start") => start += 1,
            Err(_) => late += 1,
            Ok(report) => {
                assert_eq!(report, expected, "byte {at}");
                same += 1;
            }
        }
    }
    println!("{tries} flipped bytes: {start} refused at start, {late} when read, {same} changed nothing");
    let mut torn = sound;
    torn[4096 * 2..4096 * 3].fill(0x5a);
    fs::write(folder.path().join("assay.db"), torn).unwrap();
    let refused =
        assay(&["serve", "--listen", "127.0.0.1:0", "--engine", &format!("sqlite:{}", folder.path().display())]);
    assert!(refused.status.code() == Some(3), "{:?}", refused.status);
    assert!(stderr(&refused).contains("the database is damaged"), "{}", stderr(&refused));
    println!("torn page: {}", stderr(&refused).trim());
}

/// A small disk of its own; `None` where the test may not mount one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(folder.path()).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            println!("left out: no file system can be mounted here");
        }
        mounted.then_some(Self(folder))
    }

    /// Slots of a killed server may hold the disk for a moment still.
    fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            let mount = Command::new("mount").args(["-o", &options]).arg(self.0.path()).output();
            mount.is_ok_and(|output| output.status.success())
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, since a server may be in the middle of its death.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// What the console says of readiness.
fn readiness(server: &Server) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.console.as_ref().unwrap()).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_in_and_a_job_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount("12m") else { return };
    let folder = disk.0.path();
    let config = "console = \"127.0.0.1:0\"\n[limits]\ndisk_free_bytes = 2000000\nlease_seconds = 1\n";
    let server = Server::configured(folder, "2", config);
    let channel = server.channel().await;
    let (model_, suite_) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(64)).await.unwrap());
    let checks = ["clean", "gaussian_noise", "pgd:steps=20"];
    let job = create(&channel, spec(&model_.name, &suite_.name, &checks), "").await.unwrap();
    // Somebody else fills the disk to the last byte, in the middle of the job.
    let hog = folder.join("hog");
    assert!(std::io::copy(&mut std::io::repeat(7), &mut fs::File::create(&hog).unwrap()).is_err());
    let refused = model(&channel, MODEL, "output: {kind: logits}").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("disk_free_bytes = 2000000"), "{}", refused.message());
    println!("full: {}", refused.message());
    let refused = create(&channel, spec(&model_.name, &suite_.name, &["fog"]), "").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let ready = readiness(&server);
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("disk_free_bytes"), "{ready}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    fs::remove_file(hog).unwrap();
    assert!(readiness(&server).starts_with("HTTP/1.1 200"));
    let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
    assert!(done && verdicts.len() == 64 * 7 && verdicts.iter().all(|v| v.outcome() != pb::Outcome::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused_at_start_and_told_later() {
    let Some(disk) = Disk::mount("32m") else { return };
    let mut server = Server::configured(disk.0.path(), "1", "[limits]\ndisk_free_bytes = 0\n");
    let channel = server.channel().await;
    model(&channel, MODEL, "").await.unwrap();
    server.kill();
    assert!(disk.remount("ro"));
    let engine = format!("sqlite:{}", disk.0.path().display());
    let refused = assay(&["serve", "--listen", "127.0.0.1:0", "--engine", &engine]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(stderr(&refused).contains("Read-only file system"), "{}", stderr(&refused));
    println!("read-only: {}", stderr(&refused).trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_client_breaks_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    for round in 0..rounds(20, 300) {
        let channel = server.channel().await;
        use pb::upload_suite_request::Message;
        let message = |message| pb::UploadSuiteRequest { message: Some(message) };
        let cases = Message::Cases(pb::CaseBatch { cases: digits(10) });
        let first = [message(Message::Header(pb::UploadSuiteHeader::default())), message(cases)];
        let stalled = tokio_stream::StreamExt::chain(tokio_stream::iter(first), tokio_stream::pending());
        let mut suites = SuiteServiceClient::new(channel.clone());
        // The call is dropped: the server sees a reset, in every other round a lost connection too.
        let time = Duration::from_millis(10 + 3 * (round as u64 % 10));
        assert!(tokio::time::timeout(time, suites.upload_suite(stalled)).await.is_err());
        let half = vec![header(&sha256(MODEL), MODEL.len(), ""), chunk(0, &MODEL[..1000])];
        assert_eq!(upload(&channel, half).await.unwrap_err().code(), Code::InvalidArgument);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut suites = SuiteServiceClient::new(server.channel().await);
    let listed = suites.list_suites(pb::ListSuitesRequest::default()).await.unwrap().into_inner().suites;
    assert!(listed.is_empty(), "{listed:?}");
    assert_eq!((walk(&folder.path().join("blobs")), walk(&folder.path().join("staging"))), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_repairs_a_folder_that_nobody_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(8)).await.unwrap());
    let engine = format!("sqlite:{}", folder.path().display());
    let repair = || {
        let output = assay(&["doctor", "--repair", "--output", "json", "--engine", &engine]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let stranger = "ab".repeat(32);
    fs::create_dir_all(blob(folder.path(), &stranger).parent().unwrap()).unwrap();
    fs::write(blob(folder.path(), &stranger), b"").unwrap();
    let (code, said) = repair();
    assert!(
        code == Some(3) && said.contains("another assay holds") && blob(folder.path(), &stranger).exists(),
        "{said}"
    );
    kill(Pid::from_raw(i32::try_from(server.child.id()).unwrap()), Signal::SIGKILL).unwrap();
    server.child.wait().unwrap();
    tear(&blob(folder.path(), &model.sha256));
    fs::write(folder.path().join("staging/0"), b"left behind").unwrap();
    fs::write(folder.path().join("partial/young"), b"may be gone on with").unwrap();
    let (code, said) = repair();
    assert_eq!(code, Some(3), "the model's blob is missing now: {said}");
    for done in ["deleted blob abab", "deleted staging/0", &format!("moved blob {}", model.sha256)] {
        assert!(said.contains(done), "{done}: {said}");
    }
    assert!(!blob(folder.path(), &stranger).exists() && !folder.path().join("staging/0").exists());
    assert!(folder.path().join("quarantine").join(&model.sha256).exists());
    assert!(blob(folder.path(), &suite.sha256).exists() && folder.path().join("partial/young").exists());
    assert!(repair().1.contains("there was nothing to do"));
}

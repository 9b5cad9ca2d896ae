//! What a model that has taken its slot over could do: nothing. The cage itself is tried from inside, in processes of
//! their own, and slots of a server are looked at from outside.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use assay::lab::slot::{Cage, Wall};
use prost::Message;

use crate::server::{Server, spec};

/// What came of an attempt, or what stood in its way.
type Attempt = fn() -> Result<String, String>;

/// What is tried, by what it is called.
const ATTEMPTS: [(&str, Attempt); 12] = [
    ("read a file of the slot's own", own_file),
    ("open /etc/passwd", || std::fs::read("/etc/passwd").map(|b| format!("{} bytes", b.len())).map_err(said)),
    ("list the root folder", || std::fs::read_dir("/").map(|_| "listed".to_owned()).map_err(said)),
    ("write a file of the slot's own", || std::fs::write("scratch", "x").map(|()| "written".to_owned()).map_err(said)),
    ("connect to a port", || {
        std::net::TcpStream::connect("127.0.0.1:80").map(|_| "connected".to_owned()).map_err(said)
    }),
    ("listen on a port", || std::net::TcpListener::bind("127.0.0.1:0").map(|_| "bound".to_owned()).map_err(said)),
    ("make a local socket", || std::os::unix::net::UnixStream::pair().map(|_| "made".to_owned()).map_err(said)),
    ("exec another program", exec),
    ("start a process", || Command::new("/bin/true").spawn().map(|_| "started".to_owned()).map_err(said)),
    ("start a thread", || std::thread::Builder::new().spawn(|| ()).map(|_| "started".to_owned()).map_err(said)),
    ("signal its parent", signal),
    ("allocate 100 GiB", allocate),
];

fn said(e: std::io::Error) -> String {
    e.to_string()
}

fn own_file() -> Result<String, String> {
    let mut text = String::new();
    let mut file = std::fs::File::open("model.onnx").map_err(said)?;
    file.read_to_string(&mut text).map_err(said)?;
    Ok(format!("read `{text}`"))
}

fn exec() -> Result<String, String> {
    use std::os::unix::process::CommandExt;
    Err(said(Command::new("/bin/true").exec()))
}

fn signal() -> Result<String, String> {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::getppid(), Signal::SIGURG).map(|()| "sent".to_owned()).map_err(|e| e.to_string())
}

fn allocate() -> Result<String, String> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(100 << 30).map(|()| "allocated".to_owned()).map_err(|e| e.to_string())
}

/// Not a test of its own: what [`in_a_cage`] starts, since a cage is for a whole process.
#[test]
fn inside() {
    let (Ok(attempt), Ok(folder)) = (std::env::var("ESCAPE"), std::env::var("ESCAPE_FOLDER")) else { return };
    let (_, attempt) = ATTEMPTS.iter().find(|(name, _)| *name == attempt).unwrap();
    let cage = Cage { folder: folder.into(), memory: 16 << 30, require: Wall::ALL.to_vec() };
    let outcome = cage.close().map_err(|e| e.to_string()).and_then(|_| attempt());
    println!("\n=> {}", outcome.clone().unwrap_or_else(|e| format!("denied: {e}")));
    std::process::exit(i32::from(outcome.is_err()));
}

/// What comes of an attempt from inside a cage with this folder, and whether it succeeds.
fn in_a_cage(name: &str, folder: &Path) -> (String, bool) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["escape::inside", "--exact", "--nocapture"])
        .env("ESCAPE", name)
        .env("ESCAPE_FOLDER", folder)
        .current_dir(if folder.exists() { folder } else { Path::new("/") })
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = printed.lines().find_map(|line| line.strip_prefix("=> "));
    (line.unwrap_or_else(|| panic!("{output:?}")).to_owned(), output.status.success())
}

#[test]
fn nothing_gets_out_of_a_cage() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), "mine").unwrap();
    println!("| from inside a slot | |\n|---|---|");
    for (i, (name, _)) in ATTEMPTS.iter().enumerate() {
        let (line, succeeded) = in_a_cage(name, folder.path());
        println!("| {name} | {line} |");
        // The first one is the slot's right: a cage that denies all would pass the others.
        assert_eq!(succeeded, i == 0, "{name}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_in_their_cages_and_the_server_says_so() {
    use assay::api::pb::{self, catalog_service_client::CatalogServiceClient};
    let folder = tempfile::tempdir().unwrap();
    let config = r#"require = ["rlimits", "no_new_privileges", "landlock", "seccomp"]"#;
    let server = Server::configured(folder.path(), "1", config);
    let channel = server.channel().await;
    let info = CatalogServiceClient::new(channel.clone()).get_server_info(pb::GetServerInfoRequest {}).await.unwrap();
    let walls: Vec<_> = info.into_inner().walls.into_iter().map(|w| (w.name, w.missing)).collect();
    let names: Vec<_> = Wall::ALL.iter().map(|wall| wall.name()).collect();
    assert_eq!(walls.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    // A cgroup is not delegated everywhere; then it is said.
    assert!(walls.iter().all(|(name, missing)| missing.is_empty() || name == "cgroup"), "{walls:?}");
    let slots = server.slots();
    assert_eq!(slots.len(), 1);
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", slots[0])).unwrap();
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(read("environ"), "");
    let limits = read("limits");
    for limit in ["Max address space", "Max file size", "Max core file size", "Max open files", "Max cpu time"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert!(!line.contains("unlimited"), "{line}");
    }
    // One owner's slot is never given to another: two models, two processes.
    let suite = crate::server::suite(&channel, crate::server::digits(4)).await.unwrap();
    let mut other = tract_onnx::pb::ModelProto::decode(crate::server::MODEL).unwrap();
    other.doc_string = "another file".to_owned();
    let two = crate::server::model(&channel, &other.encode_to_vec(), "").await.unwrap();
    let one = crate::server::model(&channel, crate::server::MODEL, "").await.unwrap();
    let run = async |model: &str| {
        let job = crate::server::create(&channel, spec(model, &suite.name, &["clean"]), "").await.unwrap();
        assert!(crate::server::follow(&channel, &job.name, "", usize::MAX).await.2);
    };
    run(&one.name).await;
    let slots_of_one = server.slots();
    run(&two.name).await;
    let left: Vec<_> = server.slots().into_iter().filter(|slot| slots_of_one.contains(slot)).collect();
    assert_eq!(left, [0i32; 0], "slots that have seen the one model go on with the other");
}

#[test]
fn a_wall_that_is_required_and_missing_stops_the_server() {
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--engine", "memory", "--listen", "127.0.0.1:0", "--config"])
        .arg(config(r#"require = ["moat"]"#).path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("moat") && said.contains("landlock"), "{said}");
    // What this kernel has cannot be taken from it here; a folder that is not there stands for a kernel without.
    let (refused, _) = in_a_cage("allocate 100 GiB", Path::new("/nowhere"));
    assert!(refused.contains("requires landlock around slots"), "{refused}");
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

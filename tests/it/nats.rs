//! Real NATS servers, started and stopped by the tests.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assay::lab::PoolName;
use assay::lab::engines::{Engine, nats};
use tempfile::TempDir;

/// How long a server that has nothing heard of a shard waits before it hands it out anew, in these tests.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// The program that `packaging/tools.sh` installs, or one that `ASSAY_NATS_SERVER` names; none, with a word of it, if there is
/// neither.
pub(crate) fn program() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/nats-server");
    let program = std::env::var_os("ASSAY_NATS_SERVER").map_or(installed, PathBuf::from);
    if program.exists() {
        return Some(program);
    }
    println!("skipped: there is no nats-server; `make target/tools/ready` installs one");
    None
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One server of a cluster, which may be killed and started again.
pub(crate) struct Node {
    program: PathBuf,
    config: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.config.with_extension("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Ends it at once, as a machine that loses its power would but for the disk's cache.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Servers with a folder of their own.
pub(crate) struct Nats {
    pub(crate) nodes: Vec<Node>,
    _folder: TempDir,
}

impl Nats {
    /// One server, or a cluster of some, ready to be used.
    pub(crate) fn start(count: usize) -> Option<Self> {
        Self::with(count, "")
    }

    /// The same with more lines in each configuration.
    pub(crate) fn with(count: usize, more: &str) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let routes: Vec<u16> = (0..count).map(|_| port()).collect();
        let all: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut nodes = Vec::new();
        for (i, route) in routes.iter().enumerate() {
            let (config, port) = (folder.path().join(format!("{i}.conf")), port());
            let store = folder.path().join(format!("store-{i}"));
            let mut text = format!(
                "listen: 127.0.0.1:{port}\nserver_name: n{i}\njetstream {{ store_dir: \"{}\" }}\n{more}\n",
                store.display()
            );
            if count > 1 {
                let all = all.join(", ");
                text += &format!("cluster {{ name: assay, listen: 127.0.0.1:{route}, routes: [{all}] }}\n");
            }
            std::fs::write(&config, text).unwrap();
            nodes.push(Node { program: program.clone(), config, port, child: None });
        }
        nodes.iter_mut().for_each(Node::start);
        Some(Self { nodes, _folder: folder })
    }

    /// Where to find it.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("nats://{}", hosts.join(","))
    }

    pub(crate) fn settings(&self) -> nats::Settings {
        nats::Settings { replicas: self.nodes.len(), ..nats::Settings::default() }
    }

    /// The engine, as soon as the servers are there.
    pub(crate) async fn engine(&self) -> Engine {
        let begin = Instant::now();
        loop {
            match nats::open(&self.url(), &self.settings(), &[PoolName::default()], SILENCE).await {
                Ok(engine) => return engine,
                Err(error) if begin.elapsed() > Duration::from_secs(60) => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

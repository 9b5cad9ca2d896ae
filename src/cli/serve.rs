//! The service, on a socket or within this process. The only place where the command line meets the API's side.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};

use super::Ended;
use super::args::Serve;
use super::exposure;
use crate::api::identity::{self, Access};
use crate::api::{self, tls};
use crate::console;
use crate::error::{Error, Result};
use crate::lab::engines::{Engine, memory, sqlite};
use crate::lab::{Lab, Limits, Pool};
use crate::telemetry::{self, RpcLayer, Telemetry};

/// Where a service listens and keeps its state unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
const ENGINE: &str = "sqlite:assay-data";

/// Buffer of the pipe between client and service within a process.
const PIPE: usize = 1 << 20;

/// Slots where nobody says: one for each processor.
pub(super) fn slots(given: Option<usize>) -> usize {
    given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).max(1)
}

fn engine(url: &str) -> Result<Engine> {
    match url.split_once(':') {
        Some(("sqlite", dir)) if !dir.is_empty() => sqlite::open(Path::new(dir)),
        None if url == "memory" => memory::open(),
        _ => Err(Error::invalid("engine", format!("`{url}` was found, `sqlite:DIR` or `memory` was expected"))),
    }
}

/// What a configuration file may say; the options of the command line come before it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    listen: Option<SocketAddr>,
    console: Option<SocketAddr>,
    engine: Option<String>,
    slots: Option<usize>,
    limits: Limits,
    tls: Option<tls::Settings>,
    auth: identity::Settings,
    pub(super) telemetry: telemetry::Settings,
}

impl Config {
    /// What the options and the file that they name come to.
    pub(super) fn new(args: &Serve) -> Result<Self> {
        let mut config = Self::read(args.config.as_deref())?;
        config.listen = args.listen.or(config.listen);
        config.console = args.console.or(config.console);
        config.engine = args.engine.clone().or(config.engine);
        config.slots = args.slots.or(config.slots);
        config.telemetry.log_format = args.log_format.unwrap_or(config.telemetry.log_format);
        config.check(args.insecure)?;
        Ok(config)
    }

    fn check(&self, insecure: bool) -> Result<()> {
        let authority = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if authority == self.auth.client.is_empty() {
            let message = "each needs the other: tls.client_ca says whom to believe, [[auth.client]] who is who";
            return Err(Error::invalid(if authority { "tls.client_ca" } else { "auth.client" }, message));
        }
        if insecure {
            return Ok(());
        }
        exposure::check_service(self.listen.unwrap_or(LISTEN), self.auth.is_on(), self.tls.is_some())?;
        self.console.map_or(Ok(()), exposure::check_console)
    }

    fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let refuse = |e: &dyn std::fmt::Display| Error::invalid("config", format!("{}: {e}", path.display()));
        toml::from_str(&std::fs::read_to_string(path).map_err(|e| refuse(&e))?).map_err(|e| refuse(&e))
    }
}

/// `assay serve`: until a signal ends it, with shards given back.
pub(super) async fn serve(config: Config, telemetry: &Telemetry) -> Result<Ended> {
    let lab = Lab::new(engine(config.engine.as_deref().unwrap_or(ENGINE))?, config.limits);
    let slots = slots(config.slots);
    let (acceptor, access) = (config.tls.map(tls::Acceptor::new).transpose()?, Access::new(config.auth).await?);
    let (listener, address) = listen("listen", config.listen.unwrap_or(LISTEN)).await?;
    // Before the pool starts, so that nothing goes uncounted.
    if let Some(address) = config.console {
        let (listener, address) = listen("console", address).await?;
        let router = console::router(&lab, telemetry::record()?);
        // It ends with the process.
        tokio::spawn(async move { axum::serve(listener, router).await });
        telemetry.say(&format!("console on http://{address}"));
    }
    lab.recover_all().await?;
    let routes = api::routes(&lab, slots).await?;
    let pool = Pool::start(&lab, slots);
    telemetry.say(&format!("listening on {address}"));
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let server = api::server().layer(RpcLayer::new(api::methods()?)).layer(access).add_routes(routes);
    let closed = async {
        // An error means that the sender is gone, which is the same.
        let _ = closed.await;
    };
    let server = match acceptor {
        Some(acceptor) => tokio::spawn(server.serve_with_incoming_shutdown(acceptor.incoming(listener), closed)),
        None => {
            // Without TCP_NODELAY small messages wait for one another's acknowledgements.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            tokio::spawn(server.serve_with_incoming_shutdown(incoming, closed))
        }
    };
    interrupted().await?;
    telemetry.say("stopping");
    pool.stop().await;
    let _ = closing.send(());
    // Streams that follow a job would keep the server for as long as the job; they resume elsewhere.
    let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
    Ok(Ended::Passed)
}

/// A listener for the option `field`, and where it really listens.
async fn listen(field: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|e| Error::invalid(field, format!("{address}: {e}")))?;
    let address = listener.local_addr().map_err(|e| Error::internal("listening", e))?;
    Ok((listener, address))
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).map_err(|e| Error::internal("signals", e))?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    Ok(())
}

/// A service within this process, in memory; gone when dropped.
pub(super) struct Within {
    pool: Option<Pool>,
    server: JoinHandle<()>,
}

impl Within {
    /// Starts it; the channel is the only way in.
    pub(super) async fn start(slots: usize) -> Result<(Self, Channel)> {
        let lab = Lab::new(memory::open()?, Limits::default());
        let routes = api::routes(&lab, slots).await?;
        let pool = Pool::start(&lab, slots);
        let (near, far) = tokio::io::duplex(PIPE);
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(far));
        let access = Access::new(identity::Settings::default()).await?;
        let server = api::server().layer(RpcLayer::new(api::methods()?)).layer(access).add_routes(routes);
        let server = tokio::spawn(async move {
            if let Err(error) = server.serve_with_incoming(incoming).await {
                tracing::error!(%error, "the service within this process ended");
            }
        });
        let mut near = Some(near);
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let taken = near.take().map(TokioIo::new);
            async move { taken.ok_or_else(|| std::io::Error::other("the service within this process has ended")) }
        });
        let channel = Endpoint::from_static("http://within.process").connect_with_connector(connector).await;
        let channel = channel.map_err(|e| Error::internal("the service within this process", e))?;
        Ok((Self { pool: Some(pool), server }, channel))
    }

    /// Ends the slots before the process does.
    pub(super) async fn stop(mut self) {
        if let Some(pool) = self.pool.take() {
            pool.stop().await;
        }
        self.server.abort();
    }
}

//! The service, on a socket or within this process. The only place where the command line meets the API's side.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};

use super::Ended;
use super::config::Config;
use crate::api::identity::{self, Access};
use crate::api::{self, tls};
use crate::console;
use crate::error::{Error, Result};
use crate::lab::engines::{Engine, memory, nats, sqlite};
use crate::lab::remote::{self, Remotes};
use crate::lab::{Lab, Limits, Pool, PoolName, Quotas, Walls};
use crate::telemetry::{self, RpcLayer, Telemetry};

/// Buffer of the pipe between client and service within a process.
const PIPE: usize = 1 << 20;

/// How long calls that are under way when the server is stopped may take.
const CALLS_END: Duration = Duration::from_secs(10);

/// How often a server looks for jobs without anybody to go on with them.
const RECONCILE: Duration = Duration::from_secs(30);

/// Slots where nobody says: one for each processor.
pub(super) fn slots(given: Option<usize>) -> usize {
    given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).max(1)
}

async fn engine(config: &Config, pools: &[PoolName]) -> Result<Engine> {
    let url = config.engine();
    match url.split_once(':') {
        _ if config.is_on_nats() => nats::open(url, &config.nats, pools, config.limits.lease_time).await,
        Some(("sqlite", dir)) if !dir.is_empty() => sqlite::open(Path::new(dir)),
        None if url == "memory" => memory::open(),
        _ => {
            let message = format!("`{url}` was found, `sqlite:DIR`, `memory` or `nats://HOST:PORT` was expected");
            Err(Error::invalid("engine", message))
        }
    }
}

/// A laboratory, and what its operators see of it.
async fn lab(config: &Config, pools: &[PoolName], telemetry: &Telemetry) -> Result<Lab> {
    let (quotas, walls) = (config.quotas()?, Walls { require: config.require.clone(), cgroups: true });
    let remotes = Remotes::new(config.remote.clone(), config.limits.message_bytes)?;
    let lab = Lab::new(engine(config, pools).await?, config.limits.clone(), quotas, walls, remotes);
    for wall in lab.walls().await?.iter().filter(|wall| !wall.missing.is_empty()) {
        telemetry.say(&format!("slots run without {}: {}", wall.wall.name(), wall.missing));
    }
    Ok(lab)
}

/// The console, where one was asked for. It ends with the process.
async fn console(config: &Config, lab: &Lab, telemetry: &Telemetry) -> Result<()> {
    let Some(address) = config.console else { return Ok(()) };
    let (listener, address) = listen("console", address).await?;
    let router = console::router(lab, telemetry::record()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    telemetry.say(&format!("console on http://{address}"));
    Ok(())
}

/// `assay worker`: until a signal ends it, with shards given back.
pub(super) async fn worker(config: Config, telemetry: &Telemetry) -> Result<Ended> {
    let (slots, pools) = (slots(config.slots), config.pools());
    let lab = lab(&config, &pools, telemetry).await?;
    console(&config, &lab, telemetry).await?;
    let pool = Pool::start(&lab, slots);
    let names: Vec<&str> = pools.iter().map(PoolName::as_str).collect();
    telemetry.say(&format!("working for {} on {} with {slots} slots", names.join(", "), lab.engine_name()));
    interrupted().await?;
    telemetry.say("stopping");
    lab.close();
    pool.stop().await;
    Ok(Ended::Passed)
}

/// Looks again and again for jobs that have nobody to go on with them, until the laboratory closes.
async fn reconcile(lab: Lab) {
    while tokio::time::timeout(RECONCILE, lab.closed()).await.is_err() {
        if let Err(error) = lab.reconcile().await {
            tracing::warn!(%error, "jobs could not be looked at");
        }
    }
}

/// `assay serve`: until a signal ends it, with shards given back.
pub(super) async fn serve(config: Config, telemetry: &Telemetry) -> Result<Ended> {
    // In a cluster the work is the workers', unless this server is told to have a part in it.
    let slots = if config.is_on_nats() { config.slots.unwrap_or(0) } else { slots(config.slots) };
    let pools = if slots == 0 { Vec::new() } else { config.pools() };
    let lab = lab(&config, &pools, telemetry).await?;
    if config.auth.is_on() && config.auth.audit_log.is_none() {
        telemetry.say("nobody writes down who did what: auth.audit_log names a file for that");
    }
    let (listener, address) = listen("listen", config.listen()).await?;
    // Before the pool starts, so that nothing goes uncounted.
    console(&config, &lab, telemetry).await?;
    let (acceptor, access) = (config.tls.map(tls::Acceptor::new).transpose()?, Access::new(config.auth).await?);
    lab.reconcile().await?;
    tokio::spawn(reconcile(lab.clone()));
    let routes = api::routes(&lab, slots).await?;
    let pool = Pool::start(&lab, slots);
    if slots == 0 {
        telemetry
            .say(&format!("this server has no slots: `assay worker --engine {}` does the work", lab.engine_name()));
    }
    telemetry.say(&format!("listening on {address}"));
    let (closing, closed) = tokio::sync::oneshot::channel::<()>();
    let server = api::server().layer(RpcLayer::new(api::methods()?)).layer(access).add_routes(routes);
    let closed = async {
        // An error means that the sender is gone, which is the same.
        let _ = closed.await;
    };
    let mut server = match acceptor {
        Some(acceptor) => tokio::spawn(server.serve_with_incoming_shutdown(acceptor.incoming(listener), closed)),
        None => {
            // Without TCP_NODELAY small messages wait for one another's acknowledgements.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            tokio::spawn(server.serve_with_incoming_shutdown(incoming, closed))
        }
    };
    tokio::select! {
        done = interrupted() => done?,
        ended = &mut server => {
            let cause = ended.map_or_else(|e| e.to_string(), |served| format!("{served:?}"));
            return Err(Error::Internal(format!("the service ended by itself: {cause}")));
        }
    }
    telemetry.say("stopping");
    // Whoever asks is sent elsewhere, and streams end: a job's would keep the server for as long as the job.
    lab.close();
    pool.stop().await;
    let _ = closing.send(());
    let _ = tokio::time::timeout(CALLS_END, server).await;
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
    /// Starts it; the channel is the only way in. These endpoints may be asked.
    pub(super) async fn start(slots: usize, remote: remote::Settings) -> Result<(Self, Channel)> {
        let limits = Limits::default();
        let remotes = Remotes::new(remote, limits.message_bytes)?;
        let lab = Lab::new(memory::open()?, limits, Quotas::default(), Walls::default(), remotes);
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

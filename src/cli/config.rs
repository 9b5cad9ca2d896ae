//! What `assay serve` is told: by options, and by the file that they name.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::Deserialize;

use super::args::{Process, Serve, Worker};
use super::exposure;
use crate::api::identity::{self, Tenant};
use crate::api::tls;
use crate::error::{Error, Result};
use crate::lab::engines::nats;
use crate::lab::slot::Wall;
use crate::lab::{Limits, PoolName, Quota, Quotas, remote};
use crate::telemetry;

/// Where a service listens and keeps its state unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
const ENGINE: &str = "sqlite:assay-data";

/// What a configuration file may say; the options of the command line come before it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    listen: Option<SocketAddr>,
    pub(super) console: Option<SocketAddr>,
    engine: Option<String>,
    pub(super) slots: Option<usize>,
    /// Whose jobs a worker does.
    pools: Option<Vec<PoolName>>,
    /// Walls without which no model is run.
    pub(super) require: Vec<Wall>,
    pub(super) limits: Limits,
    /// What every tenant may have, and what some may have instead.
    quota: toml::Table,
    tenant: HashMap<Tenant, toml::Table>,
    pub(super) tls: Option<tls::Settings>,
    pub(super) auth: identity::Settings,
    pub(super) nats: nats::Settings,
    pub(super) remote: remote::Settings,
    pub(super) telemetry: telemetry::Settings,
}

impl Config {
    /// What the options of a server and the file that they name come to.
    pub(super) fn server(args: &Serve) -> Result<Self> {
        let mut config = Self::of(&args.process, args.engine.as_ref())?;
        config.listen = args.listen.or(config.listen);
        config.check(args.insecure)?;
        Ok(config)
    }

    /// The same of a worker.
    pub(super) fn worker(args: &Worker) -> Result<Self> {
        let mut config = Self::of(&args.process, args.engine.as_ref())?;
        config.pools = args.pools.clone().or(config.pools);
        if !config.is_on_nats() {
            let found = config.engine.as_deref().unwrap_or("nothing");
            let message = format!("`{found}` was found; a worker takes its work from `nats://HOST:PORT`");
            return Err(Error::invalid("engine", message));
        }
        if !args.insecure {
            config.console.map_or(Ok(()), exposure::check_console)?;
        }
        Ok(config)
    }

    fn of(process: &Process, engine: Option<&String>) -> Result<Self> {
        let mut config = Self::read(process.config.as_deref())?;
        config.console = process.console.or(config.console);
        config.engine = engine.cloned().or(config.engine);
        config.slots = process.slots.or(config.slots);
        config.telemetry.log_format = process.log_format.unwrap_or(config.telemetry.log_format);
        Ok(config)
    }

    /// Whether state lives in a cluster, and workers may be elsewhere.
    pub(super) fn is_on_nats(&self) -> bool {
        self.engine().starts_with("nats://") || self.engine().starts_with("tls://")
    }

    /// Pools whose jobs are done here.
    pub(super) fn pools(&self) -> Vec<PoolName> {
        self.pools.clone().unwrap_or_else(|| vec![PoolName::default()])
    }

    /// Where to listen.
    pub(super) fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(LISTEN)
    }

    /// Where state lives.
    pub(super) fn engine(&self) -> &str {
        self.engine.as_deref().unwrap_or(ENGINE)
    }

    /// A tenant's own quota says what differs from the usual one.
    pub(super) fn quotas(&self) -> Result<Quotas> {
        let read = |field: String, table: toml::Table| -> Result<Quota> {
            Quota::deserialize(table).map_err(|e| Error::invalid(field, e.to_string()))
        };
        let own = self.tenant.iter().map(|(tenant, differs)| {
            let mut table = self.quota.clone();
            table.extend(differs.clone());
            Ok(((**tenant).to_owned(), read(format!("config.tenant.{}", &**tenant), table)?))
        });
        Ok(Quotas { own: own.collect::<Result<_>>()?, usual: read("config.quota".to_owned(), self.quota.clone())? })
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
        exposure::check_service(self.listen(), self.auth.is_on(), self.tls.is_some())?;
        self.console.map_or(Ok(()), exposure::check_console)
    }

    pub(super) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let refuse = |e: &dyn std::fmt::Display| Error::invalid("config", format!("{}: {e}", path.display()));
        toml::from_str(&std::fs::read_to_string(path).map_err(|e| refuse(&e))?).map_err(|e| refuse(&e))
    }
}

//! The way to a service: its address, whom to trust, and how to show who calls.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};

use super::client::file;
use crate::api::identity::is_loopback;
use crate::error::{Error, Result};

/// Where a token is if no option names a file. It is never an option itself, as other users of a machine see those.
const TOKEN: &str = "ASSAY_TOKEN";

/// What the command line says of connections, for all of this process.
static GIVEN: OnceLock<Connection> = OnceLock::new();

/// Options of every command that calls a service.
#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Connection to a service")]
pub(super) struct Connection {
    /// Authorities (PEM) to trust in place of those that this machine does, for https.
    #[arg(long, global = true, value_name = "FILE", env = "ASSAY_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
    /// A file with the token that says who calls; otherwise the variable ASSAY_TOKEN holds it.
    #[arg(long, global = true, value_name = "FILE", env = "ASSAY_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// A certificate (PEM) that says who calls.
    #[arg(long, global = true, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, global = true, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl Connection {
    /// Has all connections of this process made so.
    pub(super) fn keep(self) {
        // A process has one command line.
        let _ = GIVEN.set(self);
    }

    fn kept() -> Self {
        GIVEN.get().cloned().unwrap_or_default()
    }

    /// The header that says who calls.
    fn authorization(&self) -> Result<Option<AsciiMetadataValue>> {
        let token = match &self.token_file {
            Some(path) => Some(String::from_utf8(file(path, "token-file")?).unwrap_or_default()),
            None => std::env::var_os(TOKEN).map(|token| token.into_string().unwrap_or_default()),
        };
        let Some(token) = token else { return Ok(None) };
        // What is no text counts as empty, and is refused as that.
        let wrong = || Error::invalid("token", "was found to hold what no token does; a line of ASCII was expected");
        let mut header: AsciiMetadataValue = format!("Bearer {}", token.trim()).parse().map_err(|_| wrong())?;
        if token.trim().is_empty() {
            return Err(wrong());
        }
        header.set_sensitive(true);
        Ok(Some(header))
    }

    fn tls(&self) -> Result<ClientTlsConfig> {
        let tls = match &self.ca {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(file(path, "ca")?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                tls.identity(Identity::from_pem(file(certificate, "client-certificate")?, file(key, "client-key")?))
            }
            _ => tls,
        })
    }
}

/// Connects to a service; the header, if there is one, goes with every call.
pub(super) async fn remote(url: &str) -> Result<(Channel, Option<AsciiMetadataValue>)> {
    let given = Connection::kept();
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let wrong = |e: &dyn std::fmt::Display| Error::invalid("server", format!("{url}: {e}"));
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|e| wrong(&e))?;
    let endpoint = endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(10));
    let secure = endpoint.uri().scheme_str() == Some("https");
    let authorization = given.authorization()?;
    if authorization.is_some() && !secure && !is_near(endpoint.uri()) {
        return Err(wrong(&"the token would pass in the clear; https:// or a loopback address was expected"));
    }
    let endpoint = if secure { endpoint.tls_config(given.tls()?).map_err(|e| wrong(&chain(&e)))? } else { endpoint };
    let channel = endpoint.connect().await.map_err(|e| {
        let hint = if secure { "--ca names whom to trust" } else { "`assay serve` starts one" };
        Error::Unavailable(format!("no service answers at {url} ({}); {hint}", chain(&e)))
    })?;
    Ok((channel, authorization))
}

fn is_near(uri: &Uri) -> bool {
    uri.host().is_some_and(is_loopback)
}

/// An error and what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

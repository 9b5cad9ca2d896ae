//! What an operator says of remote models: the table `[remote]` of a configuration file.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Certificate;

use super::allow::Rule;
use super::endpoint::Endpoint;
use crate::error::{Error, Result};

/// Which endpoints may be asked, and how much. Nobody, unless somebody is allowed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Endpoints that callers may name: `HOST:PORT`, `ADDRESS:PORT` or `NETWORK/BITS:PORT`, the port may be `*`.
    pub allow: Vec<Entry>,
    /// Rows that one endpoint is asked in a second, at most.
    pub rows_per_second: NonZeroU32,
    /// Requests that one endpoint has under way, at most.
    pub requests: NonZeroU32,
    /// How long it may take over one.
    pub request_seconds: NonZeroU32,
    /// How often one is tried that the endpoint did not answer, or was too busy for.
    pub tries: NonZeroU32,
    /// How long an endpoint may stay away before what waits for it fails.
    pub away_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let number = |n: u32| NonZeroU32::MIN.saturating_add(n - 1);
        Self {
            allow: Vec::new(),
            rows_per_second: number(1000),
            requests: number(8),
            request_seconds: number(30),
            tries: number(4),
            away_seconds: 600,
        }
    }
}

/// An endpoint that may be asked, or a table with more about it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Entry {
    Plain(String),
    More(More),
}

/// What shows an endpoint who asks, and whom to believe.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct More {
    /// As a plain entry.
    pub at: String,
    /// A file with the token that goes with every request, over TLS alone. Then `at` is one server.
    pub token_file: Option<PathBuf>,
    /// Authorities (PEM) to trust in place of those that this machine does.
    pub ca: Option<PathBuf>,
}

/// The entries as they are used, in their order.
#[derive(Default)]
pub(super) struct Rules(Vec<Entrance>);

/// A rule, and what goes with whom it lets in.
pub(super) struct Entrance {
    pub(super) rule: Rule,
    pub(super) authorization: Option<AsciiMetadataValue>,
    pub(super) ca: Option<Certificate>,
}

impl Settings {
    pub(super) fn request_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.request_seconds.get()))
    }

    pub(super) fn away_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.away_seconds))
    }

    /// Reads the entries and the files that they name.
    pub(super) fn rules(&self) -> Result<Rules> {
        let entries = self.allow.iter().enumerate();
        entries.map(|(i, entry)| entry.read(&format!("remote.allow[{i}]"))).collect::<Result<_>>().map(Rules)
    }
}

impl Entry {
    fn read(&self, field: &str) -> Result<Entrance> {
        let (at, token, ca) = match self {
            Self::Plain(at) => (at, &None, &None),
            Self::More(More { at, token_file, ca }) => (at, token_file, ca),
        };
        let file = |path: &PathBuf, part: &str| {
            let refuse = |e| Error::invalid(format!("{field}.{part}"), format!("{}: {e}", path.display()));
            std::fs::read(path).map_err(refuse)
        };
        let rule = Rule::parse(at, field)?;
        if token.is_some() && !rule.is_one() {
            let message = format!("`{at}` was found; a token is for one server: a host or an address, and a port");
            return Err(Error::invalid(format!("{field}.at"), message));
        }
        let token = token.as_ref().map(|path| file(path, "token_file")).transpose()?;
        Ok(Entrance {
            rule,
            authorization: token.map(|bytes| bearer(&bytes, field)).transpose()?,
            ca: ca.as_ref().map(|path| file(path, "ca").map(Certificate::from_pem)).transpose()?,
        })
    }
}

/// The header that says who asks; it is shown in no log.
fn bearer(token: &[u8], field: &str) -> Result<AsciiMetadataValue> {
    let wrong = || Error::invalid(format!("{field}.token_file"), "a line of ASCII was expected");
    let token = std::str::from_utf8(token).map_err(|_| wrong())?.trim();
    let mut header: AsciiMetadataValue = format!("Bearer {token}").parse().map_err(|_| wrong())?;
    header.set_sensitive(true);
    if token.is_empty() { Err(wrong()) } else { Ok(header) }
}

impl Rules {
    /// The rule by which an endpoint may be asked at an address; the refusal names the setting and no address, which
    /// would tell callers about the network behind the service.
    pub(super) fn entrance(&self, to: &Endpoint, address: std::net::IpAddr) -> Option<&Entrance> {
        self.0.iter().find(|entrance| entrance.rule.allows(&to.host, to.port, address))
    }

    /// Whether any rule could let an endpoint in, so that no name is looked up for nothing.
    pub(super) fn may_allow(&self, to: &Endpoint) -> bool {
        self.0.iter().any(|entrance| entrance.rule.may_allow(&to.host, to.port))
    }

    /// An endpoint that no rule is for.
    pub(super) fn refusal(to: &Endpoint) -> Error {
        Error::Precondition(format!(
            "the server's configuration does not let {} be asked: `[remote] allow` names who may be",
            to
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "secret\n").unwrap();
        let read = |at: &str, file: PathBuf| {
            let more = More { at: at.to_owned(), token_file: Some(file), ca: None };
            Settings { allow: vec![Entry::More(more)], ..Settings::default() }.rules().map(|_| ())
        };
        for at in ["models.example:443", "10.0.0.1:443", "[fd00::1]:443"] {
            read(at, file.clone()).unwrap();
        }
        for at in ["models.example:*", "10.0.0.0/8:443", "[fd00::/8]:443"] {
            assert!(read(at, file.clone()).unwrap_err().to_string().starts_with("remote.allow[0].at: "), "{at}");
        }
        let lost = read("models.example:443", folder.path().join("lost")).unwrap_err().to_string();
        assert!(lost.starts_with("remote.allow[0].token_file: "), "{lost}");
        let header = bearer(b"secret\n", "remote.allow[0]").unwrap();
        assert!(header.is_sensitive() && !format!("{header:?}").contains("secret"));
    }
}

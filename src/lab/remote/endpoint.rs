//! Where a model is, in words.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::lab::limits::within;

/// Longest endpoint, name and version, in bytes.
const WORD_MAX: u64 = 512;

/// A model that a server of the Open Inference Protocol has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteModel {
    /// `grpc://HOST:PORT`, or `grpcs://HOST:PORT` with TLS.
    pub endpoint: String,
    /// Its name there.
    pub model: String,
    /// Its version there; empty for what the server takes.
    pub version: String,
}

impl RemoteModel {
    /// Whether text is meant as a remote model and not as a file.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("grpc://") || text.starts_with("grpcs://")
    }

    /// From `grpc://HOST:PORT/NAME[@VERSION]`; a name may have slashes.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = || Error::invalid("model", format!("`{url}` was found, grpc://HOST:PORT/NAME was expected"));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, name) = rest.split_once('/').ok_or_else(wrong)?;
        let (model, version) = name.rsplit_once('@').unwrap_or((name, ""));
        let remote =
            Self { endpoint: format!("{scheme}://{authority}"), model: model.to_owned(), version: version.to_owned() };
        remote.check()?;
        Ok(remote)
    }

    /// Refuses what cannot be asked.
    pub(in crate::lab) fn check(&self) -> Result<()> {
        for (name, word) in [("endpoint", &self.endpoint), ("model", &self.model), ("version", &self.version)] {
            within(&format!("remote_{name}_bytes"), WORD_MAX, word.len() as u64, &format!("the length of {name}"))?;
        }
        if self.model.is_empty() {
            return Err(Error::invalid("remote.model", "is empty; the model's name at its endpoint was expected"));
        }
        Endpoint::parse(&self.endpoint).map(drop)
    }

    /// `HOST:PORT`, as a rule of `[remote] allow` names it.
    pub fn authority(&self) -> &str {
        self.endpoint.split_once("://").map_or("", |(_, authority)| authority)
    }
}

/// A server, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// With `http` or `https`, as clients of gRPC want it.
    pub(super) uri: Uri,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            let found = text.chars().take(200).collect::<String>();
            Error::invalid(
                "remote.endpoint",
                format!("`{found}` was found, `grpc://HOST:PORT` or `grpcs://HOST:PORT` was expected"),
            )
        };
        let (secure, authority) = match text.split_once("://") {
            Some(("grpc", authority)) => (false, authority),
            Some(("grpcs", authority)) => (true, authority),
            _ => return Err(wrong()),
        };
        let uri: Uri =
            format!("{}://{authority}", if secure { "https" } else { "http" }).parse().map_err(|_| wrong())?;
        let plain = uri.path() == "/" && uri.query().is_none() && !authority.contains(['/', '@']);
        let (Some(host), Some(port), true) = (uri.host(), uri.port_u16(), plain) else { return Err(wrong()) };
        // However it is spelled, it is one server with one set of limits.
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let host = host.parse().map_or(host, |address: IpAddr| address.to_canonical().to_string());
        Ok(Self { secure, host, port, uri })
    }
}

impl fmt::Display for Endpoint {
    /// As a rule would name it: without the scheme, which it has in `secure`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_model_is_read_from_its_address() {
        let remote = RemoteModel::parse("grpc://models.example:9000/tenants/a/models/b@3").unwrap();
        assert_eq!((remote.endpoint.as_str(), remote.version.as_str()), ("grpc://models.example:9000", "3"));
        assert_eq!((remote.model.as_str(), remote.authority()), ("tenants/a/models/b", "models.example:9000"));
        let endpoint = Endpoint::parse("grpcs://[::1]:443").unwrap();
        assert_eq!((endpoint.secure, endpoint.host.as_str(), endpoint.port), (true, "::1", 443));
        assert_eq!(endpoint.to_string(), "[::1]:443");
        for (spelled, host) in
            [("Models.Example.", "models.example"), ("[0:0::1]", "::1"), ("[::ffff:10.0.0.1]", "10.0.0.1")]
        {
            assert_eq!(Endpoint::parse(&format!("grpc://{spelled}:1")).unwrap().host, host);
        }
        for wrong in
            ["grpc://a:1", "grpc://a:1/", "grpc://a/m", "http://a:1/m", "grpc://u@a:1/m", "grpc:///m", "m.onnx"]
        {
            assert!(RemoteModel::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Endpoint::parse("grpc://a:1/path").is_err() && Endpoint::parse("grpc://a:1?q").is_err());
    }
}

//! Where an issuer's keys are read from.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::{Error, Result};

/// The setting that names the source.
pub(super) const FIELD: &str = "auth.jwt.jwks";

/// What an issuer may take to answer, and how much it may say.
const PATIENCE: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 1 << 20;

/// Where the keys are.
#[derive(Clone)]
pub(super) enum Source {
    File(PathBuf),
    Url(String),
}

impl Source {
    pub(super) fn new(jwks: &str) -> Result<Self> {
        if !jwks.contains("://") {
            return Ok(Self::File(jwks.into()));
        }
        let uri: Uri = jwks.parse().map_err(|e| Error::invalid(FIELD, format!("{jwks}: {e}")))?;
        let safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => uri.host().is_some_and(is_loopback),
            _ => false,
        };
        if !safe {
            let message = format!(
                "`{jwks}` was found, a file or https:// was expected: whoever can change keys on their way can sign tokens"
            );
            return Err(Error::invalid(FIELD, message));
        }
        Ok(Self::Url(jwks.to_owned()))
    }

    pub(super) async fn read(&self) -> Result<Vec<u8>> {
        let source = self.clone();
        let bytes = tokio::task::spawn_blocking(move || match source {
            Self::File(path) => {
                std::fs::read(&path).map_err(|e| Error::invalid(FIELD, format!("{}: {e}", path.display())))
            }
            Self::Url(url) => download(&url).map_err(|e| Error::Unavailable(format!("{FIELD}: {url}: {e}"))),
        });
        bytes.await.map_err(|e| Error::internal("reading keys", e))?
    }
}

/// Whether a URL's host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// A redirect could lead anywhere, so none is followed.
fn download(url: &str) -> std::result::Result<Vec<u8>, ureq::Error> {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build();
    let config = ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(PATIENCE)).max_redirects(0);
    // In the clear is for this machine alone, and must not go by a proxy; https may.
    let config = if url.starts_with("http://") { config.proxy(None) } else { config };
    let mut answer = config.build().new_agent().get(url).call()?;
    if answer.status() != http::StatusCode::OK {
        return Err(ureq::Error::StatusCode(answer.status().as_u16()));
    }
    answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn keys_come_from_files_and_from_where_nobody_can_change_them() {
        for sound in ["keys.json", "https://issuer.example/keys", "http://127.0.0.1:80/keys", "http://[::1]/keys"] {
            assert!(Source::new(sound).is_ok(), "{sound}");
        }
        for wrong in
            ["http://issuer.example/keys", "http://127.0.0.1.example/keys", "ftp://issuer.example/", "https://"]
        {
            assert!(Source::new(wrong).is_err(), "{wrong}");
        }
    }

    /// A server that answers once, and where it is.
    fn answer(text: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(text.as_bytes());
        });
        url
    }

    #[tokio::test]
    async fn an_answer_is_read_within_bounds_and_no_redirect_is_followed() {
        let body = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let read = async |text: String| Source::new(&answer(text)).unwrap().read().await;
        assert_eq!(read(body("keys")).await.unwrap(), b"keys");
        assert!(read(body(&"x".repeat(2 << 20))).await.is_err());
        assert!(read("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned()).await.is_err());
        let elsewhere = answer(body("keys of somebody else"));
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
        assert!(read(moved).await.is_err());
    }
}

//! The keys of an issuer, from a file or a URL, read anew as they change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::error::{Error, Result};

/// A set of keys is read at least so often.
const PERIOD: Duration = Duration::from_secs(600);

/// A key that nobody knows has the set read anew, but no more often than this: whoever makes up names of keys must not
/// have this service call the issuer's.
const PAUSE: Duration = Duration::from_secs(60);

/// What an issuer may take to answer, and how much it may say.
const PATIENCE: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 1 << 20;

const FIELD: &str = "auth.jwt.jwks";

/// A key, and the algorithms that it may be used with.
pub(super) struct Key {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

type Set = HashMap<String, Arc<Key>>;

/// The keys of an issuer by their `kid`.
pub(super) struct Keys {
    source: Source,
    algorithms: Vec<Algorithm>,
    set: RwLock<Set>,
    /// When the set was last read, well or not. Whoever reads it holds this.
    read: Mutex<Instant>,
}

impl Keys {
    /// Reads a file, which must be right. A URL may fail for now: an issuer that is away must not keep the service from
    /// starting, and its tokens are refused until it is back.
    pub(super) async fn new(jwks: &str, algorithms: Vec<Algorithm>) -> Result<Arc<Self>> {
        let source = Source::new(jwks)?;
        let set = match (source.read(&algorithms).await, &source) {
            (Err(error), Source::Url(_)) => {
                tracing::error!(%error, "the issuer's keys cannot be read; its tokens are refused until they can");
                Set::new()
            }
            (set, _) => set?,
        };
        let keys = Arc::new(Self { source, algorithms, set: RwLock::new(set), read: Mutex::new(Instant::now()) });
        let kept = Arc::downgrade(&keys);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PERIOD).await;
                let Some(keys) = kept.upgrade() else { return };
                keys.renew(Duration::ZERO).await;
            }
        });
        Ok(keys)
    }

    /// The key of a name, which may be younger than the set.
    pub(super) async fn find(&self, kid: &str) -> Option<Arc<Key>> {
        if let Some(key) = self.known(kid) {
            return Some(key);
        }
        self.renew(PAUSE).await;
        self.known(kid)
    }

    fn known(&self, kid: &str) -> Option<Arc<Key>> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Reads the set anew, unless that was done within `pause`. If it fails, the keys stay what they were.
    async fn renew(&self, pause: Duration) {
        let mut read = self.read.lock().await;
        if read.elapsed() < pause {
            return;
        }
        *read = Instant::now();
        match self.source.read(&self.algorithms).await {
            Ok(set) => *self.set.write().unwrap_or_else(PoisonError::into_inner) = set,
            Err(error) => tracing::error!(%error, "the issuer's keys cannot be read anew; those before stay"),
        }
    }
}

/// Where the keys are.
#[derive(Clone)]
enum Source {
    File(PathBuf),
    Url(String),
}

impl Source {
    fn new(jwks: &str) -> Result<Self> {
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

    async fn read(&self, algorithms: &[Algorithm]) -> Result<Set> {
        let source = self.clone();
        let bytes = tokio::task::spawn_blocking(move || match source {
            Self::File(path) => {
                std::fs::read(&path).map_err(|e| Error::invalid(FIELD, format!("{}: {e}", path.display())))
            }
            Self::Url(url) => download(&url).map_err(|e| Error::Unavailable(format!("{FIELD}: {url}: {e}"))),
        });
        parse(&bytes.await.map_err(|e| Error::internal("reading keys", e))??, algorithms)
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
    let mut answer = config.build().new_agent().get(url).call()?;
    answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec()
}

/// The keys of a set that may verify one of the algorithms. What else a set holds is no business of this service.
fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Set> {
    #[derive(Deserialize)]
    struct Listed {
        keys: Vec<Value>,
    }
    let listed: Listed =
        serde_json::from_slice(bytes).map_err(|e| Error::invalid(FIELD, format!("is no JWKS: {e}")))?;
    let mut set = Set::new();
    for jwk in listed.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
        let algorithms: Vec<_> = algorithms.iter().copied().filter(|algorithm| fits(&jwk, *algorithm)).collect();
        if let (Some(kid), Ok(key), false) = (&jwk.common.key_id, DecodingKey::from_jwk(&jwk), algorithms.is_empty()) {
            set.insert(kid.clone(), Arc::new(Key { algorithms, key }));
        }
    }
    if set.is_empty() {
        let message = format!("there is no key with a `kid` for any of {algorithms:?}; see to auth.jwt.algorithms");
        return Err(Error::invalid(FIELD, message));
    }
    Ok(set)
}

/// Whether a key is of the algorithm's kind, and not set aside for another or for encryption.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    use AlgorithmParameters as Of;
    let kind = match (&jwk.algorithm, algorithm) {
        (Of::RSA(_), any) => any.family() == AlgorithmFamily::Rsa,
        (Of::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (Of::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (Of::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    kind && signs && jwk.common.key_algorithm.is_none_or(|named| named == algorithm.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn a_key_is_for_the_algorithms_of_its_kind() {
        let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
        let set = json!({"keys": [
            {"kid": "curve", "kty": "EC", "crv": "P-256", "x": x, "y": x},
            {"kid": "edwards", "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA"},
            {"kid": "other", "kty": "EC", "crv": "P-256", "x": x, "y": x, "alg": "ES384"},
            {"kid": "locks", "kty": "EC", "crv": "P-256", "x": x, "y": x, "use": "enc"},
            {"kid": "secret", "kty": "oct", "k": x},
            {"kty": "EC", "crv": "P-256", "x": x, "y": x},
            {"kid": "strange", "kty": "lattice"},
            {"kid": 7},
        ]});
        let all = [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];
        let set = parse(set.to_string().as_bytes(), &all).unwrap();
        let mut names: Vec<_> = set.iter().map(|(kid, key)| (kid.as_str(), key.algorithms.clone())).collect();
        names.sort_by_key(|(kid, _)| kid.to_owned());
        assert_eq!(names, [("curve", vec![Algorithm::ES256]), ("edwards", vec![Algorithm::EdDSA])]);
        assert!(parse(b"{\"keys\": []}", &all).is_err() && parse(b"<html>", &all).is_err());
    }
}

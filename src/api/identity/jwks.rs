//! The keys of an issuer, from a file or a URL, read anew as they change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::source::{FIELD, Source};
use crate::error::{Error, Result};

/// A set of keys is read at least so often.
const PERIOD: Duration = Duration::from_secs(600);

/// A key that nobody knows has the set read anew, but no more often than this: whoever makes up names of keys must not
/// have this service call the issuer's.
const PAUSE: Duration = Duration::from_secs(60);

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
    last: Mutex<Instant>,
}

impl Keys {
    /// Reads a file, which must be right. A URL may fail for now: an issuer that is away must not keep the service from
    /// starting, and its tokens are refused until it is back.
    pub(super) async fn new(jwks: &str, algorithms: Vec<Algorithm>) -> Result<Arc<Self>> {
        let source = Source::new(jwks)?;
        let set = match (read(&source, &algorithms).await, &source) {
            (Err(error), Source::Url(_)) => {
                tracing::error!(%error, "the issuer's keys cannot be read; its tokens are refused until they can");
                Set::new()
            }
            (set, _) => set?,
        };
        let keys = Arc::new(Self { source, algorithms, set: RwLock::new(set), last: Mutex::new(Instant::now()) });
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
        let mut last = self.last.lock().await;
        if last.elapsed() < pause {
            return;
        }
        *last = Instant::now();
        match read(&self.source, &self.algorithms).await {
            Ok(set) => *self.set.write().unwrap_or_else(PoisonError::into_inner) = set,
            Err(error) => tracing::error!(%error, "the issuer's keys cannot be read anew; those before stay"),
        }
    }
}

async fn read(source: &Source, algorithms: &[Algorithm]) -> Result<Set> {
    parse(&source.read().await?, algorithms)
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

    #[tokio::test]
    async fn a_set_is_read_anew_and_stays_while_it_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let write = |kid: &str| {
            let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
            let set = json!({"keys": [{"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": x}]});
            std::fs::write(&path, set.to_string()).unwrap();
        };
        write("old");
        let keys = Keys::new(path.to_str().unwrap(), vec![Algorithm::EdDSA]).await.unwrap();
        write("new");
        // The set has only just been read.
        assert!(keys.find("old").await.is_some() && keys.find("new").await.is_none());
        keys.renew(Duration::ZERO).await;
        assert!(keys.find("old").await.is_none() && keys.find("new").await.is_some());
        std::fs::write(&path, "{").unwrap();
        keys.renew(Duration::ZERO).await;
        assert!(keys.find("new").await.is_some());
        assert!(Keys::new(path.to_str().unwrap(), vec![Algorithm::EdDSA]).await.is_err());
        assert!(Keys::new("http://127.0.0.1:9/keys", vec![Algorithm::EdDSA]).await.is_ok());
    }
}

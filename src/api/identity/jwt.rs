//! Tokens that an issuer signs, by RFC 7519.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, Validation, decode, decode_header};
use serde_json::Value;

use super::jwks::Keys;
use super::{Identity, Role, Tenant, settings};
use crate::error::{Error, Result};

/// Seconds by which two clocks may differ.
const LEEWAY: u64 = 30;

/// The tokens of one issuer.
pub(super) struct Jwt {
    settings: settings::Jwt,
    keys: Arc<Keys>,
}

impl Jwt {
    pub(super) async fn new(settings: settings::Jwt) -> Result<Self> {
        let algorithms = algorithms(&settings.algorithms)?;
        for (field, value) in [("issuer", &settings.issuer), ("audience", &settings.audience)] {
            if value.is_empty() {
                return Err(Error::invalid(format!("auth.jwt.{field}"), "is empty; tokens of anybody would be taken"));
            }
        }
        let keys = Keys::new(&settings.jwks, algorithms).await?;
        Ok(Self { settings, keys })
    }

    /// Whose token this is; `None` if it is not sound, whatever the reason.
    pub(super) async fn find(&self, token: &str) -> Result<Option<Identity>> {
        let Ok(header) = decode_header(token) else { return Ok(None) };
        let Some(kid) = header.kid else { return Ok(None) };
        let Some(key) = self.keys.find(&kid).await else { return Ok(None) };
        // The key says which algorithms it is for, and the token only which of these it was.
        if !key.algorithms.contains(&header.alg) {
            return Ok(None);
        }
        match decode::<HashMap<String, Value>>(token, &key.key, &self.validation(header.alg)) {
            Ok(token) => self.identity(&token.claims).map(Some),
            Err(error) => {
                tracing::debug!(%error, "a token is not sound");
                Ok(None)
            }
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation
    }

    /// Whom the claims of a sound token mean.
    fn identity(&self, claims: &HashMap<String, Value>) -> Result<Identity> {
        let name = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let lacks = |claim: &str, what| {
            Error::Denied(format!("the token of `{name}` has no claim `{claim}` that is {what}; its issuer sets it"))
        };
        let claim = &self.settings.tenant_claim;
        let tenant = claims.get(claim).and_then(Value::as_str).and_then(|text| text.parse::<Tenant>().ok());
        let tenant = tenant.ok_or_else(|| lacks(claim, "the name of a tenant"))?;
        let claim = &self.settings.role_claim;
        let roles = match claims.get(claim) {
            Some(Value::Array(roles)) => roles.as_slice(),
            Some(role) => std::slice::from_ref(role),
            None => &[],
        };
        // Issuers list the roles of other services too.
        let role = roles.iter().filter_map(|role| role.as_str()?.parse::<Role>().ok()).max();
        let role = role.ok_or_else(|| lacks(claim, "reader, runner or admin"))?;
        Ok(Identity { name, tenant, role })
    }
}

/// Algorithms by their names. Those with a shared secret are none: whoever can check a token could make one, and an
/// issuer's public key could be taken for the secret.
fn algorithms(names: &[String]) -> Result<Vec<Algorithm>> {
    let families = [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
    let known: Vec<Algorithm> = families.iter().flat_map(|family| family.algorithms().to_vec()).collect();
    let find = |name: &String| known.iter().copied().find(|algorithm| format!("{algorithm:?}") == *name);
    let refuse = |place: String, found: &str| {
        let message = format!("{found} was found, some of {known:?} were expected");
        Error::invalid(format!("auth.jwt.algorithms{place}"), message)
    };
    if names.is_empty() {
        return Err(refuse(String::new(), "an empty list"));
    }
    let listed = names.iter().enumerate();
    listed.map(|(n, name)| find(name).ok_or_else(|| refuse(format!("[{n}]"), &format!("`{name}`")))).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;

    use super::*;

    #[test]
    fn algorithms_with_a_shared_secret_or_none_are_refused() {
        let parse = |names: &[&str]| algorithms(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&["RS256", "ES256", "EdDSA"]).unwrap().len(), 3);
        for wrong in ["HS256", "HS384", "HS512", "none", "None", "rs256", ""] {
            let error = parse(&["RS256", wrong]).unwrap_err().to_string();
            assert!(error.starts_with("auth.jwt.algorithms[1]: ") && !error.contains(", HS"), "{error}");
        }
        assert!(parse(&[]).is_err());
    }

    #[tokio::test]
    async fn a_token_is_taken_for_what_all_of_its_claims_say() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let key =
            json!({"kid": "1", "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw())});
        std::fs::write(&path, json!({"keys": [key]}).to_string()).unwrap();
        let settings = settings::Jwt {
            jwks: path.display().to_string(),
            issuer: "issuer".to_owned(),
            audience: "assay".to_owned(),
            algorithms: vec!["EdDSA".to_owned()],
            tenant_claim: "team".to_owned(),
            role_claim: "roles".to_owned(),
        };
        let jwt = Jwt::new(settings).await.unwrap();
        let now = get_current_timestamp();
        let find = async |changed: Value, kid: Option<&str>| {
            let mut claims = json!({"sub": "ada", "iss": "issuer", "aud": ["assay", "other"], "exp": now + 600,
                                    "team": "vision", "roles": ["auditor", "reader", "runner"]});
            let (all, changed) = (claims.as_object_mut().unwrap(), changed.as_object().unwrap().clone());
            all.extend(changed);
            all.retain(|_, value| !value.is_null());
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
            let key = EncodingKey::from_ed_der(pair.serialized_der());
            jwt.find(&encode(&header, &claims, &key).unwrap()).await
        };
        let ada = |role| Some(Identity { name: "ada".to_owned(), tenant: "vision".parse().unwrap(), role });
        assert_eq!(find(json!({}), Some("1")).await.unwrap(), ada(Role::Runner));
        assert_eq!(find(json!({"roles": "admin", "nbf": now - 9}), Some("1")).await.unwrap(), ada(Role::Admin));
        for unsound in [
            json!({"exp": null}),
            json!({"exp": now - 60}),
            json!({"exp": "soon"}),
            json!({"nbf": now + 60}),
            json!({"iss": null}),
            json!({"iss": "another"}),
            json!({"aud": null}),
            json!({"aud": ["other"]}),
            json!({"sub": null}),
        ] {
            assert_eq!(find(unsound.clone(), Some("1")).await.unwrap(), None, "{unsound}");
        }
        for kid in [None, Some("2"), Some("")] {
            assert_eq!(find(json!({}), kid).await.unwrap(), None, "{kid:?}");
        }
        for lacking in
            [json!({"team": null}), json!({"team": "a/b"}), json!({"roles": null}), json!({"roles": ["root"]})]
        {
            let denied = find(lacking.clone(), Some("1")).await;
            assert!(matches!(denied, Err(Error::Denied(_))), "{lacking}");
        }
        for junk in ["", ".", "..", "...", "a.b.c", "e30.e30.e30", "ey.\u{e4}.\0"] {
            assert_eq!(jwt.find(junk).await.unwrap(), None, "{junk}");
        }
    }
}

//! How callers show who they are: the table `[auth]` of a configuration file.

use std::path::PathBuf;

use serde::Deserialize;

use super::tokens::{Digest, Expiry};
use super::{Role, Tenant};

/// The ways in which callers may show who they are. Without any, everybody may do everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Tokens that this service knows, `[[auth.token]]`.
    pub token: Vec<Token>,
    /// Tokens that an issuer signs, `[auth.jwt]`.
    pub jwt: Option<Jwt>,
    /// Clients that show a certificate, `[[auth.client]]`.
    pub client: Vec<Client>,
    /// A file to which a line of JSON is added for every call that changed something or was refused.
    pub audit_log: Option<PathBuf>,
}

impl Settings {
    /// Whether anybody is asked who they are.
    pub fn is_on(&self) -> bool {
        !self.token.is_empty() || self.jwt.is_some() || !self.client.is_empty()
    }
}

/// A token, of which only the digest is known; `assay token create` makes one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What logs call its bearer.
    pub name: String,
    pub tenant: Tenant,
    pub role: Role,
    /// SHA-256 of the token, in hexadecimal.
    pub sha256: Digest,
    /// When it ends, as RFC 3339 writes a date or a time.
    pub expires: Option<Expiry>,
}

/// An issuer of signed tokens, by RFC 7519.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// A file or a URL with the issuer's keys, by RFC 7517; each needs a `kid`, by which tokens name it.
    pub jwks: String,
    /// What the claim `iss` must say.
    pub issuer: String,
    /// What the claim `aud` must hold.
    pub audience: String,
    /// The algorithms that may sign, such as `RS256`, `ES256` or `EdDSA`.
    pub algorithms: Vec<String>,
    /// The claim that names the tenant.
    #[serde(default = "tenant_claim")]
    pub tenant_claim: String,
    /// The claim that names the role, or a list of which the highest counts.
    #[serde(default = "role_claim")]
    pub role_claim: String,
}

fn tenant_claim() -> String {
    "tenant".to_owned()
}

fn role_claim() -> String {
    "role".to_owned()
}

/// A client that shows a certificate which `tls.client_ca` has signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// A subject alternative name of its certificate: a host's name, a URI or an e-mail address.
    pub san: String,
    pub tenant: Tenant,
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_way_can_be_written_down() {
        let digest = "0123456789abcdef".repeat(4);
        let settings = parse(&format!(
            "audit_log = \"audit.jsonl\"
             [[token]]
             name = \"ci\"
             tenant = \"vision\"
             role = \"runner\"
             sha256 = \"{digest}\"
             expires = \"2027-01-01\"
             [jwt]
             jwks = \"keys.json\"
             issuer = \"https://issuer.example\"
             audience = \"assay\"
             algorithms = [\"ES256\"]
             [[client]]
             san = \"spiffe://example/ci\"
             tenant = \"vision\"
             role = \"reader\""
        ))
        .unwrap();
        assert!(settings.is_on() && settings.token[0].role == Role::Runner && settings.client[0].role == Role::Reader);
        let jwt = settings.jwt.unwrap();
        assert_eq!((jwt.tenant_claim.as_str(), jwt.role_claim.as_str()), ("tenant", "role"));
        assert!(!parse("audit_log = \"audit.jsonl\"").unwrap().is_on());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let token = |changed: &str| {
            let mut lines = vec!["name = \"ci\"", "tenant = \"vision\"", "role = \"runner\""];
            let digest = format!("sha256 = \"{}\"", "ab".repeat(32));
            lines.push(&digest);
            let key = changed.split(' ').next().unwrap_or_default();
            lines.retain(|line| !line.starts_with(key));
            parse(&format!("[[token]]\n{}\n{changed}", lines.join("\n"))).unwrap_err()
        };
        for (changed, expect) in [
            ("tenant = \"Vision\"", "1 to 63 of a-z, 0-9 and -"),
            ("role = \"root\"", "expected one of `reader`, `runner`, `admin`"),
            ("sha256 = \"abc\"", "64 hexadecimal digits were expected"),
            ("expires = \"soon\"", "RFC 3339"),
            ("token = \"secret\"", "unknown field `token`"),
        ] {
            let message = token(changed);
            assert!(message.contains(expect) && message.contains("line"), "{message}");
        }
    }
}

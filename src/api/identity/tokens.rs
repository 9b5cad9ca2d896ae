//! Tokens that the service knows by their digests.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost_types::Timestamp;
use serde::Deserialize;
use sha2::Sha256;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Identity;
use super::settings::Token;
use crate::error::{Error, Result};

/// What every token begins with, so that those who search files for secrets can find one.
const PREFIX: &str = "assay_";

/// Bytes of chance in a token.
const BYTES: usize = 32;

/// A new token.
pub fn fresh() -> Result<String> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(|e| Error::internal("random numbers", e))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// SHA-256 of a token. A token is 256 bits of chance, which nobody can guess however fast the hash is, so that a slow one
/// with a salt, as for passwords, would only cost time with every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of a token.
    pub fn of(token: &str) -> Self {
        Self(<Sha256 as sha2::Digest>::digest(token.as_bytes()).into())
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let wrong = || Error::invalid("sha256", format!("{text:?} was found, 64 hexadecimal digits were expected"));
        // A sign would be taken for a digit below.
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

/// When a token ends; a date is its first moment, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Expiry(SystemTime);

/// TOML has dates of its own, besides those in quotation marks.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Date(toml::value::Datetime),
}

impl TryFrom<Written> for Expiry {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Date(date) => date.to_string().parse(),
        }
    }
}

impl FromStr for Expiry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let time = text.parse::<Timestamp>().ok().and_then(|time| SystemTime::try_from(time).ok());
        time.map(Self).ok_or_else(|| {
            let message = format!("{text:?} was found, a date or time by RFC 3339 was expected, such as 2027-01-31");
            Error::invalid("expires", message)
        })
    }
}

impl std::fmt::Display for Expiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Timestamp::from(self.0).fmt(f)
    }
}

/// All tokens of a service.
pub(super) struct Tokens(Vec<(Token, Identity)>);

impl Tokens {
    pub(super) fn new(tokens: Vec<Token>) -> Result<Self> {
        for (place, token) in tokens.iter().enumerate() {
            if let Some(other) = tokens[..place].iter().find(|other| other.sha256 == token.sha256) {
                let message = format!("`{}` and `{}` have the same token; each needs its own", other.name, token.name);
                return Err(Error::invalid(format!("auth.token[{place}].sha256"), message));
            }
        }
        let identity = |t: &Token| Identity { name: t.name.clone(), tenant: t.tenant.clone(), role: t.role };
        Ok(Self(tokens.into_iter().map(|token| (token.clone(), identity(&token))).collect()))
    }

    /// Whose token this is, unless it has ended.
    ///
    /// The time that it takes tells nothing of the digests, nor where among them one was found.
    pub(super) fn find(&self, token: &str) -> Option<&Identity> {
        let Digest(digest) = Digest::of(token);
        let mut found = u64::MAX;
        for (place, (known, _)) in (0u64..).zip(&self.0) {
            found.conditional_assign(&place, known.sha256.0.ct_eq(&digest));
        }
        let (known, identity) = self.0.get(usize::try_from(found).ok()?)?;
        let alive = known.expires.is_none_or(|Expiry(end)| now() < end);
        alive.then_some(identity)
    }
}

fn now() -> SystemTime {
    // A clock that says less than 1970 would have every token live.
    SystemTime::now().max(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    fn token(name: &str, secret: &str, expires: Option<&str>) -> Token {
        Token {
            name: name.to_owned(),
            tenant: "vision".parse().unwrap(),
            role: Role::Runner,
            sha256: Digest::of(secret),
            expires: expires.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn a_token_is_found_by_its_digest_until_it_ends() {
        let known =
            [token("a", "one", None), token("b", "two", Some("2999-01-01")), token("c", "three", Some("2020-01-01"))];
        let tokens = Tokens::new(known.to_vec()).unwrap();
        let name = |secret| tokens.find(secret).map(|identity| identity.name.as_str());
        assert_eq!(
            [name("one"), name("two"), name("three"), name("four"), name("")],
            [Some("a"), Some("b"), None, None, None]
        );
        assert!(Tokens::new(Vec::new()).unwrap().find("one").is_none());
        let twice = Tokens::new(vec![token("a", "one", None), token("b", "one", None)]);
        assert!(twice.err().unwrap().to_string().starts_with("auth.token[1].sha256"));
    }

    #[test]
    fn digests_and_dates_are_read_as_they_are_written() {
        let digest = Digest::of("abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::try_from(digest.to_string()).unwrap(), digest);
        assert!(Digest::try_from(format!("+1{}", "a".repeat(62))).is_err());
        #[derive(Deserialize)]
        struct Table {
            expires: Expiry,
        }
        let read = |text: &str| toml::from_str::<Table>(text).unwrap().expires.to_string();
        for text in ["expires = \"2027-01-31\"", "expires = 2027-01-31", "expires = 2027-01-31T01:00:00+01:00"] {
            assert_eq!(read(text), "2027-01-31T00:00:00Z");
        }
    }

    #[test]
    fn fresh_tokens_are_long_and_never_the_same() {
        let (one, two) = (fresh().unwrap(), fresh().unwrap());
        assert!(one.starts_with(PREFIX) && one.len() == PREFIX.len() + 43 && one != two);
    }
}

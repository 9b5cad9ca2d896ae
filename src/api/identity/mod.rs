//! Who calls, for which tenant, and what they may do.
//!
//! [`Settings`] say how callers show who they are. [`Access`] is made of them once and stands before every method, as a
//! layer: it finds out the [`Identity`], refuses what its role may not do, writes down what it changes, and sends it along
//! with the request. Handlers take the tenant from there and from nowhere else.

mod access;
mod audit;
mod certificates;
mod jwks;
mod jwt;
mod roles;
mod settings;
mod source;
mod tokens;

pub use access::Access;
pub use settings::{Client, Jwt, Settings, Token};
pub(crate) use source::is_loopback;
pub use tokens::{Digest, Expiry, fresh};

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::lab::LOCAL;

/// Longest name of a tenant, which is that of a DNS label.
const TENANT_MAX: usize = 63;

/// Somebody who calls: what a request's credentials come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What logs call them.
    pub name: String,
    /// Whose resources they see.
    pub tenant: Tenant,
    /// What they may do with these.
    pub role: Role,
}

impl Identity {
    /// Whoever calls a service that asks nobody for credentials.
    fn anyone() -> Self {
        Self { name: "anyone".to_owned(), tenant: Tenant(LOCAL.to_owned()), role: Role::Admin }
    }
}

/// What an identity may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at what there is.
    Reader,
    /// Upload, judge and delete.
    Runner,
    /// Everything.
    Admin,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Runner => "runner",
            Self::Admin => "admin",
        })
    }
}

/// The name of a tenant. It stands in names of resources and in keys of the engine, so it can hold nothing that means
/// something there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Tenant(String);

impl FromStr for Tenant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let sound = text.len() <= TENANT_MAX
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || b == b'-');
        if sound {
            return Ok(Self(text.to_owned()));
        }
        let message =
            format!("{text:?} was found, 1 to {TENANT_MAX} of a-z, 0-9 and - were expected, the first of them no -");
        Err(Error::invalid("tenant", message))
    }
}

impl TryFrom<String> for Tenant {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl Deref for Tenant {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_written_small() {
        assert!(Role::Reader < Role::Runner && Role::Runner < Role::Admin);
        for role in [Role::Reader, Role::Runner, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("Admin".parse::<Role>().is_err());
    }

    #[test]
    fn a_tenant_is_a_label() {
        let longest = "a".repeat(TENANT_MAX);
        for sound in ["a", "7", "vision-2", "local", longest.as_str()] {
            assert_eq!(&*sound.parse::<Tenant>().unwrap(), sound);
        }
        for wrong in ["", "-a", "A", "a/b", "a_b", "ä", "a b", "a\0", &"a".repeat(TENANT_MAX + 1)] {
            assert!(wrong.parse::<Tenant>().is_err(), "{wrong:?}");
        }
        assert_eq!(&*Identity::anyone().tenant, LOCAL);
    }
}

//! Resource names: `tenants/{tenant}/{kind}/{id}`.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The tenant of callers without an identity.
pub const LOCAL: &str = "local";

/// Where a job's shards go that asks for no pool, and what a worker serves that names none.
const DEFAULT_POOL: &str = "default";

/// Length of a pool's name.
const POOL_MAX: usize = 32;

/// A kind of workers, such as `big-memory`: jobs ask for one, workers serve some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolName(String);

impl PoolName {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_default(&self) -> bool {
        self.0 == DEFAULT_POOL
    }
}

impl Default for PoolName {
    fn default() -> Self {
        Self(DEFAULT_POOL.to_owned())
    }
}

impl FromStr for PoolName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=POOL_MAX).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        let message = format!("{text:?} was found, 1 to {POOL_MAX} of a-z, 0-9 and - were expected");
        Err(Error::invalid("pool", message))
    }
}

impl TryFrom<String> for PoolName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PoolName> for String {
    fn from(pool: PoolName) -> Self {
        pool.0
    }
}

/// `tenants/{tenant}/{kind}/{id}`.
pub(super) fn name(tenant: &str, kind: &str, id: &str) -> String {
    format!("tenants/{tenant}/{kind}/{id}")
}

/// The id in a name of this tenant and kind; `field` is the request's field that holds the name.
pub(super) fn id<'a>(name: &'a str, tenant: &str, kind: &str, field: &str) -> Result<&'a str> {
    let sound = |id: &&str| {
        !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["tenants", of, found, id] if *found == kind && sound(id) => {
            // Another tenant's resource is no different from one that does not exist.
            if *of == tenant { Ok(id) } else { Err(Error::NotFound(name.to_owned())) }
        }
        _ => Err(Error::invalid(field, format!("`{name}` was found, `tenants/{tenant}/{kind}/ID` was expected"))),
    }
}

/// The tenant in a name.
pub(super) fn tenant(name: &str) -> Result<&str> {
    match name.split('/').nth(1) {
        Some(tenant) if name.starts_with("tenants/") => Ok(tenant),
        _ => Err(Error::internal("resource name", name)),
    }
}

/// An id that follows from content.
pub(super) fn content_id(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The first bytes of a SHA-256: enough to tell things apart where a mistake harms nobody but its sender.
pub(super) fn short_hash(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// An id that nobody can guess, in the order of time.
pub(super) fn fresh_id() -> Result<String> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|e| Error::internal("random numbers", e))?;
    let random: String = random.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{:012x}{random}", now()))
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago `then` was, in milliseconds since 1970 both; no time at all where the clock was set back meanwhile.
pub(super) fn since(then: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(then))
}

/// The name of a job's artifact.
pub fn artifact(job: &str, id: &str) -> String {
    format!("{job}/artifacts/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time_and_never_the_same() {
        let mut ids: Vec<String> = (0..100).map(|_| fresh_id().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(2));
        let later = fresh_id().unwrap();
        assert!(ids.iter().all(|id| *id < later && id.len() == later.len()));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100);
    }

    #[test]
    fn pools_have_plain_names() {
        assert_eq!("big-memory".parse::<PoolName>().map(String::from).ok().as_deref(), Some("big-memory"));
        for name in ["", "big memory", "a_b", "A", "a.b", &"a".repeat(33)] {
            assert!(name.parse::<PoolName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_late() {
        assert_eq!(since(1_000, 3_500), Duration::from_millis(2_500));
        assert_eq!(since(u64::MAX, 0), Duration::ZERO);
    }
}

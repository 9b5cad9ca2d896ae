//! What a machine and a data folder are fit for. Everything is only looked at, without a lock or a migration, unless a
//! repair is asked for.

mod blobs;
mod data;
mod machine;
mod nats;
mod repair;
mod slot;

use std::path::Path;

use serde::Serialize;

/// How one thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    /// It works, but worse than it could.
    Warn,
    /// Jobs will fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sign {
    /// What was looked at, in a word or two.
    pub what: String,
    pub health: Health,
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

impl Sign {
    /// All is well.
    pub fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), health: Health::Ok, found: found.into(), advice: String::new() }
    }

    /// It works, but worse than it could.
    pub fn warn(what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self { health: Health::Warn, advice: advice.to_owned(), ..Self::ok(what, found) }
    }

    /// It does not work.
    pub fn fail(what: &str, found: impl Into<String>, advice: &str) -> Self {
        Self { health: Health::Fail, advice: advice.to_owned(), ..Self::ok(what, found) }
    }
}

/// The processor, the memory and the kernel.
pub fn machine() -> Vec<Sign> {
    machine::signs()
}

/// The data folder of the engine `sqlite:DIR`, which may be in use.
pub fn data(dir: &Path) -> Vec<Sign> {
    data::signs(dir)
}

/// Puts the data folder of the engine `sqlite:DIR` in order, which must not be in use; what was done, action by action.
pub fn repair(dir: &Path) -> Vec<Sign> {
    repair::signs(dir)
}

/// The servers of the engine `nats://...`, and what they hold of assay's.
pub async fn nats(servers: &str, settings: &super::engines::nats::Settings) -> Vec<Sign> {
    nats::signs(servers, settings).await
}

/// A slot that is started and asked about `onnx` with a signature, as for every upload, and what shuts it in.
pub async fn slot(onnx: &[u8], signature: &str) -> Vec<Sign> {
    slot::signs(onnx, signature).await
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        #[allow(clippy::cast_precision_loss)]
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

//! The servers of the engine `nats://...`.

use super::{Sign, size};
use crate::lab::engines::nats::{Settings, look};

pub(super) async fn signs(servers: &str, settings: &Settings) -> Vec<Sign> {
    let (found, streams) = match look(servers, settings).await {
        Ok(seen) => seen,
        Err(e) => {
            return vec![Sign::fail("nats", e.to_string(), "start the servers, or see to address and permissions")];
        }
    };
    let mut signs = vec![Sign::ok("nats", found)];
    if streams.is_empty() {
        signs.push(Sign::ok("streams", "are not there yet; `assay serve` makes them"));
    }
    for stream in streams {
        let what = stream.name.trim_start_matches("KV_").trim_start_matches("OBJ_");
        let (held, current) = (stream.replicas, stream.current);
        let found =
            format!("{} messages, {}, {current} of {held} replicas current", stream.messages, size(stream.bytes));
        signs.push(if current < held {
            Sign::warn(what, found, "a server is away or behind; one more may cost the majority")
        } else if held == 1 {
            Sign::warn(what, found, "one disk holds it: three servers and nats.replicas = 3 keep it when one is lost")
        } else {
            Sign::ok(what, found)
        });
    }
    signs
}

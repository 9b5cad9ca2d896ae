//! What an operator wants to know of the servers; nothing is made.

use super::link::Link;
use super::objects::{BLOBS, META, RESULTS, TASKS};
use super::{Settings, without_secrets};
use crate::error::Result;

/// One stream as its leader sees it.
pub(in crate::lab) struct Seen {
    pub(in crate::lab) name: String,
    pub(in crate::lab) messages: u64,
    pub(in crate::lab) bytes: u64,
    /// Servers that hold it, the leader among them, and those of them that have all of it.
    pub(in crate::lab) replicas: usize,
    pub(in crate::lab) current: usize,
}

/// The servers' version, and the streams that are there.
pub(in crate::lab) async fn look(servers: &str, settings: &Settings) -> Result<(String, Vec<Seen>)> {
    let link = Link::connect(servers, settings).await?;
    let mut streams = Vec::new();
    for name in [TASKS.to_owned(), RESULTS.to_owned(), format!("KV_{META}"), format!("OBJ_{BLOBS}")] {
        let Some(stream) = super::objects::find(&link, &name).await? else { continue };
        let info = stream.cached_info();
        let others = info.cluster.as_ref().map_or(&[][..], |cluster| &cluster.replicas);
        streams.push(Seen {
            name,
            messages: info.state.messages,
            bytes: info.state.bytes,
            replicas: info.config.num_replicas,
            current: 1 + others.iter().filter(|peer| peer.current && !peer.offline).count(),
        });
    }
    let found = format!("{}: nats-server {}", without_secrets(servers), link.client.server_info().version);
    Ok((found, streams))
}

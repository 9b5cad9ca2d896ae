//! Floor 2: probes. Nothing here names tract, tokio or protobuf.

pub mod corruption;

//! Floor 5: the gRPC service. Translates between protobuf and the laboratory, nothing else.

mod admission;
mod catalog;
mod convert;
pub mod identity;
mod jobs;
mod models;
mod oip;
mod report;
mod status;
mod suites;
pub mod tls;
mod whole;

/// Generated from `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, clippy::unwrap_used, clippy::expect_used)]
pub mod pb {
    tonic::include_proto!("assay.v1");
}

pub(crate) use convert::BACKGROUND;
pub use convert::{case_to_pb, map_to_struct, struct_to_map, tensor_from_bytes};
pub use report::{check_to_pb, gate_to_pb};
pub use status::{error_from_status, passes};

use std::collections::HashSet;
use std::time::Duration;

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status, Streaming};
use tonic_health::ServingStatus;

use self::identity::{Identity, Tenant};
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::lab::remote::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::wire::DESCRIPTORS;

/// Longest piece of an upload or an artifact.
pub const CHUNK_MAX: usize = 1 << 20;

/// Longest message that the command line's client sends and takes; what a service takes is its own limit.
pub const CASES_MAX: usize = 64 << 20;

/// Longest message that brings no cases, which is tonic's own limit.
const CALL_MAX: (&str, u64) = ("call_bytes", 4 << 20);

/// Requests that one connection may have under way.
const STREAMS_MAX: u32 = 256;

/// Bytes that a caller may send ahead of being read: in a stream, and in all of a connection. The protocol's 64 KiB would
/// have uploads wait for the network.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A handler's answer.
type Reply<T> = std::result::Result<tonic::Response<T>, tonic::Status>;

/// What every service holds.
#[derive(Clone)]
struct Service {
    lab: Lab,
    slots: u32,
}

/// Whose resources a request may see. That the layer of identities was left out is a defect, and never somebody's tenant.
fn tenant<T>(request: &tonic::Request<T>) -> Result<Tenant> {
    let identity = request.extensions().get::<Identity>();
    identity.map(|i| i.tenant.clone()).ok_or_else(|| Error::Internal("a request without an identity".to_owned()))
}

impl Service {
    /// The next message of an upload, which may not keep its place for nothing and is as long as its limit says at most.
    async fn next<T>(&self, messages: &mut Streaming<T>, (name, most): (&str, u64)) -> Result<Option<T>, Status> {
        let limits = self.lab.limits();
        match tokio::time::timeout(limits.idle_time, messages.message()).await {
            Ok(Err(status)) if status.code() == Code::OutOfRange => {
                // tonic tells of a message that is too long in words of its own; the limit has a name.
                let (limit, value) = (name.to_owned(), most);
                Err(Error::Exhausted { limit, value, what: "the length of a message".to_owned() }.into())
            }
            Ok(message) => message,
            Err(_) => {
                let what =
                    format!("an upload that brought nothing for {} s (idle_seconds)", limits.idle_time.as_secs());
                Err(Error::Deadline(what).into())
            }
        }
    }
}

/// Names of the methods that are served, such as `assay.v1.JobService/GetJob`.
pub fn methods() -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    for bytes in [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        let files = FileDescriptorSet::decode(bytes).map_err(|e| Error::internal("descriptors", e))?.file;
        for (file, service) in files.iter().flat_map(|file| file.service.iter().map(move |service| (file, service))) {
            let name = |method| format!("{}.{}/{method}", file.package(), service.name());
            names.extend(service.method.iter().map(|method| name(method.name())));
        }
    }
    Ok(names)
}

/// All services, with health and reflection.
pub async fn routes(lab: &Lab, slots: usize) -> Result<Routes> {
    let service = Service { lab: lab.clone(), slots: u32::try_from(slots).unwrap_or(u32::MAX) };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::internal("reflection", e))?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let lab = lab.clone();
    health.set_service_status("", ServingStatus::Serving).await;
    // Readiness follows the engine, so that a balancer turns away from a server that has lost its own.
    tokio::spawn(async move {
        loop {
            let closed = tokio::time::timeout(Duration::from_secs(5), lab.closed()).await.is_ok();
            let status = if lab.ready().await.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
            health.set_service_status("", status).await;
            if closed {
                return;
            }
        }
    });
    // One case may be larger than a chunk, and so may a batch.
    let longest = usize::try_from(service.lab.limits().message_bytes).unwrap_or(usize::MAX);
    let suites = pb::suite_service_server::SuiteServiceServer::new(service.clone()).max_decoding_message_size(longest);
    let inference = GrpcInferenceServiceServer::new(service.clone()).max_decoding_message_size(longest);
    let routes = Routes::new(health_service)
        .add_service(reflection)
        .add_service(pb::model_service_server::ModelServiceServer::new(service.clone()))
        .add_service(suites)
        .add_service(inference)
        .add_service(pb::job_service_server::JobServiceServer::new(service.clone()))
        .add_service(pb::catalog_service_server::CatalogServiceServer::new(service.clone()));
    let admit = axum::middleware::from_fn_with_state(service.lab, admission::admit);
    Ok(routes.into_axum_router().layer(axum::middleware::map_request(whole::watch)).layer(admit).into())
}

/// A server with the limits of a connection.
pub fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .concurrency_limit_per_connection(STREAMS_MAX as usize)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
}

//! What an endpoint says of a model: the description that stands for the model's file.

use serde::{Deserialize, Serialize};

use super::endpoint::RemoteModel;
use super::inference::model_metadata_response::TensorMetadata;
use super::inference::{ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ServerReadyRequest};
use super::link::{Client, Trouble};
use super::{Remote, tensors};
use crate::engine::{Axis, Graph, Port};
use crate::error::{Error, Result};

/// Longest description, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// A model elsewhere as its endpoint described it when it was registered. Its bytes are kept in place of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::lab) struct Description {
    remote: RemoteModel,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

/// An input or output in the protocol's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tensor {
    name: String,
    datatype: String,
    /// Below 0 where any length will do.
    shape: Vec<i64>,
}

impl Description {
    fn new(remote: &RemoteModel, found: ModelMetadataResponse) -> Self {
        let tensor = |t: TensorMetadata| Tensor { name: t.name, datatype: t.datatype, shape: t.shape };
        let all = |of: Vec<TensorMetadata>| of.into_iter().map(tensor).collect();
        Self { remote: remote.clone(), inputs: all(found.inputs), outputs: all(found.outputs) }
    }

    /// The bytes that stand for it.
    pub(in crate::lab) fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::internal("describing a remote model", e))?;
        if bytes.len() > BYTES_MAX {
            return Err(Error::invalid("remote", format!("its endpoint describes it in more than {BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }

    /// From the bytes that stand for it.
    pub(in crate::lab) fn read(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| Error::DataLoss(format!("a remote model's description: {e}")))
    }

    /// What the engine knows of it.
    pub(in crate::lab) fn graph(&self) -> Result<Graph> {
        let axis = |n: &i64| usize::try_from(*n).map_or(Axis::Open(String::new()), Axis::Fixed);
        let port = |t: &Tensor| Port {
            name: t.name.clone(),
            dtype: tensors::dtype(&t.datatype),
            axes: t.shape.iter().map(axis).collect(),
        };
        // The engine's word for what it does not carry is general; here the name is at hand.
        if let Some(other) = self.inputs.iter().find(|t| tensors::dtype(&t.datatype).is_none()) {
            let message =
                format!("the endpoint wants {}; FP32, FP64, INT64, INT32, UINT8 and BOOL are sent", other.datatype);
            return Err(Error::invalid(format!("remote.inputs.{}", other.name), message));
        }
        Graph::elsewhere(self.inputs.iter().map(port).collect(), self.outputs.iter().map(port).collect())
    }
}

impl Remote {
    /// Asks the endpoint whether it and the model are ready, and what the model takes and gives.
    pub(in crate::lab) async fn describe(&self) -> Result<Description> {
        let told = |trouble| match trouble {
            Trouble::Away(why) => Error::Unavailable(why),
            Trouble::Refused(error) => error,
        };
        let (name, version) = (self.model.model.clone(), self.model.version.clone());
        let server = |mut client: Client| async move { client.server_ready(ServerReadyRequest {}).await };
        let not_ready = |what: &str| Error::Unavailable(format!("{what} says that it is not ready"));
        if !self.link.call(0, server).await.map_err(told)?.ready {
            return Err(not_ready(&self.model.endpoint));
        }
        let ready = |mut client: Client| {
            let request = ModelReadyRequest { name: name.clone(), version: version.clone() };
            async move { client.model_ready(request).await }
        };
        if !self.link.call(0, ready).await.map_err(told)?.ready {
            return Err(not_ready(&name));
        }
        let metadata = |client: Client| {
            let request = ModelMetadataRequest { name: name.clone(), version: version.clone() };
            // Much of little costs more memory than bytes.
            async move { client.max_decoding_message_size(BYTES_MAX).model_metadata(request).await }
        };
        Ok(Description::new(&self.model, self.link.call(0, metadata).await.map_err(told)?))
    }
}

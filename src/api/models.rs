//! ModelService.

use tonic::{Request, Streaming};

use super::convert::{dtype_to_pb, model_to_pb};
use super::pb::{self, model_service_server::ModelService};
use super::{CALL_MAX, CHUNK_MAX, Reply, Service, tenant};
use crate::error::{Error, Result};
use crate::lab::NewModel;
use crate::lab::records::PortRecord;
use crate::lab::remote::RemoteModel;

#[tonic::async_trait]
impl ModelService for Service {
    async fn upload_model(&self, request: Request<Streaming<pb::UploadModelRequest>>) -> Reply<pb::Model> {
        let tenant = tenant(&request)?;
        let _held = self.lab.stream_place(&tenant)?;
        let mut messages = request.into_inner();
        let first = self.next(&mut messages, CALL_MAX).await?.and_then(|m| m.message);
        let Some(pb::upload_model_request::Message::Header(header)) = first else {
            return Err(Error::invalid("header", "is missing; it comes before the first chunk").into());
        };
        let header = NewModel {
            size: header.size_bytes,
            sha256: header.sha256,
            display_name: header.display_name,
            signature: header.signature,
            resumable: header.resumable,
        };
        let mut upload = self.lab.upload_model(&tenant, header).await?;
        while let Some(message) = self.next(&mut messages, CALL_MAX).await? {
            let Some(pb::upload_model_request::Message::Chunk(chunk)) = message.message else {
                return Err(Error::invalid("header", "came twice; chunks follow the first").into());
            };
            if chunk.data.len() > CHUNK_MAX {
                let message = format!("{} bytes were found, at most {CHUNK_MAX} were expected", chunk.data.len());
                return Err(Error::invalid("chunk.data", message).into());
            }
            upload.write(chunk.offset, chunk.data).await?;
        }
        Ok(model_to_pb(&upload.finish().await?)?.into())
    }

    async fn register_model(&self, request: Request<pb::RegisterModelRequest>) -> Reply<pb::Model> {
        let tenant = tenant(&request)?;
        let pb::RegisterModelRequest { display_name, remote, signature } = request.into_inner();
        let remote = remote.ok_or_else(|| Error::invalid("remote", "is missing"))?;
        let remote = RemoteModel { endpoint: remote.endpoint, model: remote.model, version: remote.version };
        Ok(model_to_pb(&self.lab.register_model(&tenant, remote, display_name, signature).await?)?.into())
    }

    async fn get_upload(&self, request: Request<pb::GetUploadRequest>) -> Reply<pb::Upload> {
        let upload = request.get_ref();
        let committed_bytes = self.lab.kept(&tenant(&request)?, &upload.sha256, upload.size_bytes).await?;
        Ok(pb::Upload { committed_bytes }.into())
    }

    async fn get_model(&self, request: Request<pb::GetModelRequest>) -> Reply<pb::Model> {
        let model = self.lab.model(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(model_to_pb(&model)?.into())
    }

    async fn list_models(&self, request: Request<pb::ListModelsRequest>) -> Reply<pb::ListModelsResponse> {
        let (tenant, page) = (tenant(&request)?, request.get_ref());
        let (models, next_page_token) = self.lab.models(&tenant, page.page_size, &page.page_token).await?;
        let models = models.iter().map(model_to_pb).collect::<Result<_>>()?;
        Ok(pb::ListModelsResponse { models, next_page_token }.into())
    }

    async fn delete_model(&self, request: Request<pb::DeleteModelRequest>) -> Reply<()> {
        self.lab.delete_model(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(().into())
    }

    async fn inspect_model(&self, request: Request<pb::InspectModelRequest>) -> Reply<pb::InspectModelResponse> {
        let model = self.lab.model(&tenant(&request)?, &request.get_ref().name).await?;
        let port = |p: &PortRecord| pb::TensorFact {
            name: p.name.clone(),
            data_type: p.dtype.map_or(pb::DataType::Unspecified, dtype_to_pb).into(),
            shape: p.shape.clone(),
        };
        let found = &model.inspection;
        let response = pb::InspectModelResponse {
            model: Some(model_to_pb(&model)?),
            inputs: found.inputs.iter().map(port).collect(),
            outputs: found.outputs.iter().map(port).collect(),
            operators: found.operators.clone().into_iter().collect(),
            parameter_count: found.parameters,
            opsets: found.opsets.clone().into_iter().collect(),
            accesses: [pb::Access::Label, pb::Access::Score]
                .into_iter()
                .chain(found.no_gradient.is_empty().then_some(pb::Access::Gradient))
                .chain(found.no_trees.is_empty().then_some(pb::Access::Weights))
                .map(Into::into)
                .collect(),
            compute_batch: u32::try_from(found.batch).unwrap_or(u32::MAX),
            flops: found.flops,
            no_gradient: found.no_gradient.clone(),
            nodes_without_gradient: found.without_gradient.clone(),
            straight_through_nodes: found.straight_through.clone(),
        };
        Ok(response.into())
    }
}

//! The Open Inference Protocol for the caller's own models, so that any of its clients can query them.

use tonic::Request;

use super::{Reply, Service, tenant};
use crate::error::{Error, Result};
use crate::lab::records::PortRecord;
use crate::lab::remote::inference::grpc_inference_service_server::GrpcInferenceService;
use crate::lab::remote::inference::model_infer_response::InferOutputTensor;
use crate::lab::remote::inference::model_metadata_response::TensorMetadata;
use crate::lab::remote::inference::{
    InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use crate::lab::remote::tensors::{self, Values};
use crate::tensor::{Tensor, Tensors};

/// What runs the models, in the protocol's form of a name.
const PLATFORM: &str = "onnx_tract";

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Reply<ServerLiveResponse> {
        Ok(ServerLiveResponse { live: true }.into())
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Reply<ServerReadyResponse> {
        Ok(ServerReadyResponse { ready: self.lab.ready().await.is_ok() }.into())
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Reply<ServerMetadataResponse> {
        let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(ServerMetadataResponse { name, version, extensions: Vec::new() }.into())
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Reply<ModelReadyResponse> {
        let tenant = tenant(&request)?;
        let ModelReadyRequest { name, version } = request.get_ref();
        unversioned(version).map_err(|e| e.under("version"))?;
        let model = self.lab.served(&tenant, name).await?;
        Ok(ModelReadyResponse { ready: self.lab.unserved(&tenant, &model).await?.is_none() }.into())
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Reply<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.get_ref();
        unversioned(version).map_err(|e| e.under("version"))?;
        let model = self.lab.served(&tenant(&request)?, name).await?;
        let response = ModelMetadataResponse {
            name: name.clone(),
            versions: Vec::new(),
            platform: PLATFORM.to_owned(),
            inputs: model.inspection.inputs.iter().map(metadata).collect(),
            outputs: model.inspection.outputs.iter().map(metadata).collect(),
        };
        Ok(response.into())
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Reply<ModelInferResponse> {
        let tenant = tenant(&request)?;
        let request = request.into_inner();
        unversioned(&request.model_version).map_err(|e| e.under("model_version"))?;
        let model = self.lab.served(&tenant, &request.model_name).await?;
        let (inputs, raw) = inputs(&request)?;
        let mut outputs = self.lab.infer(&tenant, &model, inputs).await?;
        let mut response =
            ModelInferResponse { model_name: request.model_name, id: request.id, ..ModelInferResponse::default() };
        let mut wanted: Vec<String> = request.outputs.into_iter().map(|output| output.name).collect();
        if wanted.is_empty() {
            wanted = model.inspection.outputs.iter().map(|port| port.name.clone()).collect();
        }
        for (i, name) in wanted.iter().enumerate() {
            let known = || outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("`{name}` was found, or found twice; the model has {}", known());
            let refuse = || Error::invalid(format!("outputs[{i}].name"), message);
            let tensor = outputs.remove(name).ok_or_else(refuse)?;
            let (output, bytes) = output(name, &tensor, raw)?;
            response.outputs.push(output);
            response.raw_output_contents.extend(bytes);
        }
        Ok(response.into())
    }
}

/// A model is its content, so there is no other version of it.
fn unversioned(version: &str) -> Result<()> {
    if version.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("", format!("`{version}` was found; a model has no versions here, leave it empty")))
}

/// An input or output as the file declares it. The types that assay does not carry have no name here.
fn metadata(port: &PortRecord) -> TensorMetadata {
    let length = |axis: &String| axis.parse().unwrap_or(-1);
    let datatype = port.dtype.map_or("", |dtype| tensors::datatype(dtype).unwrap_or("BYTES"));
    TensorMetadata {
        name: port.name.clone(),
        datatype: datatype.to_owned(),
        shape: port.shape.iter().map(length).collect(),
    }
}

/// The inputs by name, and whether their values came raw.
fn inputs(request: &ModelInferRequest) -> Result<(Tensors, bool)> {
    let (raw, count) = (&request.raw_input_contents, request.inputs.len());
    if !raw.is_empty() && raw.len() != count {
        let message = format!("{} were found for {count} inputs; all are raw or none is", raw.len());
        return Err(Error::invalid("raw_input_contents", message));
    }
    let (mut inputs, nothing) = (Tensors::new(), InferTensorContents::default());
    for (i, input) in request.inputs.iter().enumerate() {
        let field = format!("inputs[{i}]");
        let values = match (raw.get(i), &input.contents) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    format!("{field}.contents"),
                    "came beside raw_input_contents; one was expected",
                ));
            }
            (Some(bytes), None) => Values::Raw(bytes),
            (None, contents) => Values::Typed(contents.as_ref().unwrap_or(&nothing)),
        };
        let tensor = tensors::read(&input.datatype, &input.shape, &values).map_err(|e| e.under(&field))?;
        if inputs.insert(input.name.clone(), tensor).is_some() {
            return Err(Error::invalid(format!("{field}.name"), format!("`{}` was found before", input.name)));
        }
    }
    Ok((inputs, !raw.is_empty()))
}

/// An output in the form in which the inputs came.
fn output(name: &str, tensor: &Tensor, raw: bool) -> Result<(InferOutputTensor, Option<Vec<u8>>)> {
    let datatype = tensors::datatype(tensor.dtype()).ok_or_else(|| {
        Error::invalid(format!("outputs.{name}"), "is text, which is not answered; name the outputs that are wanted")
    })?;
    let output = InferOutputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: tensors::shape(tensor),
        contents: (!raw).then(|| tensors::contents(tensor)),
        ..InferOutputTensor::default()
    };
    Ok((output, raw.then(|| tensor.to_bytes())))
}

//! Inferences: what a model's graph gives for a batch, for callers who want no verdict.

use std::sync::PoisonError;

use super::Lab;
use super::models::owner;
use super::names;
use super::records::{ModelRecord, PortRecord};
use super::slot::{Ask, Tell};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, Tensors};

impl Lab {
    /// A model by its name or by its id alone.
    pub async fn served(&self, tenant: &str, name: &str) -> Result<ModelRecord> {
        if name.contains('/') {
            return self.model(tenant, name).await;
        }
        self.model(tenant, &names::name(tenant, "models", name)).await
    }

    /// A place for one inference, which a tenant has one of at a time.
    pub async fn infer_place(&self, tenant: &str) -> Result<impl Send + use<>> {
        self.0.inferences.enter(tenant).await
    }

    /// Why a model answers nobody; `None` for most.
    pub async fn unserved(&self, tenant: &str, model: &ModelRecord) -> Result<Option<String>> {
        match &model.remote {
            Some(remote) => Ok(Some(format!("{} is elsewhere; ask {} itself", model.name, remote.endpoint))),
            None => self.quarantine(tenant, &model.name).await,
        }
    }

    /// All outputs of a model's graph by name: as the file has it, without the signature's preprocessing, for inputs as
    /// the file declares them. It runs in a slot, which is kept for the next who asks the same model.
    ///
    /// Fails with [`Error::Invalid`] on `inputs.NAME`, and with [`Error::Precondition`] where the model is elsewhere, in
    /// quarantine, or ended its slot.
    pub async fn infer(&self, tenant: &str, model: &ModelRecord, inputs: Tensors) -> Result<Tensors> {
        if let Some(why) = self.unserved(tenant, model).await? {
            return Err(Error::Precondition(why));
        }
        fits(&model.inspection.inputs, &inputs)?;
        let file = self.engine().blobs.local(&model.sha256).await?;
        let ask = Ask::Infer { model: file, signature: model.inspection.signature.to_yaml()?, inputs };
        let mut slot = self.slot(&owner(tenant, &model.sha256)).await?;
        let answer = match slot.ask(ask, self.limits().case_time, None).await? {
            Err(death) => {
                self.mourn(tenant, &model.name, &death).await?;
                return Err(Error::Precondition(format!("the inputs ended the model's slot: {}", death.0)));
            }
            Ok(Tell::Outputs(outputs)) => Ok(outputs),
            Ok(Tell::Failed(error)) => Err(error),
            Ok(_) => return Err(Error::internal("slot", "outputs were asked for")),
        };
        *self.0.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
        answer
    }
}

/// Refuses inputs that are not those of the file, by field.
fn fits(ports: &[PortRecord], inputs: &Tensors) -> Result<()> {
    let known = || ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = inputs.keys().find(|name| ports.iter().all(|p| p.name != **name)) {
        return Err(Error::invalid(
            format!("inputs.{name}"),
            format!("the model has no such input; it has {}", known()),
        ));
    }
    ports.iter().try_for_each(|port| {
        let field = format!("inputs.{}", port.name);
        let missing = || Error::invalid(&field, format!("is missing; the model wants {}", known()));
        input_fits(port, inputs.get(&port.name).ok_or_else(missing)?).map_err(|e| e.under(&field))
    })
}

fn input_fits(port: &PortRecord, input: &Tensor) -> Result<()> {
    if let Some(dtype) = port.dtype.filter(|dtype| *dtype != input.dtype()) {
        let message = format!("{} was found, the file says {}", input.dtype().name(), dtype.name());
        return Err(Error::invalid("datatype", message));
    }
    let fits = |(wanted, found): (&String, &usize)| wanted.parse().map_or(true, |wanted: usize| wanted == *found);
    if input.shape().len() != port.shape.len() || !port.shape.iter().zip(input.shape()).all(fits) {
        let message = format!("{:?} was found, the file says [{}]", input.shape(), port.shape.join(", "));
        return Err(Error::invalid("shape", message));
    }
    if input.is_empty() {
        return Err(Error::invalid("shape", format!("{:?} was found, which holds nothing", input.shape())));
    }
    Ok(())
}

//! Models: taken in whole or not at all, parsed only in a slot.

use std::sync::PoisonError;

use metrics::counter;

use super::engines::{Expect, Staged};
use super::limits::within;
use super::meters::UPLOADED;
use super::names;
use super::records::{JobRecord, ModelRecord, State, decode};
use super::remote::RemoteModel;
use super::sealed::record;
use super::{Lab, records};
use crate::error::{Error, Result};

/// What comes before the bytes of a model.
#[derive(Clone, Debug, Default)]
pub struct NewModel {
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    pub display_name: String,
    /// YAML, may be empty.
    pub signature: String,
    /// Whether what came is kept if the connection breaks.
    pub resumable: bool,
}

/// Longest signature that is read, in bytes.
const SIGNATURE_MAX: u64 = 4 << 20;

/// Longest name for people, in bytes.
pub(super) const NAME_MAX: u64 = 256;

/// A model under way; dropped, it leaves nothing behind.
pub struct ModelUpload {
    lab: Lab,
    tenant: String,
    header: NewModel,
    staged: Box<dyn Staged>,
}

impl Lab {
    /// Begins an upload; refuses at once what the header alone shows to be wrong.
    pub async fn upload_model(&self, tenant: &str, header: NewModel) -> Result<ModelUpload> {
        within("model_bytes", self.limits().model_bytes, header.size, "the size of the model")?;
        texts_fit(&header.display_name, &header.signature)?;
        if header.size == 0 {
            return Err(Error::invalid("header.size_bytes", "the model is empty; an ONNX file was expected"));
        }
        digest_field(&header.sha256)?;
        self.room_for_model(tenant, header.size).await?;
        self.room(header.size)?;
        let staged = match header.resumable {
            true => self.engine().blobs.resume(&partial(tenant, &header.sha256, header.size)).await?,
            false => self.engine().blobs.stage().await?,
        };
        Ok(ModelUpload { lab: self.clone(), tenant: tenant.to_owned(), header, staged })
    }

    /// Bytes that are kept of a resumable upload that broke off.
    pub async fn kept(&self, tenant: &str, sha256: &str, size: u64) -> Result<u64> {
        digest_field(sha256).map_err(|_| Error::invalid("sha256", "64 hexadecimal digits were expected"))?;
        self.engine().blobs.kept(&partial(tenant, sha256, size)).await
    }

    /// A model by name.
    pub async fn model(&self, tenant: &str, name: &str) -> Result<ModelRecord> {
        Ok(self.get(&key(tenant, names::id(name, tenant, "models", "name")?), name).await?.1)
    }

    /// A page of models; the second part goes on.
    pub async fn models(&self, tenant: &str, size: i32, token: &str) -> Result<(Vec<ModelRecord>, String)> {
        self.page(&key(tenant, ""), token, size).await
    }

    /// Deletes a model that no running job uses.
    pub async fn delete_model(&self, tenant: &str, name: &str) -> Result<()> {
        let model = self.model(tenant, name).await?;
        let _alone = self.0.blobs.write().await;
        self.unused(tenant, |job| job.spec.model == name, name).await?;
        let id = names::id(name, tenant, "models", "name")?;
        self.engine().meta.delete(&key(tenant, id), Expect::Any).await?;
        self.pardon(tenant, name).await?;
        // The same file may be a model of another signature or tenant.
        self.forget_blob(&model.sha256).await
    }

    /// Refuses while a running job matches.
    pub(super) async fn unused(&self, tenant: &str, uses: impl Fn(&JobRecord) -> bool, name: &str) -> Result<()> {
        let jobs: Vec<JobRecord> = self.all(&format!("job/{tenant}/")).await?;
        match jobs.iter().find(|job| job.state == State::Running && uses(job)) {
            Some(job) => {
                Err(Error::Precondition(format!("{name} is used by the running job {}; cancel it first", job.name)))
            }
            None => Ok(()),
        }
    }

    /// Registers a model that an endpoint has: asks what it is, and keeps that in place of a file.
    pub async fn register_model(
        &self,
        tenant: &str,
        remote: RemoteModel,
        display_name: String,
        signature: String,
    ) -> Result<ModelRecord> {
        texts_fit(&display_name, &signature)?;
        remote.check()?;
        self.room(0)?;
        self.room_for_model(tenant, 0).await?;
        let described = self.in_time(self.0.remotes.remote(&remote)?.describe()).await?.to_bytes()?;
        let _inspection = self.0.inspections.enter(tenant).await?;
        let (size, sha256) = (described.len() as u64, names::sha256(&described));
        let mut staged = self.engine().blobs.stage().await?;
        staged.write(described).await?;
        let header = NewModel { size, sha256, display_name, signature, resumable: false };
        self.publish_model(tenant, header, Some(remote), staged).await
    }

    /// What an endpoint says, if it says so in the time of an inspection.
    pub(super) async fn in_time<T>(&self, asked: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |_| Error::Deadline("asking the endpoint (inspect_seconds)".to_owned());
        tokio::time::timeout(self.limits().inspect_time, asked).await.map_err(late)?
    }

    /// Publishes the bytes of a model, or the description of one elsewhere, and writes its record; else nothing of it
    /// stays.
    async fn publish_model(
        &self,
        tenant: &str,
        header: NewModel,
        remote: Option<RemoteModel>,
        staged: Box<dyn Staged>,
    ) -> Result<ModelRecord> {
        let together = self.0.blobs.read().await;
        let sha256 = match staged.publish(Some(&header.sha256)).await {
            Err(Error::DataLoss(message)) => return Err(Error::invalid("header.sha256", message)),
            other => other?,
        };
        let taken = self.take_model(tenant, header, remote, &sha256).await;
        drop(together);
        if taken.is_err() {
            let _alone = self.0.blobs.write().await;
            self.forget_blob(&sha256).await?;
        }
        taken
    }

    /// Writes the record of a published model that a slot can read, if there is room for one more.
    async fn take_model(
        &self,
        tenant: &str,
        header: NewModel,
        remote: Option<RemoteModel>,
        sha256: &str,
    ) -> Result<ModelRecord> {
        let inspection = self.inspect(tenant, sha256, &header.signature, remote.as_ref()).await?;
        let signature = inspection.signature.to_yaml()?;
        let id = names::content_id(&[sha256.as_bytes(), signature.as_bytes()]);
        let model = ModelRecord {
            name: names::name(tenant, "models", &id),
            display_name: header.display_name,
            sha256: sha256.to_owned(),
            size: header.size,
            created: names::now(),
            inspection,
            remote,
        };
        let (key, meta) = (key(tenant, &id), &self.engine().meta);
        let _taking = self.0.taking.lock().await;
        if let Some(stored) = meta.get(&key).await? {
            return decode(&stored.value);
        }
        self.room_for_model(tenant, model.size).await?;
        match meta.put(&key, &record(&model)?, Expect::Absent).await? {
            Some(_) => Ok(model),
            None => Err(Error::Unavailable("the same model was uploaded by another server; retry".to_owned())),
        }
    }

    /// Parses a published blob in a slot of its own, which waits for the job that mostly follows.
    async fn inspect(
        &self,
        tenant: &str,
        digest: &str,
        signature: &str,
        remote: Option<&RemoteModel>,
    ) -> Result<records::Inspection> {
        let (model, remote) = (self.engine().blobs.local(digest).await?, self.remote(remote)?);
        let time = self.limits().inspect_time;
        let inspecting = self.0.slots.inspect(&model, remote.as_ref(), signature, time);
        // Of a model elsewhere a slot's own time is but a part.
        let (inspection, mut slot) =
            if remote.is_some() { self.in_time(inspecting).await? } else { inspecting.await? };
        slot.serves(&owner(tenant, digest));
        *self.0.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
        Ok(inspection)
    }
}

impl ModelUpload {
    /// The next bytes, which begin at `offset` of the file.
    pub async fn write(&mut self, offset: u64, bytes: Vec<u8>) -> Result<()> {
        let size = self.staged.size();
        if offset != size {
            return Err(Error::invalid("chunk.offset", format!("{offset} was found, {size} was expected")));
        }
        if size + bytes.len() as u64 > self.header.size {
            let message = format!("more than the announced {} bytes came", self.header.size);
            return Err(Error::invalid("chunk.data", message));
        }
        counter!(UPLOADED).increment(bytes.len() as u64);
        self.staged.write(bytes).await
    }

    /// Publishes the model: the bytes are those announced, a slot has read and run it. The same file with the same
    /// signature is the same model.
    pub async fn finish(self) -> Result<ModelRecord> {
        let Self { lab, tenant, header, staged } = self;
        if staged.size() != header.size {
            let message = format!("{} bytes came, {} were announced", staged.size(), header.size);
            return Err(Error::invalid("header.size_bytes", message));
        }
        // The place comes first: whoever waits for it must not keep others from deleting.
        let _inspection = lab.0.inspections.enter(&tenant).await?;
        lab.publish_model(&tenant, header, None, staged).await
    }
}

/// Refuses a name or a signature that is too long.
fn texts_fit(display_name: &str, signature: &str) -> Result<()> {
    within("signature_bytes", SIGNATURE_MAX, signature.len() as u64, "the size of the signature")?;
    within("display_name_bytes", NAME_MAX, display_name.len() as u64, "the length of display_name")
}

/// Whom a slot belongs to that has a tenant's model.
pub(super) fn owner(tenant: &str, digest: &str) -> String {
    format!("{tenant}/{digest}")
}

fn key(tenant: &str, id: &str) -> String {
    format!("model/{tenant}/{id}")
}

/// The key of a partial upload: of this tenant, for this file alone.
fn partial(tenant: &str, sha256: &str, size: u64) -> String {
    names::content_id(&[tenant.as_bytes(), sha256.as_bytes(), &size.to_le_bytes()])
}

fn digest_field(sha256: &str) -> Result<()> {
    if sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    let message = format!(
        "`{}` was found, the SHA-256 as 64 lower-case hexadecimal digits was expected",
        sha256.chars().take(80).collect::<String>()
    );
    Err(Error::invalid("header.sha256", message))
}

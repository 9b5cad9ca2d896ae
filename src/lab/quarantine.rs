//! Models that end slot after slot: from some number of deaths on, nothing of theirs is run any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Lab;
use super::engines::Expect;
use super::names;
use super::records::decode;
use super::sealed::seal;
use super::slot::Death;
use crate::error::Result;

/// How long deaths are counted together: what ends a slot now and then is a case's fault, not the model's.
const TOGETHER: Duration = Duration::from_secs(24 * 3600);

/// What a model has done to slots.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Deaths {
    /// When the first of them was, in milliseconds since 1970.
    #[serde(default)]
    since: u64,
    count: u64,
    last: String,
}

impl Lab {
    /// Why nothing of a model is run; `None` for most.
    pub(super) async fn quarantine(&self, tenant: &str, model: &str) -> Result<Option<String>> {
        let (deaths, _) = self.deaths(tenant, model).await?;
        let limit = self.limits().model_deaths;
        Ok((deaths.count >= limit).then(|| {
            let Deaths { count, last, .. } = deaths;
            format!("{model} is in quarantine: {count} slots died of it (model_deaths = {limit}), the last by {last}")
        }))
    }

    /// Counts a slot that died of a model.
    pub(super) async fn mourn(&self, tenant: &str, model: &str, death: &Death) -> Result<()> {
        let key = key(tenant, model)?;
        loop {
            let (deaths, revision) = self.deaths(tenant, model).await?;
            // Once there were too many, they are not forgotten: the model would only begin anew.
            let old = deaths.count < self.limits().model_deaths && names::since(deaths.since, names::now()) > TOGETHER;
            let (since, count) = if old { (names::now(), 0) } else { (deaths.since, deaths.count) };
            let deaths = Deaths { since, count: count + 1, last: death.0.clone() };
            let expect = revision.map_or(Expect::Absent, Expect::Revision);
            // Another worker may have counted one at the same time.
            if self.engine().meta.put(&key, &seal(&deaths)?, expect).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Forgets the deaths of a model that is deleted; uploaded again it starts anew.
    pub(super) async fn pardon(&self, tenant: &str, model: &str) -> Result<()> {
        self.engine().meta.delete(&key(tenant, model)?, Expect::Any).await.map(drop)
    }

    async fn deaths(&self, tenant: &str, model: &str) -> Result<(Deaths, Option<u64>)> {
        match self.engine().meta.get(&key(tenant, model)?).await? {
            Some(record) => Ok((decode(&record.value)?, Some(record.revision))),
            None => Ok((Deaths::default(), None)),
        }
    }
}

fn key(tenant: &str, model: &str) -> Result<String> {
    Ok(format!("deaths/{tenant}/{}", names::id(model, tenant, "models", "model")?))
}

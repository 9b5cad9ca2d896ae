//! Suites: cases in order, taken in whole or not at all.

use std::collections::HashSet;

use metrics::counter;

use super::Lab;
use super::engines::{Expect, Staged};
use super::limits::within;
use super::meters::UPLOADED;
use super::models::NAME_MAX;
use super::names;
use super::records::{CheckSpec, SuiteRecord, decode, encode};
use super::sealed::record;
use super::suite_file::Writer;
use crate::data::Case;
use crate::error::{Error, Result};
use crate::suite::Summary;

/// What comes before the cases of a suite.
#[derive(Clone, Debug, Default)]
pub struct NewSuite {
    pub display_name: String,
    pub checks: Vec<CheckSpec>,
    pub gates: Vec<String>,
    /// 0 if it was not announced.
    pub case_count: u64,
}

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

/// A suite under way; dropped, it leaves nothing behind.
pub struct SuiteUpload {
    lab: Lab,
    tenant: String,
    header: NewSuite,
    staged: Box<dyn Staged>,
    writer: Writer,
    /// Bytes of the last cases, which go to the blob together.
    pending: Vec<u8>,
    /// Hashes of the ids seen: 8 bytes a case, whatever the length of its id. Two ids of five million have the same one
    /// with a probability of 1e-6; the suite is then refused by mistake.
    ids: HashSet<u64>,
    summary: Summary,
}

impl Lab {
    /// Begins an upload; the default checks and gates are read at once.
    pub async fn upload_suite(&self, tenant: &str, header: NewSuite) -> Result<SuiteUpload> {
        within("suite_cases", self.limits().suite_cases, header.case_count, "the number of cases")?;
        within("job_checks", self.limits().job_checks, header.checks.len() as u64, "the number of checks")?;
        within("job_gates", self.limits().job_gates, header.gates.len() as u64, "the number of gates")?;
        within("display_name_bytes", NAME_MAX, header.display_name.len() as u64, "the length of display_name")?;
        self.room_for_suite(tenant, 0).await?;
        if !header.checks.is_empty() {
            CheckSpec::read_all(&header.checks).map_err(|e| e.under("header"))?;
        }
        self.room(0)?;
        Ok(SuiteUpload {
            lab: self.clone(),
            tenant: tenant.to_owned(),
            header,
            staged: self.engine().blobs.stage().await?,
            writer: Writer::new()?,
            pending: Vec::new(),
            ids: HashSet::new(),
            summary: Summary::default(),
        })
    }

    /// A suite by name.
    pub async fn suite(&self, tenant: &str, name: &str) -> Result<SuiteRecord> {
        Ok(self.get(&key(tenant, names::id(name, tenant, "suites", "name")?), name).await?.1)
    }

    /// A page of suites; the second part goes on.
    pub async fn suites(&self, tenant: &str, size: i32, token: &str) -> Result<(Vec<SuiteRecord>, String)> {
        self.page(&key(tenant, ""), token, size).await
    }

    /// Deletes a suite that no running job uses.
    pub async fn delete_suite(&self, tenant: &str, name: &str) -> Result<()> {
        let suite = self.suite(tenant, name).await?;
        let _alone = self.0.blobs.write().await;
        self.unused(tenant, |job| job.spec.suite == name || job.spec.background == name, name).await?;
        let id = names::id(name, tenant, "suites", "name")?;
        self.engine().meta.delete(&key(tenant, id), Expect::Any).await?;
        self.forget_blob(&suite.sha256).await
    }

    /// Writes the record of a published suite of so many bytes, if there is room for one more.
    async fn take_suite(&self, tenant: &str, key: &str, suite: SuiteRecord, bytes: u64) -> Result<SuiteRecord> {
        let meta = &self.engine().meta;
        let _taking = self.0.taking.lock().await;
        if let Some(stored) = meta.get(key).await? {
            return decode(&stored.value);
        }
        self.room_for_suite(tenant, bytes).await?;
        match meta.put(key, &record(&suite)?, Expect::Absent).await? {
            Some(_) => Ok(suite),
            None => Err(Error::Unavailable("the same suite was uploaded by another server; retry".to_owned())),
        }
    }
}

impl SuiteUpload {
    /// The next case; errors name it as `cases[POSITION]`.
    pub async fn add(&mut self, case: &Case) -> Result<()> {
        let position = self.summary.cases;
        let field = format!("cases[{position}]");
        within("suite_cases", self.lab.limits().suite_cases, position + 1, "the number of cases")?;
        if !self.ids.insert(names::short_hash(case.id.as_bytes())) {
            return Err(Error::invalid(
                format!("{field}.id"),
                format!("`{}` was found before; ids are unique", case.id),
            ));
        }
        self.summary.add(case).map_err(|e| e.under(&field))?;
        let frame = self.writer.case(case)?;
        let size = self.staged.size() + (self.pending.len() + frame.len()) as u64;
        within("suite_bytes", self.lab.limits().suite_bytes, size, "the size of the suite")?;
        self.pending.extend(frame);
        if self.pending.len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.lab.room(self.pending.len() as u64)?;
        counter!(UPLOADED).increment(self.pending.len() as u64);
        self.staged.write(std::mem::take(&mut self.pending)).await
    }

    /// Publishes the suite. The same cases with the same checks and gates are the same suite.
    pub async fn finish(mut self) -> Result<SuiteRecord> {
        let cases = self.summary.cases;
        if cases == 0 {
            return Err(Error::invalid("cases", "the suite is empty"));
        }
        if self.header.case_count != 0 && self.header.case_count != cases {
            let message = format!("{} was announced, {cases} cases came", self.header.case_count);
            return Err(Error::invalid("header.case_count", message));
        }
        self.summary.finish();
        self.flush().await?;
        for piece in self.writer.finish()? {
            self.staged.write(piece?).await?;
        }
        let size = self.staged.size();
        let together = self.lab.0.blobs.read().await;
        let sha256 = self.staged.publish(None).await?;
        let NewSuite { display_name, checks, gates, .. } = self.header;
        let id = names::content_id(&[sha256.as_bytes(), &encode(&(&checks, &gates))?]);
        let suite = SuiteRecord {
            name: names::name(&self.tenant, "suites", &id),
            display_name,
            sha256: sha256.clone(),
            created: names::now(),
            checks,
            gates,
            summary: self.summary,
        };
        let taken = self.lab.take_suite(&self.tenant, &key(&self.tenant, &id), suite, size).await;
        drop(together);
        if taken.is_err() {
            let _alone = self.lab.0.blobs.write().await;
            self.lab.forget_blob(&sha256).await?;
        }
        taken
    }
}

fn key(tenant: &str, id: &str) -> String {
    format!("suite/{tenant}/{id}")
}

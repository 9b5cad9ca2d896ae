//! What becomes of evidence: arrays as blobs, and a line in the job's log.

use metrics::counter;

use super::Worker;
use crate::error::{Error, Result};
use crate::lab::engines::{Appended, Lease};
use crate::lab::jobs::key_of;
use crate::lab::meters::DUPLICATES;
use crate::lab::names;
use crate::lab::records::{ArtifactRecord, JobRecord, Line, ShardLine, State};
use crate::lab::sealed::seal;
use crate::suite::{Evidence, Shard};

impl Worker {
    /// Publishes arrays, appends the shard's line.
    pub(super) async fn record(
        &self,
        lease: &Lease,
        job: &JobRecord,
        shard: &Shard,
        mut evidence: Evidence,
    ) -> Result<()> {
        let engine = self.lab.engine();
        // To a job that another process has ended or deleted meanwhile, nothing is added.
        match self.lab.get::<JobRecord>(&key_of(&job.name)?, &job.name).await {
            Ok((_, job)) if job.state == State::Running => {}
            Ok(_) | Err(Error::NotFound(_)) => return Ok(()),
            Err(other) => return Err(other),
        }
        let mut artifacts = Vec::new();
        for (array, tensor) in std::mem::take(&mut evidence.arrays) {
            let mut staged = engine.blobs.stage().await?;
            // The job's name in front makes the blob the job's own: deleting the job cannot take another's.
            staged.write(job.name.clone().into_bytes()).await?;
            let bytes = tensor.to_bytes();
            let (size, sha256) = (bytes.len() as u64, names::sha256(&bytes));
            staged.write(bytes).await?;
            artifacts.push(ArtifactRecord {
                id: format!("{}-{}-{array}", shard.check, shard.cases.start),
                check: u32::try_from(shard.check).map_err(|e| Error::internal("check", e))?,
                array,
                first_case: shard.cases.start,
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
                digest: staged.publish(None).await?,
                offset: job.name.len() as u64,
                size,
                sha256,
            });
        }
        let Evidence { verdicts, tags, audits, queries, .. } = evidence;
        let line = ShardLine { verdicts, tags, audits, queries, artifacts };
        let appended = engine.log.append(&job.name, lease.shard, &seal(&Line::Shard(line))?).await?;
        if matches!(appended, Appended::Exists(_)) {
            counter!(DUPLICATES).increment(1);
        }
        Ok(())
    }
}

//! What is stored: models, suites, jobs, and the lines of a job's log. MessagePack with field names.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names::PoolName;
use super::remote::RemoteModel;
use super::trace::TraceContext;
use crate::engine::{Axis, Differentiability, Graph, Model, NO_GRADIENT, Port, Signature, Wish};
use crate::error::{Error, Result};
use crate::suite::{Audited, Check, Given, Plan, Slicer, Summary, Tags, Verdict, checks, judged};

/// Bytes of a record.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|e| Error::internal("writing a record", e))
}

/// A record from its bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(super::sealed::open(bytes)?)
        .map_err(|e| Error::DataLoss(format!("a stored record cannot be read: {e}")))
}

/// An uploaded model, or one elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    pub name: String,
    pub display_name: String,
    /// SHA-256 of the file; of the description of a model elsewhere.
    pub sha256: String,
    pub size: u64,
    /// Milliseconds since 1970.
    pub created: u64,
    pub inspection: Inspection,
    /// Where it is, if not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteModel>,
}

/// What a slot found out about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The effective signature.
    pub signature: Signature,
    pub inputs: Vec<PortRecord>,
    pub outputs: Vec<PortRecord>,
    pub operators: BTreeMap<String, u32>,
    pub opsets: BTreeMap<String, i64>,
    pub parameters: u64,
    pub batch: u64,
    /// Measured when the model was uploaded: seconds of one row on one processor, bytes of memory of the slot.
    #[serde(default)]
    pub seconds_per_row: f64,
    #[serde(default)]
    pub memory: u64,
    /// Why the model has no gradient; empty if it has one.
    #[serde(default)]
    pub no_gradient: String,
    /// Why the model is not one tree ensemble; empty if it is.
    #[serde(default = "unasked")]
    pub no_trees: String,
    /// Nodes that a gradient cannot pass, and those that it passes as if they did not round.
    #[serde(default)]
    pub without_gradient: Vec<String>,
    #[serde(default)]
    pub straight_through: Vec<String>,
    /// Floating-point operations of one sample; 0 where the graph could not be followed.
    #[serde(default)]
    pub flops: u64,
}

/// Of a model that was uploaded before its trees were of any use.
fn unasked() -> String {
    "it was not asked for trees when it was uploaded; upload it again".to_owned()
}

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortRecord {
    pub name: String,
    pub dtype: Option<crate::tensor::DType>,
    /// Lengths or symbols.
    pub shape: Vec<String>,
}

impl Inspection {
    /// The facts of a loaded model.
    pub(super) fn new(graph: &Graph, model: &Model) -> Result<Self> {
        judged(model.signature())?;
        let axis = |axis: &Axis| match axis {
            Axis::Fixed(n) => n.to_string(),
            Axis::Open(name) if name.is_empty() => "?".to_owned(),
            Axis::Open(name) => name.clone(),
        };
        let port =
            |p: &Port| PortRecord { name: p.name.clone(), dtype: p.dtype, shape: p.axes.iter().map(axis).collect() };
        let gradient = match Differentiability::of(graph, model.signature(), &Wish::default()) {
            _ if model.is_elsewhere() => None,
            Err(Error::Invalid(_)) => None,
            other => Some(other?),
        };
        let none = if model.is_elsewhere() { NO_GRADIENT } else { "the graph cannot be differentiated" };
        let no_gradient = gradient.as_ref().map_or(none.to_owned(), no_gradient);
        let Differentiability { missing, straight_through, flops, .. } = gradient.unwrap_or_default();
        Ok(Self {
            signature: model.signature().clone(),
            inputs: graph.inputs.iter().map(port).collect(),
            outputs: graph.outputs.iter().map(port).collect(),
            operators: graph.operators.clone(),
            opsets: graph.opsets.clone(),
            parameters: graph.parameters,
            batch: model.batch() as u64,
            seconds_per_row: model.pace()?,
            memory: 0,
            no_gradient,
            no_trees: model.trees().err().unwrap_or_default().to_owned(),
            without_gradient: missing.iter().map(ToString::to_string).collect(),
            straight_through,
            flops,
        })
    }
}

/// What stands between a model and its gradient, in words; empty if nothing does.
fn no_gradient(found: &Differentiability) -> String {
    let missing: Vec<_> = found.missing.iter().take(5).map(ToString::to_string).collect();
    match missing.as_slice() {
        [] if found.reached => String::new(),
        [] => "its judged output depends on no float input".to_owned(),
        some => format!("these operators of the model have none: {}", some.join("; ")),
    }
}

/// A check as a request gives it: SPEC, or name and parameters, or both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckSpec {
    pub spec: String,
    pub name: String,
    /// JSON object.
    pub params: Option<String>,
}

impl CheckSpec {
    /// The parts that [`checks`] reads.
    fn parts(&self) -> Result<Given> {
        let params = self.params.as_deref().map(serde_json::from_str).transpose();
        let params = params.map_err(|e| Error::invalid("params", e.to_string()))?;
        Ok((self.spec.clone(), self.name.clone(), params))
    }

    /// The check alone.
    pub(super) fn read(&self) -> Result<Check> {
        checks(&[self.parts()?])?.pop().ok_or_else(|| Error::internal("check", "nothing was read"))
    }

    /// All checks of a request; violations name `checks[i]...`.
    pub fn read_all(specs: &[Self]) -> Result<Vec<Check>> {
        checks(&specs.iter().map(Self::parts).collect::<Result<Vec<_>>>()?)
    }
}

/// An uploaded suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteRecord {
    pub name: String,
    pub display_name: String,
    /// SHA-256 of the file of cases.
    pub sha256: String,
    pub created: u64,
    pub checks: Vec<CheckSpec>,
    pub gates: Vec<String>,
    pub summary: Summary,
}

/// What a caller asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    pub model: String,
    pub suite: String,
    pub checks: Vec<CheckSpec>,
    pub gates: Vec<String>,
    pub seed: u64,
    pub limit: u64,
    pub artifacts: bool,
    /// A finished job on the same suite that gates compare with; empty for none.
    pub baseline: String,
    /// A suite whose rows stand for values that are not there; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub background: String,
    /// Whose workers do it.
    #[serde(default, skip_serializing_if = "PoolName::is_default")]
    pub pool: PoolName,
}

/// A job with what its spec was resolved to when it was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub name: String,
    pub spec: JobSpec,
    pub state: State,
    pub created: u64,
    pub ended: u64,
    /// Digest and effective signature of the model, digest of the suite, number of cases.
    pub model: String,
    pub signature: String,
    pub suite: String,
    pub cases: u64,
    /// What the costliest check takes for a case, at most: floating-point operations and seconds.
    #[serde(default)]
    pub flops_per_case: u64,
    #[serde(default)]
    pub seconds_per_case: f64,
    /// Digest of the background's suite and the rows taken of it.
    #[serde(default)]
    pub background: Option<(String, u64)>,
    /// How cases fall into slices.
    pub slices: Slicer,
    pub counts: BTreeMap<String, u64>,
    /// Where the model is, if not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteModel>,
    /// The span of the job's creation; those of its shards are its children.
    #[serde(default)]
    pub trace: TraceContext,
}

impl JobRecord {
    /// The checks, which were read before when the job was created.
    pub fn checks(&self) -> Result<Vec<Check>> {
        CheckSpec::read_all(&self.spec.checks)
    }

    /// The signature, which was written as YAML when the job was created.
    pub fn signature(&self) -> Result<Signature> {
        let failed = |e: &dyn std::fmt::Display| Error::internal("the job's signature", e);
        // Through JSON, as it was written.
        let value: serde_json::Value = serde_norway::from_str(&self.signature).map_err(|e| failed(&e))?;
        serde_json::from_value(value).map_err(|e| failed(&e))
    }

    /// How many rows of an array stand for one case. Of every case of its shard there are as many, those that failed
    /// too.
    pub fn rows_per_case(&self, artifact: &ArtifactRecord) -> u64 {
        let plan = self.plan();
        let shard = plan.shard(plan.index(artifact.check as usize, artifact.first_case));
        let cases = shard.map_or(1, |shard| shard.cases.end - shard.cases.start);
        artifact.shape.first().map_or(1, |rows| *rows as u64 / cases.max(1)).max(1)
    }

    /// How the work is cut.
    pub fn plan(&self) -> Plan {
        Plan::new(self.cases, self.spec.checks.len(), self.flops_per_case)
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    Running,
    Succeeded,
    Cancelled,
    Failed,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    Shard(ShardLine),
    /// The last line that counts.
    Done {
        state: State,
        counts: BTreeMap<String, u64>,
    },
}

/// What a shard gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardLine {
    pub verdicts: Vec<Verdict>,
    /// Tags of its cases by position in the suite.
    pub tags: BTreeMap<u64, Tags>,
    /// What audits found in its cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<Audited>,
    pub queries: u64,
    pub artifacts: Vec<ArtifactRecord>,
}

/// An array of a shard, stored as a blob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// `check-first-array`, unique within the job.
    pub id: String,
    pub check: u32,
    pub array: String,
    pub first_case: u64,
    pub dtype: crate::tensor::DType,
    pub shape: Vec<usize>,
    pub digest: String,
    /// Bytes of the blob that stand before the array: they make the blob the job's own.
    pub offset: u64,
    pub size: u64,
    /// Of the array's bytes alone.
    pub sha256: String,
}

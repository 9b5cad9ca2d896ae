//! Values of the contract and of the core, both ways.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp};
use serde_json::{Map, Value as Json};

use super::pb;
use crate::data::{Case, Class, Expected, Tag, Value};
use crate::error::{Error, Result};
use crate::lab::records::{ArtifactRecord, CheckSpec, JobRecord, ModelRecord, State, SuiteRecord};
use crate::lab::remote::RemoteModel;
use crate::lab::{Progress, artifact_name};
use crate::suite::{Check, Outcome, Tags, Verdict};
use crate::tensor::{DType, Tensor};

/// A JSON object as a Struct.
pub fn map_to_struct(map: &Map<String, Json>) -> Struct {
    Struct { fields: map.iter().map(|(key, value)| (key.clone(), json_to_value(value))).collect() }
}

fn json_to_value(json: &Json) -> prost_types::Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(b) => Kind::BoolValue(*b),
        Json::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Json::String(s) => Kind::StringValue(s.clone()),
        Json::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(json_to_value).collect() })
        }
        Json::Object(map) => Kind::StructValue(map_to_struct(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A Struct as a JSON object; whole numbers become integers, numbers that JSON lacks become null.
pub fn struct_to_map(fields: &Struct) -> Map<String, Json> {
    fields.fields.iter().map(|(key, value)| (key.clone(), value_to_json(value))).collect()
}

fn value_to_json(value: &prost_types::Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(b)) => Json::Bool(*b),
        #[allow(clippy::cast_possible_truncation)]
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 1e15 => Json::from(*n as i64),
        Some(Kind::NumberValue(n)) => serde_json::Number::from_f64(*n).map_or(Json::Null, Json::Number),
        Some(Kind::StringValue(s)) => Json::String(s.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(value_to_json).collect()),
        Some(Kind::StructValue(fields)) => Json::Object(struct_to_map(fields)),
    }
}

pub(super) fn timestamp(milliseconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(milliseconds / 1000).ok()?;
    let nanos = i32::try_from(milliseconds % 1000 * 1_000_000).ok()?;
    (milliseconds > 0).then_some(Timestamp { seconds, nanos })
}

pub(super) fn dtype_to_pb(dtype: DType) -> pb::DataType {
    match dtype {
        DType::F32 => pb::DataType::Float32,
        DType::F64 => pb::DataType::Float64,
        DType::I32 => pb::DataType::Int32,
        DType::I64 => pb::DataType::Int64,
        DType::U8 => pb::DataType::Uint8,
        DType::Bool => pb::DataType::Bool,
        DType::Text => pb::DataType::String,
    }
}

fn dtype_from_pb(code: i32) -> Result<DType> {
    Ok(match pb::DataType::try_from(code) {
        Ok(pb::DataType::Float32) => DType::F32,
        Ok(pb::DataType::Float64) => DType::F64,
        Ok(pb::DataType::Int32) => DType::I32,
        Ok(pb::DataType::Int64) => DType::I64,
        Ok(pb::DataType::Uint8) => DType::U8,
        Ok(pb::DataType::Bool) => DType::Bool,
        Ok(pb::DataType::String) => DType::Text,
        _ => return Err(Error::invalid("data_type", format!("{code} was found, one of DataType was expected"))),
    })
}

/// A tensor of the contract's type from its little-endian bytes.
pub fn tensor_from_bytes(data_type: i32, shape: &[u64], bytes: &[u8]) -> Result<Tensor> {
    Tensor::from_bytes(dtype_from_pb(data_type)?, &lengths(shape)?, bytes)
}

fn lengths(shape: &[u64]) -> Result<Vec<usize>> {
    let length = |d: &u64| usize::try_from(*d).map_err(|_| Error::invalid("shape", format!("{shape:?} was found")));
    shape.iter().map(length).collect()
}

fn tensor_from_pb(tensor: pb::Tensor) -> Result<Tensor> {
    match dtype_from_pb(tensor.data_type)? {
        DType::Text => Tensor::from_text(&lengths(&tensor.shape)?, tensor.text),
        dtype => Tensor::from_bytes(dtype, &lengths(&tensor.shape)?, &tensor.data),
    }
}

pub(super) fn tensor_to_pb(tensor: &Tensor) -> pb::Tensor {
    let text = if let Tensor::Text(a) = tensor { a.iter().cloned().collect() } else { Vec::new() };
    pb::Tensor {
        data_type: dtype_to_pb(tensor.dtype()).into(),
        shape: tensor.shape().iter().map(|d| *d as u64).collect(),
        data: tensor.to_bytes(),
        text,
    }
}

/// A case of a request; errors name its field.
pub(super) fn case_from_pb(case: pb::Case) -> Result<Case> {
    let mut inputs = BTreeMap::new();
    for (name, value) in case.inputs {
        let field = format!("inputs.{name}");
        let value = match value.value {
            Some(pb::value::Value::Tensor(t)) => Value::Tensor(tensor_from_pb(t).map_err(|e| e.under(&field))?),
            Some(pb::value::Value::Image(file)) => Value::Image(file),
            None => return Err(Error::invalid(field, "is empty; a tensor or an image was expected")),
        };
        inputs.insert(name, value);
    }
    let expected = match case.expected {
        None => Expected::Nothing,
        Some(pb::case::Expected::Value(value)) => Expected::Value(value),
        Some(pb::case::Expected::Class(answer)) => {
            let acceptable = answer.acceptable.into_iter().map(|c| class_from_pb(Some(c)));
            Expected::Class { label: class_from_pb(answer.label)?, acceptable: acceptable.collect::<Result<_>>()? }
        }
    };
    let tag = |(name, tag): (String, pb::Tag)| match tag.tag {
        Some(pb::tag::Tag::Text(text)) => Ok((name, Tag::Text(text))),
        Some(pb::tag::Tag::Number(number)) => Ok((name, Tag::Number(number))),
        None => Err(Error::invalid(format!("tags.{name}"), "is empty")),
    };
    let tags = case.tags.into_iter().map(tag).collect::<Result<_>>()?;
    Ok(Case { id: case.id, inputs, expected, tags })
}

fn class_from_pb(class: Option<pb::Class>) -> Result<Class> {
    match class.and_then(|c| c.class) {
        Some(pb::class::Class::Index(index)) => Ok(Class::Index(index)),
        Some(pb::class::Class::Name(name)) => Ok(Class::Name(name)),
        None => Err(Error::invalid("expected.class", "is empty; an index or a name was expected")),
    }
}

/// A case as it is sent.
pub fn case_to_pb(case: Case) -> pb::Case {
    let class = |class: Class| pb::Class {
        class: Some(match class {
            Class::Index(index) => pb::class::Class::Index(index),
            Class::Name(name) => pb::class::Class::Name(name),
        }),
    };
    let value = |value: Value| pb::Value {
        value: Some(match value {
            Value::Tensor(tensor) => pb::value::Value::Tensor(tensor_to_pb(&tensor)),
            Value::Image(file) => pb::value::Value::Image(file),
        }),
    };
    pb::Case {
        id: case.id,
        inputs: case.inputs.into_iter().map(|(name, v)| (name, value(v))).collect(),
        expected: match case.expected {
            Expected::Nothing => None,
            Expected::Value(value) => Some(pb::case::Expected::Value(value)),
            Expected::Class { label, acceptable } => Some(pb::case::Expected::Class(pb::ClassAnswer {
                label: Some(class(label)),
                acceptable: acceptable.into_iter().map(class).collect(),
            })),
        },
        tags: tags_to_pb(case.tags),
    }
}

pub(super) fn tags_to_pb(tags: Tags) -> BTreeMap<String, pb::Tag> {
    let tag = |tag: Tag| pb::Tag {
        tag: Some(match tag {
            Tag::Number(number) => pb::tag::Tag::Number(number),
            Tag::Text(text) => pb::tag::Tag::Text(text),
        }),
    };
    tags.into_iter().map(|(name, t)| (name, tag(t))).collect()
}

pub(super) fn check_from_pb(check: pb::Check) -> Result<CheckSpec> {
    let params = check.params.map(|p| serde_json::to_string(&struct_to_map(&p))).transpose();
    let params = params.map_err(|e| Error::invalid("params", e.to_string()))?;
    Ok(CheckSpec { spec: check.spec, name: check.name, params })
}

pub(super) fn check_to_pb(check: &CheckSpec) -> pb::Check {
    let params = check.params.as_deref().and_then(|p| serde_json::from_str::<Map<String, Json>>(p).ok());
    pb::Check { spec: check.spec.clone(), name: check.name.clone(), params: params.as_ref().map(map_to_struct) }
}

pub(super) fn model_to_pb(model: &ModelRecord) -> Result<pb::Model> {
    Ok(pb::Model {
        name: model.name.clone(),
        display_name: model.display_name.clone(),
        sha256: model.sha256.clone(),
        size_bytes: model.size,
        signature: model.inspection.signature.to_yaml()?,
        create_time: timestamp(model.created),
        remote: model.remote.clone().map(|RemoteModel { endpoint, model, version }| pb::RemoteModel {
            endpoint,
            model,
            version,
        }),
    })
}

pub(super) fn suite_to_pb(suite: &SuiteRecord) -> pb::Suite {
    pb::Suite {
        name: suite.name.clone(),
        display_name: suite.display_name.clone(),
        case_count: suite.summary.cases,
        sha256: suite.sha256.clone(),
        checks: suite.checks.iter().map(check_to_pb).collect(),
        gates: suite.gates.clone(),
        create_time: timestamp(suite.created),
    }
}

pub(super) fn state_to_pb(state: State) -> pb::JobState {
    match state {
        State::Running => pb::JobState::Running,
        State::Succeeded => pb::JobState::Succeeded,
        State::Cancelled => pb::JobState::Cancelled,
        State::Failed => pb::JobState::Failed,
    }
}

pub(super) fn progress_to_pb(progress: &Progress) -> pb::Progress {
    pb::Progress {
        shards_total: progress.shards_total,
        shards_done: progress.shards_done,
        verdicts_total: progress.verdicts_total,
        verdicts_done: progress.verdicts_done,
        queries_total: progress.queries_done,
        seconds_left: progress.seconds_left,
    }
}

/// The role of the suite whose rows stand for what is not there.
pub(crate) const BACKGROUND: &str = "background";

pub(super) fn job_to_pb(job: &JobRecord, progress: Option<&Progress>) -> pb::Job {
    let spec = &job.spec;
    let background = Some(&spec.background).filter(|name| !name.is_empty());
    let background = background.into_iter().map(|name| (BACKGROUND.to_owned(), name.clone()));
    pb::Job {
        name: job.name.clone(),
        spec: Some(pb::JobSpec {
            subject: Some(pb::Subject { subject: Some(pb::subject::Subject::Model(spec.model.clone())) }),
            suite: spec.suite.clone(),
            checks: spec.checks.iter().map(check_to_pb).collect(),
            gates: spec.gates.clone(),
            seed: spec.seed,
            limit: spec.limit,
            references: background.collect(),
            baseline: spec.baseline.clone(),
            artifacts: spec.artifacts,
            pool: spec.pool.as_str().to_owned(),
        }),
        state: state_to_pb(job.state).into(),
        create_time: timestamp(job.created),
        end_time: timestamp(job.ended),
        progress: progress.map(progress_to_pb),
        estimate: None,
    }
}

pub(super) fn verdict_to_pb(verdict: Verdict, checks: &[Check], seed: u64) -> pb::Verdict {
    let check = checks.get(verdict.check as usize);
    let outcome = match verdict.outcome {
        Outcome::Held => pb::Outcome::Held,
        Outcome::Broken => pb::Outcome::Broken,
        Outcome::Skipped => pb::Outcome::Skipped,
        Outcome::Failed => pb::Outcome::Failed,
    };
    pb::Verdict {
        case_id: verdict.case,
        check: check.map_or_else(String::new, |c| c.spec.clone()),
        check_index: verdict.check,
        probe: check.map_or_else(String::new, |c| c.manual.name.to_owned()),
        params: check.map(|c| map_to_struct(c.params(verdict.point as usize))),
        outcome: outcome.into(),
        reason: verdict.reason,
        label: verdict.label,
        predicted_clean: verdict.predicted_clean,
        predicted: verdict.predicted,
        measures: verdict.measures,
        seed,
        case_index: verdict.index,
    }
}

pub(super) fn artifact_to_pb(job: &JobRecord, artifact: &ArtifactRecord) -> pb::Artifact {
    pb::Artifact {
        name: artifact_name(&job.name, &artifact.id),
        check_index: artifact.check,
        array: artifact.array.clone(),
        first_case: artifact.first_case,
        data_type: dtype_to_pb(artifact.dtype).into(),
        shape: artifact.shape.iter().map(|d| *d as u64).collect(),
        size_bytes: artifact.size,
        sha256: artifact.sha256.clone(),
        rows_per_case: job.rows_per_case(artifact),
    }
}

//! Pieces of a suite, as they come over the wire.

use assay::api::pb;
use prost::Message;
use tonic::Code;
use tonic::transport::Channel;

use super::drive;
use crate::server::{Server, digits, fields, suite};
use crate::soak::rounds;

/// A batch of cases for a suite: taken, or refused with the field of a case.
async fn chunk(channel: &Channel, bytes: &[u8]) -> bool {
    let Ok(batch) = pb::CaseBatch::decode(bytes) else { return false };
    let Err(status) = suite(channel, batch.cases).await else { return true };
    assert!(matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted), "{status:?}");
    let of_a_case = |field: &String| field.starts_with("cases");
    assert!(status.code() != Code::InvalidArgument || fields(&status).iter().all(of_a_case), "{status:?}");
    false
}

/// Cases with an input of every kind, an answer of every kind, and tags.
fn samples() -> Vec<Vec<u8>> {
    use pb::value::Value;
    let input = |value| ("x".to_owned(), pb::Value { value: Some(value) });
    let tensor = |kind: pb::DataType, data: &[u8]| {
        Value::Tensor(pb::Tensor { data_type: kind.into(), shape: vec![2], data: data.to_vec(), text: Vec::new() })
    };
    let text = pb::Tensor {
        data_type: pb::DataType::String.into(),
        shape: vec![2],
        data: Vec::new(),
        text: vec!["a".to_owned(), "b".to_owned()],
    };
    let case = |id: usize, (value, expected)| pb::Case {
        id: id.to_string(),
        inputs: [input(value)].into(),
        expected: Some(expected),
        tags: [("year".to_owned(), pb::Tag { tag: Some(pb::tag::Tag::Number(2011.0)) })].into(),
    };
    let class = |class| pb::ClassAnswer { label: Some(pb::Class { class: Some(class) }), acceptable: Vec::new() };
    let rich = [
        (tensor(pb::DataType::Float32, &[0; 8]), pb::case::Expected::Value(0.5)),
        (tensor(pb::DataType::Int64, &[0; 16]), pb::case::Expected::Class(class(pb::class::Class::Index(3)))),
        (Value::Tensor(text), pb::case::Expected::Class(class(pb::class::Class::Name("cat".to_owned())))),
        (Value::Image(super::files::pictures().swap_remove(0)), pb::case::Expected::Value(-1.0)),
    ];
    let rich = rich.into_iter().enumerate().map(|(id, parts)| pb::CaseBatch { cases: vec![case(id, parts)] });
    rich.chain([pb::CaseBatch { cases: digits(2) }]).map(|batch| batch.encode_to_vec()).collect()
}

#[test]
fn chunks() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let channel = runtime.block_on(server.channel());
    drive("suite_chunk", samples(), rounds(300, 20_000), |bytes| runtime.block_on(chunk(&channel, bytes)));
}

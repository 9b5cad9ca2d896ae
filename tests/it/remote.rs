//! Models that are elsewhere: who may be asked, how, and what is made of the answers.

use std::time::{Duration, Instant};

use assay::api::pb;
use assay::data::{Case, Class, Expected, Value};
use assay::tensor::{Rng, Tensor, argmax};
use ndarray::ArrayD;
use pb::model_service_client::ModelServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::fake::{FEATURES, Fake, Mood, scores};
use crate::server::{Server, create, fields, follow, spec, suite};

const SIGNATURE: &str = "input: {range: [0, 1]}";

/// A server's configuration that lets a fake be asked, with further settings.
fn allowing(fake: &Fake, more: &str) -> String {
    format!("console = \"127.0.0.1:0\"\n[remote]\nallow = [\"{}\"]\n{more}\n", fake.address())
}

async fn register(channel: &Channel, endpoint: &str, model: &str) -> Result<pb::Model, Status> {
    let (endpoint, model) = (endpoint.to_owned(), model.to_owned());
    let remote = Some(pb::RemoteModel { endpoint, model, version: String::new() });
    let request =
        pb::RegisterModelRequest { display_name: "elsewhere".to_owned(), remote, signature: SIGNATURE.to_owned() };
    ModelServiceClient::new(channel.clone()).register_model(request).await.map(tonic::Response::into_inner)
}

async fn linear(channel: &Channel, fake: &Fake) -> pb::Model {
    register(channel, &format!("grpc://{}", fake.address()), "linear").await.unwrap()
}

/// Rows of random numbers, with the linear model's own answers as labels.
fn rows(count: usize) -> Vec<pb::Case> {
    let case = |i: usize| {
        let mut rng = Rng::new(7, "rows", &i.to_string(), 0);
        #[allow(clippy::cast_possible_truncation)]
        let x: Vec<f32> = (0..FEATURES).map(|_| rng.range(0.0, 1.0) as f32).collect();
        let label = Class::Index(argmax(&scores(&x)) as u64);
        let x = Value::Tensor(Tensor::F32(ArrayD::from_shape_vec(vec![FEATURES], x).unwrap()));
        let expected = Expected::Class { label, acceptable: Vec::new() };
        let case = Case { id: i.to_string(), inputs: [("x".to_owned(), x)].into(), expected, tags: Default::default() };
        assay::api::case_to_pb(case)
    };
    (0..count).map(case).collect()
}

/// All verdicts of a job, which comes to its end.
async fn verdicts(channel: &Channel, model: &str, suite: &str, checks: &[&str]) -> Vec<pb::Verdict> {
    let job = create(channel, spec(model, suite, checks), "").await.unwrap();
    let (verdicts, _, done) = follow(channel, &job.name, "", usize::MAX).await;
    assert!(done);
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_asked_is_refused_with_the_setting() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let at = format!("grpc://{}", fake.address());
    let port = fake.address().port();
    for (allow, endpoint) in [
        (String::new(), at.clone()),
        ("\"models.example:9000\"".to_owned(), at.clone()),
        (format!("\"127.0.0.1:{}\"", port.wrapping_add(1)), at.clone()),
        // To name all of the internet names neither this machine nor its cloud's metadata.
        ("\"0.0.0.0/0:*\", \"[::/0]:*\"".to_owned(), at.clone()),
        ("\"0.0.0.0/0:*\", \"[::/0]:*\"".to_owned(), format!("grpc://localhost:{port}")),
        ("\"0.0.0.0/0:*\", \"[::/0]:*\"".to_owned(), format!("grpc://[::ffff:127.0.0.1]:{port}")),
        ("\"0.0.0.0/0:*\", \"[::/0]:*\"".to_owned(), format!("grpc://0.0.0.0:{port}")),
        ("\"0.0.0.0/0:*\", \"[::/0]:*\"".to_owned(), "grpc://169.254.169.254:80".to_owned()),
        ("\"10.0.0.0/8:*\"".to_owned(), "grpc://metadata.invalid.example:80".to_owned()),
    ] {
        let server = Server::configured(folder.path(), "1", &format!("[remote]\nallow = [{allow}]\n"));
        let channel = server.channel().await;
        let status = register(&channel, &endpoint, "linear").await.unwrap_err();
        if endpoint.contains("invalid") {
            // A name that leads nowhere is looked up, and found nowhere.
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            continue;
        }
        assert_eq!(status.code(), Code::FailedPrecondition, "{allow} {endpoint} {status:?}");
        assert!(status.message().contains("`[remote] allow`"), "{}", status.message());
    }
    assert_eq!(fake.requests(), 0);
    let server = Server::configured(folder.path(), "1", &allowing(&fake, ""));
    let channel = server.channel().await;
    for (endpoint, model, field) in [
        ("http://127.0.0.1:1", "linear", "remote.endpoint"),
        ("grpc://127.0.0.1", "linear", "remote.endpoint"),
        ("grpc://user@127.0.0.1:1", "linear", "remote.endpoint"),
        (&at, "", "remote.model"),
        (&at, "half", "remote.inputs.x"),
        (&at, "unknown", "remote"),
    ] {
        let status = register(&channel, endpoint, model).await.unwrap_err();
        assert_eq!(fields(&status), [field], "{endpoint} {model} {status:?}");
    }
    assert_eq!(register(&channel, &at, "asleep").await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_elsewhere_is_judged_by_its_scores_alone() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let server = Server::configured(folder.path(), "2", &allowing(&fake, "rows_per_second = 1000000"));
    let channel = server.channel().await;
    let model = linear(&channel, &fake).await;
    let again = linear(&channel, &fake).await;
    assert_eq!((again.name.as_str(), again.create_time), (model.name.as_str(), model.create_time));
    assert_eq!(model.remote.as_ref().unwrap().endpoint, format!("grpc://{}", fake.address()));
    assert!(
        model.signature.contains("name: scores") && model.signature.contains("kind: logits"),
        "{}",
        model.signature
    );
    let request = pb::InspectModelRequest { name: model.name.clone() };
    let found = ModelServiceClient::new(channel.clone()).inspect_model(request).await.unwrap().into_inner();
    assert_eq!(found.accesses().collect::<Vec<_>>(), [pb::Access::Label, pb::Access::Score]);
    assert_eq!(
        (found.inputs[0].shape.join(","), found.no_gradient.as_str()),
        ("?,16".to_owned(), "a remote model has no gradient")
    );
    let suite = suite(&channel, rows(20)).await.unwrap();
    for (check, why) in [("pgd", "a remote model has no gradient"), ("tree_shap", "a remote model shows no trees")] {
        let status = create(&channel, spec(&model.name, &suite.name, &[check]), "").await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(why), "{status:?}");
    }
    let checks = [
        "clean",
        "square:eps=0.3,query_budget=40",
        "additive_noise:severity=3",
        "feature_ablation",
        "permutation_shap:n_samples=34",
        "permutation_importance:repeats=2",
    ];
    let mut asked = spec(&model.name, &suite.name, &checks);
    asked.references.insert("background".to_owned(), suite.name.clone());
    let before = fake.requests();
    let job = create(&channel, asked.clone(), "").await.unwrap();
    let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
    assert!(done && verdicts.len() == 20 * checks.len(), "{}", verdicts.len());
    assert!(verdicts.iter().all(|v| v.outcome() != pb::Outcome::Failed), "{verdicts:?}");
    assert!(verdicts.iter().filter(|v| v.probe == "clean").all(|v| v.outcome() == pb::Outcome::Held));
    let broken =
        |probe: &str| verdicts.iter().filter(|v| v.probe == probe && v.outcome() == pb::Outcome::Broken).count();
    assert!(broken("square") > 3, "{}", broken("square"));
    let console = server.console.clone().unwrap();
    let scrape = crate::telemetry::page(&console, "/metrics").1;
    let rows = crate::telemetry::value(&scrape, "assay_remote_rows_total{outcome=\"ok\"}").unwrap();
    assert_eq!(rows, fake.rows() as f64, "{scrape}");
    // Nothing is taken over from a job: the model may be another one by now. Yet it was not, and so is the answer.
    let (first, between) = (fake.requests() - before, fake.requests());
    let again = create(&channel, asked, "").await.unwrap();
    let (same, ..) = follow(&channel, &again.name, "", usize::MAX).await;
    // A slot asks the clean scores of a chunk once more where it takes it over from another one.
    assert!((fake.requests() - between).abs_diff(first) <= 20, "{first}");
    assert_eq!(crate::server::sorted(same), crate::server::sorted(verdicts));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_stumbles_or_comes_back_costs_no_verdict() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let server = Server::configured(folder.path(), "1", &allowing(&fake, "tries = 3"));
    let channel = server.channel().await;
    let (model, suite) = (linear(&channel, &fake).await, suite(&channel, rows(1)).await.unwrap());
    let before = fake.requests();
    fake.set(Mood::Stumbling(2));
    let found = verdicts(&channel, &model.name, &suite.name, &["clean"]).await;
    assert!(found.len() == 1 && found.iter().all(|v| v.outcome() == pb::Outcome::Held), "{found:?}");
    assert_eq!(fake.requests() - before, 3);
    // Longer than its tries, and shorter than the patience: the shard goes back and is begun anew.
    fake.set(Mood::Away(Instant::now() + Duration::from_secs(3)));
    let found = verdicts(&channel, &model.name, &suite.name, &["clean"]).await;
    assert!(found.len() == 1 && found.iter().all(|v| v.outcome() == pb::Outcome::Held), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_stays_away_fails_what_waits_for_it() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let server = Server::configured(folder.path(), "1", &allowing(&fake, "tries = 1\naway_seconds = 2"));
    let channel = server.channel().await;
    let (model, suite) = (linear(&channel, &fake).await, suite(&channel, rows(3)).await.unwrap());
    fake.set(Mood::Away(Instant::now() + Duration::from_secs(3600)));
    let began = Instant::now();
    let found = verdicts(&channel, &model.name, &suite.name, &["clean"]).await;
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(found.len(), 3);
    for verdict in &found {
        assert_eq!(verdict.outcome(), pb::Outcome::Failed);
        assert!(
            verdict.reason.contains("not now") && verdict.reason.contains("remote.away_seconds = 2"),
            "{}",
            verdict.reason
        );
    }
    // It was nobody's death: the model is not in quarantine, and works again when its endpoint does.
    fake.set(Mood::Well);
    let found = verdicts(&channel, &model.name, &suite.name, &["clean"]).await;
    assert!(found.iter().all(|v| v.outcome() == pb::Outcome::Held), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_not_believed() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let server = Server::configured(folder.path(), "1", &allowing(&fake, ""));
    let channel = server.channel().await;
    let (model, suite) = (linear(&channel, &fake).await, suite(&channel, rows(1)).await.unwrap());
    for (mood, told) in [
        (Mood::Refusing, "InvalidArgument: no such modelno such line"),
        (Mood::FewerRows, "shape [0, 4] was found, 1 rows were asked for"),
        (Mood::FewerScores, "gives 3 scores for these values, 4 for others"),
        (Mood::Doubles, "datatype FP64 was found, FP32 was announced"),
        (Mood::Half, "`FP16` was found; FP32, FP64, INT64, INT32, UINT8, BOOL are taken"),
        (Mood::Nan, "NaN was found, scores were expected"),
        (Mood::Short, "3 values of the datatype were found for shape [1, 4]"),
        (Mood::OtherName, "one was expected among the 1 that were answered"),
    ] {
        fake.set(mood);
        let before = fake.requests();
        let found = verdicts(&channel, &model.name, &suite.name, &["clean"]).await;
        let failed = |v: &pb::Verdict| v.outcome() == pb::Outcome::Failed && v.reason.contains(told);
        assert!(found.len() == 1 && found.iter().all(failed), "{mood:?}: {found:?}");
        assert_eq!(fake.requests() - before, 1, "{mood:?}: what is refused is not asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_an_endpoint_takes_is_limited_and_is_not_the_slots() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let limits = "tries = 1\nrequest_seconds = 1\n[limits]\nshard_seconds = 1\ncase_seconds = 1";
    let server = Server::configured(folder.path(), "1", &allowing(&fake, limits));
    let channel = server.channel().await;
    let (model, suite) = (linear(&channel, &fake).await, suite(&channel, rows(4)).await.unwrap());
    // Ten requests of 0.4 s each are more than a shard has.
    fake.set(Mood::Slow(Duration::from_millis(400)));
    let began = Instant::now();
    let found = verdicts(&channel, &model.name, &suite.name, &["square:eps=0.01,query_budget=10"]).await;
    assert!(found.len() == 4 && found.iter().all(|v| v.outcome() != pb::Outcome::Failed), "{found:?}");
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    for late in [Mood::Slow(Duration::from_secs(20)), Mood::Expired] {
        fake.set(late);
        let status = register(&channel, &format!("grpc://{}", fake.address()), "another").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("did not answer within 1 s"), "{}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_at_the_pace_that_the_settings_have() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let server = Server::configured(folder.path(), "2", &allowing(&fake, "rows_per_second = 100"));
    let channel = server.channel().await;
    let (model, suite) = (linear(&channel, &fake).await, suite(&channel, rows(200)).await.unwrap());
    let (began, before) = (Instant::now(), fake.rows());
    verdicts(&channel, &model.name, &suite.name, &["clean", "additive_noise:severity=1"]).await;
    let (rows, took) = (fake.rows() - before, began.elapsed().as_secs_f64());
    assert!(rows >= 400, "{rows}");
    // The first batch goes at once, and the last one is waited for no longer than for its turn.
    assert!(took > (rows - 64) as f64 / 100.0, "{rows} rows in {took} s");
}

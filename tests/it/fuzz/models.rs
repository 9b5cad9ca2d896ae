//! Damaged models through a whole server: each is refused with words or runs, and the server goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assay::api::{case_to_pb, pb};
use assay::data::{Case, Class, Expected, Value};
use assay::engine::{Signature, Task};
use assay::tensor::{DType, Tensor};
use pb::catalog_service_client::CatalogServiceClient;
use pb::job_service_client::JobServiceClient;
use pb::model_service_client::ModelServiceClient;
use tonic::transport::Channel;

use super::mutant::{Mutant, Sample, samples};
use super::outcome::{Outcome, Table, refusal, verdicts};
use super::{SEED, rounds};
use crate::server::{Server, create, follow, model, spec, suite};

/// Tight enough that a model that hangs does not keep the others waiting.
const LIMITS: &str = "[limits]\ninspect_seconds = 5\nshard_seconds = 5\ncase_seconds = 5\n\
                      slot_memory_bytes = 4294967296\nmodel_deaths = 5\n";

/// Longest that all of a model may take, on a machine that is busy with other tests.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Cases that each model is asked for.
const CASES: usize = 2;

/// Numbers of one case above which a model is not asked: their suite would take longer than the model.
const ELEMENTS_MAX: usize = 1 << 20;

/// Features above which a row is not explained: each is a question of its own.
const FEATURES_MAX: usize = 256;

/// Models after which a long run says how far it is.
const STEP: usize = 500;

/// A folder for the files of models that came to no good end.
const KEEP: &str = "ASSAY_FUZZ_KEEP";

/// Numbers of the only models that are wanted, such as `12,99`.
const ONLY: &str = "ASSAY_FUZZ_ONLY";

/// Set where the words of every refusal are wanted.
const TELL: &str = "ASSAY_FUZZ_TELL";

#[tokio::test(flavor = "multi_thread")]
async fn damaged_models_are_refused_with_words_or_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::configured(folder.path(), "2", LIMITS);
    let channel = server.channel().await;
    let (numbers, samples) = (numbers(), samples());
    let (next, table, wrong) = (AtomicUsize::new(0), Mutex::new(Table::default()), AtomicUsize::new(0));
    let work = async || {
        while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            if number > 0 && number % STEP == 0 {
                println!("{number} models\n{}", table.lock().unwrap());
            }
            // Neighbours in the order of names are much alike: a stride takes all in turn, but not one after another.
            let sample = &samples[number * 97 % samples.len()];
            let mutant = Mutant::new(number, sample);
            let end = tokio::time::timeout(TIME_MAX, outcome(&channel, &mutant.onnx)).await;
            match end.unwrap_or_else(|_| Err("no end".to_owned())) {
                Ok(outcome) => table.lock().unwrap().count(mutant.kind, outcome),
                Err(why) => {
                    wrong.fetch_add(1, Ordering::Relaxed);
                    eprintln!("{number} of {}, {}, seed {SEED}: {why}", sample.name, mutant.kind);
                    keep(number, sample, &mutant);
                }
            }
            let info = CatalogServiceClient::new(channel.clone()).get_server_info(pb::GetServerInfoRequest {}).await;
            assert!(info.is_ok(), "the server is gone after {number} of {}: {info:?}", sample.name);
        }
    };
    // As many at once as the server inspects.
    tokio::join!(work(), work());
    let table = table.into_inner().unwrap();
    let count = numbers.len();
    println!("{count} models of {} samples, seed {SEED}\n{table}", samples.len());
    assert!(server.child.try_wait().unwrap().is_none(), "the server has ended");
    assert_eq!(wrong.into_inner(), 0, "models came to no good end");
    // Else the damage is too great or too small to say anything.
    let share = |outcome| table.total(outcome) * 10 > count;
    assert!(count < 100 || share(Outcome::Ran) && share(Outcome::Refused), "{table}");
}

fn numbers() -> Vec<usize> {
    match std::env::var(ONLY) {
        Ok(some) => some.split(',').map(|number| number.parse().unwrap()).collect(),
        Err(_) => (0..rounds(500, 10_000)).collect(),
    }
}

/// Keeps the file of a model, if that is wished.
fn keep(number: usize, sample: &Sample, mutant: &Mutant) {
    if let Some(folder) = std::env::var_os(KEEP).map(std::path::PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{number}_{}.onnx", sample.name)), &mutant.onnx).unwrap();
    }
}

/// Uploads a model and asks it for a few cases.
async fn outcome(channel: &Channel, onnx: &[u8]) -> Result<Outcome, String> {
    // An empty file is refused by its header, of which other tests tell.
    if onnx.is_empty() {
        return Ok(Outcome::Refused);
    }
    let uploaded = match model(channel, onnx, "").await {
        Ok(model) => model,
        Err(status) => {
            if std::env::var_os(TELL).is_some() {
                println!("{}", status.message());
            }
            return refusal(&status);
        }
    };
    let outcome = asked(channel, &uploaded).await;
    let mut models = ModelServiceClient::new(channel.clone());
    let deleted = models.delete_model(pb::DeleteModelRequest { name: uploaded.name }).await;
    // Two damaged files may be the same, and one of them still under way or gone already.
    match deleted.map_err(|status| status.code()) {
        Ok(_) | Err(tonic::Code::FailedPrecondition | tonic::Code::NotFound) => outcome,
        Err(code) => Err(format!("it cannot be deleted: {code:?}")),
    }
}

async fn asked(channel: &Channel, model: &pb::Model) -> Result<Outcome, String> {
    let yaml: serde_json::Value = serde_norway::from_str(&model.signature).map_err(|e| e.to_string())?;
    let signature: Signature = serde_json::from_value(yaml).map_err(|e| e.to_string())?;
    let elements = |shape: &[usize]| shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    if signature.inputs.iter().any(|input| elements(&input.shape).is_none_or(|n| n > ELEMENTS_MAX)) {
        return Ok(Outcome::Unasked);
    }
    let inspect = pb::InspectModelRequest { name: model.name.clone() };
    let facts = ModelServiceClient::new(channel.clone()).inspect_model(inspect).await.map_err(|e| e.to_string())?;
    let cases = (0..CASES).map(|i| case_to_pb(case(&signature, i))).collect();
    let suite = match suite(channel, cases).await {
        Ok(suite) => suite.name,
        Err(status) => return refusal(&status),
    };
    let checks = checks(&signature, facts.get_ref().no_gradient.is_empty());
    let job = |checks: &[&str]| {
        let references = [("background".to_owned(), suite.clone())].into();
        create(channel, pb::JobSpec { references, ..spec(&model.name, &suite, checks) }, "")
    };
    let (job, points) = match job(&checks).await {
        Ok(job) => (job, checks.len()),
        Err(status) => {
            refusal(&status)?;
            // What does not fit the model was only a guess; what it answers can always be asked.
            match job(&["clean"]).await {
                Ok(job) => (job, 1),
                Err(status) => return refusal(&status),
            }
        }
    };
    let (found, _, done) = follow(channel, &job.name, "", usize::MAX).await;
    let outcome = if done { verdicts(&found, CASES * points) } else { Err("its stream broke off".to_owned()) };
    let deleted = JobServiceClient::new(channel.clone()).delete_job(pb::DeleteJobRequest { name: job.name }).await;
    deleted.map_err(|status| status.to_string()).and(outcome)
}

/// Checks that take little time, each with one point.
fn checks(signature: &Signature, gradient: bool) -> Vec<&'static str> {
    let mut checks = vec!["clean"];
    let probed = signature.probed();
    if gradient {
        checks.push("fgsm:eps=0.01");
    }
    checks.extend(match probed.dtype {
        DType::F32 if probed.is_image() => Some("gaussian_noise:severity=1"),
        DType::F32 if probed.shape.len() == 1 && probed.len() <= FEATURES_MAX => Some("feature_ablation"),
        _ => None,
    });
    checks
}

fn case(signature: &Signature, number: usize) -> Case {
    let value = |dtype, shape: &[usize]| Value::Tensor(tensor(dtype, shape, number));
    Case {
        id: number.to_string(),
        inputs: signature.inputs.iter().map(|input| (input.name.clone(), value(input.dtype, &input.shape))).collect(),
        expected: match signature.task {
            Task::Regression => Expected::Value(0.5),
            _ => Expected::Class { label: Class::Index(0), acceptable: Vec::new() },
        },
        tags: BTreeMap::new(),
    }
}

/// The same small number everywhere, or a word.
fn tensor(dtype: DType, shape: &[usize], number: usize) -> Tensor {
    let elements = shape.iter().product::<usize>();
    match dtype {
        DType::Text => Tensor::from_text(shape, vec!["a".to_owned(); elements]).unwrap(),
        DType::F32 => Tensor::F32(ndarray::ArrayD::from_elem(shape, 0.25 * (number + 1) as f32)),
        other => Tensor::from_bytes(other, shape, &vec![0; elements * other.size()]).unwrap(),
    }
}

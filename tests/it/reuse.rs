//! Verdicts that are there are not computed again, and any of them can be had again.

use assay::api::{case_to_pb, pb};
use assay::data::{Case, Class, Expected, Value};
use assay::tensor::Tensor;
use pb::job_service_client::JobServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::server::{MODEL, Server, create, digits, follow, model, sorted, spec, suite};

/// Rows that went through the model for a finished job, as its stream counts them.
async fn queries(channel: &Channel, job: &str) -> u64 {
    let request = pb::StreamResultsRequest { name: job.to_owned(), resume_token: String::new() };
    let mut stream = JobServiceClient::new(channel.clone()).stream_results(request).await.unwrap().into_inner();
    let mut queries = 0;
    while let Some(response) = stream.message().await.unwrap() {
        if let Some(pb::stream_results_response::Message::Progress(progress)) = response.message {
            queries = progress.queries_total;
        }
    }
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_of_an_earlier_job_are_copied_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let model = model(&channel, MODEL, "").await.unwrap().name;
    let (all, some) =
        (suite(&channel, digits(200)).await.unwrap(), suite(&channel, digits(150).split_off(50)).await.unwrap());
    let checks = ["clean", "gaussian_noise:severity=[2,4]"];
    let first = create(&channel, spec(&model, &all.name, &checks), "").await.unwrap();
    let (verdicts, _, done) = follow(&channel, &first.name, "", usize::MAX).await;
    assert!(done && queries(&channel, &first.name).await == 600);
    // The same again, with the checks in another order and one more.
    let again =
        create(&channel, spec(&model, &all.name, &[checks[1], "motion_blur:severity=1", checks[0]]), "").await.unwrap();
    let (copied, _, done) = follow(&channel, &again.name, "", usize::MAX).await;
    assert!(done);
    let shared = copied.into_iter().filter(|v| v.probe != "motion_blur").map(|mut v| {
        v.check_index = u32::from(v.probe != "clean");
        v
    });
    assert_eq!(sorted(shared.collect()), sorted(verdicts.clone()));
    assert_eq!(queries(&channel, &again.name).await, 200);
    // Asked twice, since the second answer is made from the first.
    for _ in 0..2 {
        let request = pb::GetJobRequest { name: again.name.clone() };
        let job = JobServiceClient::new(channel.clone()).get_job(request).await.unwrap().into_inner();
        let progress = job.progress.unwrap();
        assert_eq!((progress.queries_total, progress.verdicts_done, progress.shards_done), (200, 800, 48));
    }
    // A part of the cases in a suite of its own: positions differ, verdicts do not.
    let part = create(&channel, spec(&model, &some.name, &checks), "").await.unwrap();
    let (copied, _, _) = follow(&channel, &part.name, "", usize::MAX).await;
    assert_eq!((copied.len(), queries(&channel, &part.name).await), (300, 0));
    let own = |v: &pb::Verdict| (50..150).contains(&v.case_index);
    assert_eq!(sorted(copied), sorted(verdicts.into_iter().filter(own).collect()));
    // Another seed is another job.
    let other = pb::JobSpec { seed: 1, ..spec(&model, &some.name, &checks) };
    let other = create(&channel, other, "").await.unwrap();
    follow(&channel, &other.name, "", usize::MAX).await;
    assert_eq!(queries(&channel, &other.name).await, 300);
    // What is deleted is not copied from.
    for job in [&first, &again, &part] {
        let request = pb::DeleteJobRequest { name: job.name.clone() };
        JobServiceClient::new(channel.clone()).delete_job(request).await.unwrap();
    }
    let anew = create(&channel, spec(&model, &all.name, &checks), "").await.unwrap();
    follow(&channel, &anew.name, "", usize::MAX).await;
    assert_eq!(queries(&channel, &anew.name).await, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_judged_again_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "1");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(40)).await.unwrap());
    let job = create(&channel, spec(&model.name, &suite.name, &["clean", "gaussian_noise"]), "").await.unwrap();
    let (verdicts, _, _) = follow(&channel, &job.name, "", usize::MAX).await;
    let replay = async |case: &str, check: &str| {
        let (name, case_id, check) = (job.name.clone(), case.to_owned(), check.to_owned());
        let request = pb::ReplayCaseRequest { name, case_id, check, include_arrays: true };
        JobServiceClient::new(channel.clone()).replay_case(request).await.map(tonic::Response::into_inner)
    };
    let again = replay("17", "gaussian_noise").await.unwrap();
    assert!(again.identical);
    assert_eq!(again.arrays["x_corrupted"].shape, [5, 1, 28, 28]);
    let own = verdicts.into_iter().filter(|v| v.case_id == "17" && v.probe == "gaussian_noise");
    assert_eq!(sorted(again.verdicts), sorted(own.collect()));
    assert_eq!(replay("99", "clean").await.unwrap_err().code(), Code::NotFound);
    let status = replay("17", "").await.unwrap_err();
    assert!(status.message().contains("which one is meant of clean, gaussian_noise?"), "{}", status.message());
}

/// The bytes of an artifact.
async fn read(channel: &Channel, name: &str) -> Vec<u8> {
    let request = pb::ReadArtifactRequest { name: name.to_owned(), offset: 0 };
    let mut stream = JobServiceClient::new(channel.clone()).read_artifact(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        bytes.extend(response.data);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_finds_its_witnesses_again_to_the_bit() {
    const CASES: usize = 2;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(CASES)).await.unwrap());
    // AutoAttack has no budget; its members are here.
    let names = assay::probe::attack::ATTACKS.iter().map(|attack| attack.manual.name);
    let checks: Vec<String> = names
        .filter(|name| *name != "auto_attack")
        .map(|name| match name {
            "cw" | "deepfool" | "fab" => format!("{name}:query_budget=60"),
            _ => format!("{name}:eps=0.2,query_budget=60"),
        })
        .collect();
    let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
    let spec = pb::JobSpec { artifacts: true, ..spec(&model.name, &suite.name, &checks) };
    let job = create(&channel, spec, "").await.unwrap();
    let (verdicts, _, done) = follow(&channel, &job.name, "", usize::MAX).await;
    assert!(done && verdicts.len() == CASES * checks.len());
    let mut jobs = JobServiceClient::new(channel.clone());
    let request = pb::ListArtifactsRequest { name: job.name.clone() };
    let artifacts = jobs.list_artifacts(request).await.unwrap().into_inner().artifacts;
    for (index, check) in checks.iter().enumerate() {
        for case in 0..CASES {
            let (name, case_id) = (job.name.clone(), case.to_string());
            let request = pb::ReplayCaseRequest { name, case_id, check: (*check).to_owned(), include_arrays: true };
            let again = jobs.replay_case(request).await.unwrap().into_inner();
            assert!(again.identical, "{check} of {case}");
            // Cases lie in the artifacts of their shards.
            let holds = |a: &&pb::Artifact| (a.first_case..a.first_case + a.shape[0]).contains(&(case as u64));
            let own = artifacts.iter().filter(|a| a.check_index as usize == index && a.array == "x_adv").find(holds);
            let (own, witness) = (own.unwrap(), &again.arrays["x_adv"].data);
            let at = (case - usize::try_from(own.first_case).unwrap()) * witness.len();
            assert!(*witness == read(&channel, &own.name).await[at..][..witness.len()], "{check} of {case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validated_job_says_what_it_would_take() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let (model, suite) = (model(&channel, MODEL, "").await.unwrap(), suite(&channel, digits(100)).await.unwrap());
    let spec = spec(&model.name, &suite.name, &["clean", "gaussian_noise"]);
    let request = pb::CreateJobRequest { spec: Some(spec), request_id: String::new(), validate_only: true };
    let mut jobs = JobServiceClient::new(channel);
    let job = jobs.create_job(request).await.unwrap().into_inner();
    let estimate = job.estimate.unwrap();
    assert_eq!((job.name.as_str(), estimate.queries), ("", 600));
    // A small network: far below a minute, far above nothing.
    assert!(estimate.seconds > 1e-4 && estimate.seconds < 60.0 && estimate.memory_bytes > 1 << 20, "{estimate:?}");
    assert!(jobs.list_jobs(pb::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_is_of_its_own_jobs_cases() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "2");
    let channel = server.channel().await;
    let forest = crate::zoo::zoo().into_iter().find(|specimen| specimen.name == "sk_forest").unwrap();
    let model = model(&channel, &forest.onnx, "").await.unwrap().name;
    let suite = suite(&channel, rows(60)).await.unwrap().name;
    let report = async |limit: u64| {
        let checks = ["clean", "permutation_importance", "partial_dependence:target=1"];
        let job = create(&channel, pb::JobSpec { limit, ..spec(&model, &suite, &checks) }, "").await.unwrap();
        follow(&channel, &job.name, "", usize::MAX).await;
        let mut jobs = JobServiceClient::new(channel.clone());
        for check in &checks[1..] {
            let (case, check) = ("17".to_owned(), (*check).to_owned());
            let name = job.name.clone();
            let request = pb::ReplayCaseRequest { name, case_id: case, check, include_arrays: false };
            assert!(jobs.replay_case(request).await.unwrap().into_inner().identical);
        }
        let request = pb::GetReportRequest { name: job.name };
        jobs.get_report(request).await.unwrap().into_inner().checks
    };
    let first = report(0).await;
    assert!(first[1].metrics.len() == 4 && first[2].curves.len() == 4);
    // Of the first thirty cases the verdicts are those of the first job; what holds of all sixty does not hold of them.
    let part = report(30).await;
    assert!(part[1].metrics.iter().all(|metric| metric.n == 30) && part[2].curves != first[2].curves);
    assert_eq!(report(0).await, first);
}

/// Rows of four features in three classes, as the small forest of the zoo takes them.
pub(crate) fn rows(count: usize) -> Vec<pb::Case> {
    let row = |i: usize| {
        let value = |feature: usize| ((i * 7 + feature * 13) % 29) as f32 / 4.0;
        let row = ndarray::Array1::from_iter((0..4).map(value)).into_dyn();
        let inputs = [("X".to_owned(), Value::Tensor(Tensor::F32(row)))].into();
        let expected = Expected::Class { label: Class::Index(i as u64 % 3), acceptable: Vec::new() };
        case_to_pb(Case { id: i.to_string(), inputs, expected, tags: [].into() })
    };
    (0..count).map(row).collect()
}

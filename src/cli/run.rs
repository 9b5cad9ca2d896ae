//! `assay run`: upload, create a job, watch it, show what it gave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::{Ask, Output, Run, Show};
use super::baseline::Baseline;
use super::client::{Client, answer, check, file, signature};
use super::progress::Meter;
use super::{Ended, artifacts, html, output, predictions, serve};
use crate::api::pb;
use crate::data;
use crate::error::{Error, Result};

/// A `SUITE.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    /// Relative to the file.
    cases: String,
    #[serde(default)]
    checks: Vec<String>,
    #[serde(default)]
    gates: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(args: &Run) -> Result<Ended> {
    let (cases, checks, gates) = asked(args)?;
    if checks.is_empty() {
        return Err(Error::invalid(
            "checks",
            "there is none; --check clean is the simplest, `assay catalog` lists all",
        ));
    }
    let signature = signature(args.signature.as_deref())?;
    // Cases beyond the limit need not travel.
    let cases = data::read(&cases)?.first(args.ask.limit.unwrap_or(u64::MAX));
    let (onnx, signature, cases) = match (&args.model, &args.predictions) {
        (Some(model), _) => (file(model, "model")?, signature, cases),
        (None, Some(spec)) => {
            predictions::only_clean(&checks)?;
            let (cases, size) = predictions::join(cases, spec)?;
            (predictions::IDENTITY.to_vec(), predictions::signature(&signature, size)?, cases)
        }
        (None, None) => return Err(Error::invalid("model", "is missing; --model or --predictions was expected")),
    };
    let mut client = Client::connect(args.server.as_deref(), serve::slots(args.slots)).await?;
    let result = judge(&mut client, args, onnx, signature, cases, checks, gates).await;
    client.close().await;
    result
}

async fn judge(
    client: &mut Client,
    args: &Run,
    onnx: Vec<u8>,
    signature: String,
    cases: data::Cases,
    checks: Vec<String>,
    gates: Vec<String>,
) -> Result<Ended> {
    let mut gates = gates;
    let (baseline, job) = match &args.ask.baseline {
        Some(name) if name.starts_with("tenants/") => (None, Some(name.clone())),
        Some(path) => (Some(Baseline::read(Path::new(path), &checks, &mut gates)?), None),
        None => (None, None),
    };
    let title = args.model.as_deref().map_or("predictions".to_owned(), stem);
    let model = client.upload_model(onnx, &title, signature).await?;
    let suite = client.upload_suite(cases, "", &[], &[]).await?;
    let keep = args.show.artifacts.is_some() || args.show.report.is_some();
    let ask = Ask { checks, gates, seed: args.ask.seed, limit: None, baseline: job };
    let job = create(client, &model.name, &suite.name, &ask, keep, "", args.dry_run).await?;
    if args.dry_run {
        output::estimate(&job, suite.case_count);
        return Ok(Ended::Passed);
    }
    show(client, &job, &args.show, baseline).await
}

/// The cases, checks and gates asked for, from the options or a suite's file.
fn asked(args: &Run) -> Result<(String, Vec<String>, Vec<String>)> {
    let (mut checks, mut gates) = (args.ask.checks.clone(), args.ask.gates.clone());
    let Some(path) = &args.suite else { return Ok((args.cases.clone().unwrap_or_default(), checks, gates)) };
    let suite: SuiteFile = serde_norway::from_slice(&file(path, "suite")?)
        .map_err(|e| Error::invalid("suite", format!("{}: {e}", path.display())))?;
    if checks.is_empty() {
        checks = suite.checks;
    }
    if gates.is_empty() {
        gates = suite.gates;
    }
    let beside = path.parent().unwrap_or(Path::new(".")).join(suite.cases).to_string_lossy().into_owned();
    Ok((args.cases.clone().unwrap_or(beside), checks, gates))
}

pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned())
}

/// Creates a job, or only validates it.
pub(super) async fn create(
    client: &mut Client,
    model: &str,
    suite: &str,
    ask: &Ask,
    artifacts: bool,
    request_id: &str,
    validate_only: bool,
) -> Result<pb::Job> {
    let spec = pb::JobSpec {
        subject: Some(pb::Subject { subject: Some(pb::subject::Subject::Model(model.to_owned())) }),
        suite: suite.to_owned(),
        checks: ask.checks.iter().map(|spec| check(spec)).collect(),
        gates: ask.gates.clone(),
        seed: ask.seed,
        limit: ask.limit.unwrap_or(0),
        baseline: ask.baseline.clone().unwrap_or_default(),
        artifacts,
        ..pb::JobSpec::default()
    };
    let request = pb::CreateJobRequest { spec: Some(spec), request_id: request_id.to_owned(), validate_only };
    answer(client.jobs.create_job(request).await)
}

/// Follows a job to its end and shows it in the form asked for; `baseline` is a file that gates compare with.
pub(super) async fn show(
    client: &mut Client,
    job: &pb::Job,
    show: &Show,
    mut baseline: Option<Baseline>,
) -> Result<Ended> {
    let mut meter = Meter::start();
    let mut lines = output::Lines::new(job, show.output == Output::Jsonl);
    let done = client
        .watch(&job.name, |message| {
            match message {
                pb::stream_results_response::Message::Verdicts(batch) => {
                    if let Some(baseline) = &mut baseline {
                        batch.verdicts.iter().for_each(|verdict| baseline.add(verdict));
                    }
                    lines.add(batch.verdicts)?;
                }
                pb::stream_results_response::Message::Progress(progress) => meter.show(&progress),
                _ => {}
            }
            Ok(())
        })
        .await;
    meter.end();
    let done = done?;
    lines.finish()?;
    let mut report = answer(client.jobs.get_report(pb::GetReportRequest { name: job.name.clone() }).await)?;
    if let Some(baseline) = baseline {
        baseline.complete(&mut report);
    }
    output::print(&report, show.output)?;
    if let Some(folder) = &show.artifacts {
        artifacts::write(client, job, &lines.cases, folder).await?;
    }
    if let Some(path) = &show.report {
        page(client, job, &report, &lines, path).await?;
    }
    if done.state() == pb::JobState::Cancelled {
        eprintln!("the job was cancelled");
    }
    Ok(match report.verdict.as_str() {
        "pass" => Ended::Passed,
        "fail" => Ended::GateFailed,
        _ => Ended::Incomplete,
    })
}

/// Writes the page of a finished job.
async fn page(
    client: &mut Client,
    job: &pb::Job,
    report: &pb::Report,
    lines: &output::Lines,
    path: &PathBuf,
) -> Result<()> {
    let pictures = artifacts::pictures(client, job, &lines.cases).await?;
    let page = html::page(job, report, &lines.shown, &pictures);
    std::fs::write(path, page).map_err(|e| Error::invalid("report", format!("{}: {e}", path.display())))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// Ids of cases by position.
pub(super) type Cases = BTreeMap<u64, String>;

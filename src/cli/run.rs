//! `assay run`: upload, create a job, watch it, show what it gave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::args::{Ask, Output, Run, Show};
use super::baseline::Baseline;
use super::client::{Client, answer, check, file, signature};
use super::progress::Meter;
use super::suite::SuiteFile;
use super::{Ended, artifacts, html, output, predictions, serve};
use crate::api::{BACKGROUND, pb};
use crate::data;
use crate::error::{Error, Result};
use crate::lab::remote::RemoteModel;
use crate::suite::BACKGROUND_MAX;

/// Runs the command.
pub(super) async fn run(mut args: Run) -> Result<Ended> {
    if let Some(path) = &args.suite {
        SuiteFile::read(path)?.complete(&mut args)?;
    }
    if args.ask.checks.is_empty() {
        return Err(Error::invalid(
            "checks",
            "there is none; --check clean is the simplest, `assay catalog` lists all",
        ));
    }
    let Some(cases) = &args.cases else {
        return Err(Error::invalid("cases", "is missing; --cases, or `cases` in the suite's file, was expected"));
    };
    let signature = signature(args.signature.as_deref())?;
    let all = cases;
    // Cases beyond the limit need not travel.
    let mut cases = data::read(all)?.first(args.ask.limit.unwrap_or(u64::MAX));
    if let Some(slices) = &args.slices {
        cases = slice_by(slices, data::read(all)?, cases)?;
    }
    let (model, signature, cases) = match (&args.model, &args.predictions) {
        (Some(model), _) => (Source::read(model)?, signature, cases),
        (None, Some(spec)) => {
            predictions::only_clean(&args.ask.checks)?;
            let (cases, size) = predictions::join(cases, spec)?;
            (Source::File(predictions::IDENTITY.to_vec()), predictions::signature(&signature, size)?, cases)
        }
        (None, None) => return Err(Error::invalid("model", "is missing; --model or --predictions was expected")),
    };
    let mut client = Client::connect_for(args.server.as_deref(), serve::slots(args.slots), model.remote()).await?;
    let result = judge(&mut client, args, model, signature, cases).await;
    client.close().await;
    result
}

/// Where a model comes from.
pub(super) enum Source {
    /// The bytes of an ONNX file.
    File(Vec<u8>),
    Remote(RemoteModel),
}

impl Source {
    /// From a path, or from `grpc://HOST:PORT/NAME`.
    pub(super) fn read(model: &Path) -> Result<Self> {
        match model.to_str().filter(|text| RemoteModel::looks_like(text)) {
            Some(url) => RemoteModel::parse(url).map(Self::Remote),
            None => file(model, "model").map(Self::File),
        }
    }

    pub(super) fn remote(&self) -> Option<&RemoteModel> {
        if let Self::Remote(model) = self { Some(model) } else { None }
    }

    /// The model as the service has it.
    pub(super) async fn send(self, client: &Client, title: &str, signature: String) -> Result<pb::Model> {
        match self {
            Self::File(onnx) => client.upload_model(onnx, title, signature).await,
            Self::Remote(model) => client.register_model(model, title, signature).await,
        }
    }
}

/// Leaves the cases no tags but these, of which each is one of `all` cases.
fn slice_by(tags: &[String], all: data::Cases, cases: data::Cases) -> Result<data::Cases> {
    let mut known = BTreeSet::new();
    for case in all {
        known.extend(case?.tags.into_keys());
    }
    if let Some((i, tag)) = tags.iter().enumerate().find(|(_, tag)| !known.contains(*tag)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "no tags".to_owned() } else { format!("the tags {known}") };
        return Err(Error::invalid(format!("slices[{i}]"), format!("`{tag}` was found, the cases have {known}")));
    }
    let tags = tags.to_vec();
    let keep = move |mut case: data::Case| {
        case.tags.retain(|tag, _| tags.contains(tag));
        case
    };
    Ok(data::Cases::new(cases.len(), cases.map(move |case| case.map(&keep))))
}

async fn judge(client: &mut Client, args: Run, model: Source, signature: String, cases: data::Cases) -> Result<Ended> {
    let mut ask = args.ask;
    let file = ask.baseline.take_if(|name| !name.starts_with("tenants/"));
    let baseline = file.map(|path| Baseline::read(Path::new(&path), &ask.checks, &mut ask.gates)).transpose()?;
    let title = args.model.as_deref().map_or("predictions".to_owned(), stem);
    // The cases travel while the model is looked at.
    let (model, suite) =
        tokio::try_join!(model.send(client, &title, signature), client.upload_suite(cases, "", &[], &[]))?;
    let keep = args.show.artifacts.is_some() || args.show.report.is_some();
    // The limit has been kept above.
    ask.limit = None;
    let job = create(client, &model.name, &suite.name, &ask, keep, "", args.dry_run).await?;
    if args.dry_run {
        output::estimate(&job, suite.case_count);
        return Ok(Ended::Passed);
    }
    show(client, &job, &args.show, baseline).await
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
    let background = match &ask.background {
        Some(path) if !path.starts_with("tenants/") => {
            let rows = data::read(path).map_err(|e| e.under("background"))?.first(BACKGROUND_MAX);
            Some(client.upload_suite(rows, "", &[], &[]).await?.name)
        }
        other => other.clone(),
    };
    let spec = pb::JobSpec {
        subject: Some(pb::Subject { subject: Some(pb::subject::Subject::Model(model.to_owned())) }),
        suite: suite.to_owned(),
        checks: ask.checks.iter().map(|spec| check(spec)).collect(),
        gates: ask.gates.clone(),
        seed: ask.seed.unwrap_or(0),
        limit: ask.limit.unwrap_or(0),
        baseline: ask.baseline.clone().unwrap_or_default(),
        artifacts,
        pool: ask.pool.clone().map_or(String::new(), Into::into),
        references: background.into_iter().map(|name| (BACKGROUND.to_owned(), name)).collect(),
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
    let (mut meter, form) = (Meter::start(), show.output.unwrap_or(Output::Table));
    let mut lines = output::Lines::new(job, form == Output::Jsonl);
    let done = client
        .watch(&job.name, |message| {
            match message {
                pb::stream_results_response::Message::Verdicts(batch) => {
                    if let Some(baseline) = &mut baseline {
                        batch.verdicts.iter().for_each(|verdict| baseline.add(verdict));
                    }
                    lines.add(batch)?;
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
    output::print(&report, form)?;
    if let Some(folder) = &show.artifacts {
        artifacts::write(client, job, &report, &lines.cases, folder).await?;
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
    let plots = artifacts::plots_of(client, job, report).await?;
    let page = html::page(job, report, &lines.shown, &pictures, &plots);
    std::fs::write(path, page).map_err(|e| Error::invalid("report", format!("{}: {e}", path.display())))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// Ids of cases by position.
pub(super) type Cases = BTreeMap<u64, String>;

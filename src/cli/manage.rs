//! Models, suites, jobs and the catalogue from the shell.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::args::{Catalog, Job, Model, Output, Suite};
use super::client::{Client, answer, file, signature};
use super::suite::SuiteFile;
use super::{Ended, output, replay, run, schema, serve};
use crate::api::{pb, struct_to_map};
use crate::data;
use crate::error::{Error, Result, Violations};
use crate::lab::remote::RemoteModel;
use crate::suite::{Check, Gate, Summary};

fn print(rows: impl IntoIterator<Item = Vec<String>>, header: &[&str]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    println!("{}", table.trim_fmt());
}

/// `assay catalog [NAME]`.
pub(super) async fn catalog(args: &Catalog) -> Result<Ended> {
    if args.schema {
        let schema = serde_json::to_string_pretty(&schema::suite());
        println!("{}", schema.map_err(|e| Error::internal("writing the schema", e))?);
        return Ok(Ended::Passed);
    }
    let mut client = Client::connect(args.server.as_deref(), 0).await?;
    let probes = match &args.name {
        Some(name) => vec![answer(client.catalog.get_probe(pb::GetProbeRequest { name: name.clone() }).await)?],
        None => {
            let request = pb::ListProbesRequest { family: String::new() };
            answer(client.catalog.list_probes(request).await)?.probes
        }
    };
    client.close().await;
    if args.output != Output::Table {
        probes.iter().for_each(|probe| println!("{}", manual(probe)));
    } else if args.name.is_some() {
        probes.iter().for_each(explain);
    } else {
        for probe in probes {
            let line = format!("{:<18} {:<10}  {}", probe.name, probe.family, probe.summary);
            println!("{}", output::wrapped(&line, &" ".repeat(31)));
        }
        println!("\n`assay catalog NAME` shows the manual and the parameters.");
    }
    Ok(Ended::Passed)
}

fn manual(probe: &pb::Probe) -> Value {
    let parameters = probe.parameters.as_ref().map(struct_to_map);
    json!({"name": probe.name, "family": probe.family, "summary": probe.summary, "manual": probe.manual,
           "parameters": parameters, "paper": probe.paper, "cost": probe.cost})
}

fn explain(probe: &pb::Probe) {
    println!("{} ({})\n\n{}", probe.name, probe.family, output::wrapped(&probe.summary, ""));
    probe.manual.split("\n\n").for_each(|text| println!("\n{}", output::wrapped(&text.replace('\n', " "), "")));
    let schema = probe.parameters.as_ref().map(struct_to_map).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if !properties.is_empty() {
        println!("\nParameters:");
    }
    for (name, property) in properties {
        let text = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let default = property.get("default").map_or(String::new(), |d| format!(" (default {d})"));
        println!("{}", output::wrapped(&format!("- {name}: {text}{default}"), "  "));
    }
    println!("\nForward passes of one case: {}", probe.cost);
    if !probe.paper.is_empty() {
        println!("{}", output::wrapped(&format!("Source: {}", probe.paper), "  "));
    }
}

/// `assay model ...`.
pub(super) async fn model(args: Model) -> Result<Ended> {
    match args {
        Model::Push { model, signature: yaml, server } => {
            let client = Client::connect(Some(&server), 0).await?;
            let (onnx, yaml) = (file(&model, "model")?, signature(yaml.as_deref())?);
            println!("{}", client.upload_model(onnx, &run::stem(&model), yaml).await?.name);
        }
        Model::Register { remote, signature: yaml, server } => {
            let client = Client::connect(Some(&server), 0).await?;
            let (model, yaml) = (RemoteModel::parse(&remote)?, signature(yaml.as_deref())?);
            let title = model.model.clone();
            println!("{}", client.register_model(model, &title, yaml).await?.name);
        }
        Model::Inspect { model, signature: yaml, output, server } => {
            let source = if model.starts_with("tenants/") { None } else { Some(run::Source::read(Path::new(&model))?) };
            let remote = source.as_ref().and_then(run::Source::remote);
            let mut client = Client::connect_for(server.as_deref(), serve::slots(Some(1)), remote).await?;
            let inspected = inspect(&mut client, model, source, yaml.as_deref()).await;
            client.close().await;
            facts(&inspected?, output);
        }
        Model::List { server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            let request = pb::ListModelsRequest { page_size: 1000, page_token: String::new() };
            let models = answer(client.models.list_models(request).await)?.models;
            let row = |m: pb::Model| vec![m.name, m.display_name, m.size_bytes.to_string()];
            print(models.into_iter().map(row), &["name", "file", "bytes"]);
        }
        Model::Delete { name, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            answer(client.models.delete_model(pb::DeleteModelRequest { name }).await)?;
        }
    }
    Ok(Ended::Passed)
}

/// Of a model by name, or of a source that is to become one.
async fn inspect(
    client: &mut Client,
    model: String,
    source: Option<run::Source>,
    yaml: Option<&Path>,
) -> Result<pb::InspectModelResponse> {
    let name = match source {
        Some(source) => source.send(client, &run::stem(Path::new(&model)), signature(yaml)?).await?.name,
        None => model,
    };
    answer(client.models.inspect_model(pb::InspectModelRequest { name }).await)
}

/// What a probe may ask of the model.
fn access(access: pb::Access) -> String {
    access.as_str_name().trim_start_matches("ACCESS_").to_lowercase()
}

fn facts(found: &pb::InspectModelResponse, output: Output) {
    let (operators, opsets) = (&found.operators, &found.opsets);
    let signature = found.model.as_ref().map_or("", |m| m.signature.as_str());
    let port = |p: &pb::TensorFact| {
        let kind = p.data_type().as_str_name().trim_start_matches("DATA_TYPE_").to_lowercase();
        format!("{} {kind} [{}]", p.name, p.shape.join(", "))
    };
    if output != Output::Table {
        let whole = json!({"inputs": found.inputs.iter().map(port).collect::<Vec<_>>(),
            "outputs": found.outputs.iter().map(port).collect::<Vec<_>>(), "operators": operators, "opsets": opsets,
            "parameters": found.parameter_count, "flops": found.flops, "compute_batch": found.compute_batch,
            "access": found.accesses().map(access).collect::<Vec<_>>(), "no_gradient": found.no_gradient,
            "nodes_without_gradient": found.nodes_without_gradient,
            "straight_through_nodes": found.straight_through_nodes, "signature": signature});
        println!("{whole}");
        return;
    }
    found.inputs.iter().for_each(|p| println!("input      {}", port(p)));
    found.outputs.iter().for_each(|p| println!("output     {}", port(p)));
    let mut line = "operators ".to_owned();
    for (op, n) in operators {
        let word = format!(" {op} x{n}");
        if line.len() + word.len() > 79 {
            println!("{line}");
            line = " ".repeat(10);
        }
        line.push_str(&word);
    }
    println!("{line}\nparameters {}\nFLOPs      {} a sample", found.parameter_count, found.flops);
    println!(
        "batch      {}\naccess     {}",
        found.compute_batch,
        found.accesses().map(access).collect::<Vec<_>>().join(", ")
    );
    if found.nodes_without_gradient.is_empty() && !found.no_gradient.is_empty() {
        println!("gradient   none: {}", found.no_gradient);
    }
    found.nodes_without_gradient.iter().for_each(|node| println!("gradient   none through {node}"));
    found.straight_through_nodes.iter().for_each(|node| println!("rounds     {node}: passed straight through"));
    println!("\nThe signature in use (save it, complete it, give it with --signature):\n\n{signature}");
}

/// `assay suite ...`.
pub(super) async fn suite(args: Suite) -> Result<Ended> {
    match args {
        Suite::Push { cases, checks, gates, server } => {
            let name = run::stem(Path::new(&cases));
            let (cases, checks, gates) = declared(cases, checks, gates)?;
            let client = Client::connect(Some(&server), 0).await?;
            println!("{}", client.upload_suite(data::read(&cases)?, &name, &checks, &gates).await?.name);
        }
        Suite::Validate { cases, checks, gates } => {
            let (cases, checks, gates) = declared(cases, checks, gates)?;
            asked(&checks, &gates)?;
            validate(data::read(&cases)?)?;
        }
        Suite::List { server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            let request = pb::ListSuitesRequest { page_size: 1000, page_token: String::new() };
            let suites = answer(client.suites.list_suites(request).await)?.suites;
            let row = |s: pb::Suite| vec![s.name, s.display_name, s.case_count.to_string()];
            print(suites.into_iter().map(row), &["name", "title", "cases"]);
        }
        Suite::Delete { name, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            answer(client.suites.delete_suite(pb::DeleteSuiteRequest { name }).await)?;
        }
    }
    Ok(Ended::Passed)
}

/// The cases, checks and gates of a `SUITE.yaml`, the options before it; anything else is the cases themselves.
fn declared(path: String, checks: Vec<String>, gates: Vec<String>) -> Result<(String, Vec<String>, Vec<String>)> {
    if !path.ends_with(".yaml") && !path.ends_with(".yml") {
        return Ok((path, checks, gates));
    }
    let suite = SuiteFile::read(Path::new(&path))?;
    let checks = if checks.is_empty() { suite.checks()? } else { checks };
    let gates = if gates.is_empty() { suite.gates() } else { gates };
    let missing = || Error::invalid("suite", format!("{path}: `cases` is missing"));
    Ok((suite.cases.ok_or_else(missing)?, checks, gates))
}

/// Refuses checks and gates that cannot be understood, all at once.
fn asked(checks: &[String], gates: &[String]) -> Result<()> {
    let mut violations = Violations::default();
    let mut known = Vec::new();
    for (i, check) in checks.iter().enumerate() {
        known.extend(violations.catch(Check::parse(check).map_err(|e| e.under(&format!("checks[{i}]"))))?);
    }
    // A gate on a check that could not be read would be a second complaint about the first mistake.
    for (i, gate) in gates.iter().enumerate().filter(|_| known.len() == checks.len()) {
        violations.catch(Gate::parse(gate, &known).map_err(|e| e.under(&format!("gates[{i}]"))))?;
    }
    violations.finish()
}

fn validate(cases: data::Cases) -> Result<()> {
    let (mut summary, mut ids) = (Summary::default(), std::collections::HashSet::new());
    for (i, case) in cases.enumerate() {
        let case = case?;
        summary.add(&case).map_err(|e| e.under(&format!("cases[{i}]")))?;
        if let Some(id) = ids.replace(case.id) {
            return Err(Error::invalid(format!("cases[{i}].id"), format!("`{id}` was found before")));
        }
    }
    println!("{} cases", summary.cases);
    for (name, arrays) in &summary.inputs {
        for (dtype, shape, _) in &arrays.kinds {
            let bound = |bounds: &BTreeMap<String, (f64, String)>| bounds.get(dtype.name()).map_or(f64::NAN, |b| b.0);
            let (low, high) = (bound(&arrays.low), bound(&arrays.high));
            println!("input {name}: {} {shape:?}, {low} to {high}", dtype.name());
        }
        if arrays.picture.is_some() {
            println!("input {name}: picture files");
        }
    }
    let a = &summary.answers;
    println!("{} class labels, {} values, {} without an answer", a.classes, a.values, a.nothing);
    Ok(())
}

/// `assay job ...`.
pub(super) async fn job(args: Job) -> Result<Ended> {
    match args {
        Job::Submit { model, suite, ask, keep_artifacts, request_id, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            let job = run::create(&mut client, &model, &suite, &ask, keep_artifacts, &request_id, false).await?;
            println!("{}", job.name);
        }
        Job::Watch { name, show, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            let job = answer(client.jobs.get_job(pb::GetJobRequest { name }).await)?;
            return run::show(&mut client, &job, &show, None).await;
        }
        Job::Get { name, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            line(&answer(client.jobs.get_job(pb::GetJobRequest { name }).await)?);
        }
        Job::Replay { name, case, check, artifacts, server } => {
            let include_arrays = artifacts.is_some();
            let request = pb::ReplayCaseRequest { name, case_id: case, check, include_arrays };
            return replay::replay(&server, request, artifacts.as_deref()).await;
        }
        Job::Cancel { name, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            line(&answer(client.jobs.cancel_job(pb::CancelJobRequest { name }).await)?);
        }
        Job::List { server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            let request = pb::ListJobsRequest { page_size: 1000, page_token: String::new() };
            answer(client.jobs.list_jobs(request).await)?.jobs.iter().for_each(line);
        }
        Job::Delete { name, server } => {
            let mut client = Client::connect(Some(&server), 0).await?;
            answer(client.jobs.delete_job(pb::DeleteJobRequest { name }).await)?;
        }
    }
    Ok(Ended::Passed)
}

fn line(job: &pb::Job) {
    let state = job.state().as_str_name().trim_start_matches("JOB_STATE_").to_lowercase();
    let progress =
        job.progress.as_ref().map_or(String::new(), |p| format!("  {}/{} verdicts", p.verdicts_done, p.verdicts_total));
    println!("{}  {state}{progress}", job.name);
}

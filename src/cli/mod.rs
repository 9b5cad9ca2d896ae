//! Floor 5: the command line.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::data;
use crate::engine::Model;
use crate::error::{Error, Result};
use crate::probe::corruption::CORRUPTIONS;
use crate::suite::{Check, Verdict, accuracies, run};

/// Says how far a machine-learning model can be trusted.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a model on cases under checks, in this process.
    Run(Run),
    /// List the checks.
    Catalog,
}

#[derive(clap::Args)]
struct Run {
    /// The ONNX file.
    #[arg(long)]
    model: PathBuf,
    /// An .npz with the arrays x and y, or `file.npz#x_test,y_test`.
    #[arg(long)]
    cases: String,
    /// `clean`, or a corruption such as `gaussian_noise:severity=3`; without severity all five.
    #[arg(long = "check", required = true)]
    checks: Vec<String>,
    /// Every random number follows from it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only the first cases.
    #[arg(long)]
    limit: Option<usize>,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// A line a check with its accuracy and 95 % interval.
    Table,
    /// An object a verdict.
    Jsonl,
}

/// Runs the command line and gives its exit code: 0 done, 2 the request was wrong, 3 anything else.
pub fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Run(args) => judge(&args),
        Command::Catalog => catalog(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, Error::Invalid(_)) { 2 } else { 3 })
        }
    }
}

fn judge(args: &Run) -> Result<()> {
    let parse = |(i, spec): (usize, &String)| Check::parse(spec).map_err(|e| e.under(&format!("checks[{i}]")));
    let checks = args.checks.iter().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    let onnx =
        std::fs::read(&args.model).map_err(|e| Error::invalid("model", format!("{}: {e}", args.model.display())))?;
    let model = Model::load(&onnx)?;
    let mut cases = data::read(&args.cases)?;
    cases.truncate(args.limit.unwrap_or(usize::MAX));
    let mut verdicts = Vec::new();
    for check in &checks {
        for case in &cases {
            verdicts.extend(run(&model, case, check, args.seed)?);
        }
    }
    write(&verdicts, args.output).map_err(|e| Error::internal("cannot write", e))
}

fn write(verdicts: &[Verdict], output: Output) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match output {
        Output::Jsonl => {
            for verdict in verdicts {
                writeln!(out, "{}", serde_json::to_string(verdict)?)?;
            }
        }
        Output::Table => {
            writeln!(out, "{:<34} {:>8} {:>8} {:>17} {:>11}", "check", "severity", "accuracy", "95 % interval", "n")?;
            for (check, params, r) in accuracies(verdicts) {
                let severity = params.severity.map_or("-".to_owned(), |s| s.to_string());
                let count = format!("{}/{}", r.count, r.n);
                let interval = format!("[{:.4}, {:.4}]", r.low, r.high);
                writeln!(out, "{check:<34} {severity:>8} {:>8.4} {interval:>17} {count:>11}", r.value)?;
            }
        }
    }
    out.flush()
}

fn catalog() -> Result<()> {
    println!("{:<16} Only predicts.", "clean");
    for entry in CORRUPTIONS {
        println!("{:<16} {}", entry.name, entry.summary);
    }
    Ok(())
}

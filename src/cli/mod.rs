//! Floor 5: the command line. Always a client of the service, which it may carry within itself.

mod args;
mod arrays;
mod artifacts;
mod audits;
mod baseline;
mod client;
mod compare;
mod config;
mod connection;
mod demo;
mod doctor;
mod exposure;
mod headers;
mod html;
mod junit;
mod manage;
mod markdown;
mod output;
mod overlay;
mod plot;
mod predictions;
mod progress;
mod replay;
mod run;
mod schema;
mod serve;
mod sheet;
mod suite;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{Args, Command};
use crate::error::{Error, Result};
use crate::telemetry::Telemetry;

/// How a command ended, as far as its exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    GateFailed,
    Incomplete,
}

/// Runs the command line. Exit codes: 0 all gates passed, 1 a gate failed, 2 the request was wrong, 3 not finished,
/// failed verdicts, or infrastructure.
pub fn main() -> ExitCode {
    // A slot speaks frames on its pipes and must start fast: nothing else of the command line is for it.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "slot") {
        return if crate::lab::slot::main().is_ok() { ExitCode::SUCCESS } else { ExitCode::from(3) };
    }
    end_with_the_reader();
    let args = Args::parse();
    args.connection.keep();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report(&Error::internal("starting", e)),
    };
    match runtime.block_on(dispatch(args.command)) {
        Ok(Ended::Passed) => ExitCode::SUCCESS,
        Ok(Ended::GateFailed) => ExitCode::from(1),
        Ok(Ended::Incomplete) => ExitCode::from(3),
        Err(error) => report(&error),
    }
}

/// `assay catalog | head` closes the pipe early. Rust turns that into a panic of `println!`; here it is a quiet end, with
/// the exit code of a program that the signal SIGPIPE ended.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let printing = |text: &str| text.starts_with("failed printing to stdout") && text.contains("Broken pipe");
        if info.payload().downcast_ref::<String>().is_some_and(|text| printing(text)) {
            std::process::exit(141);
        }
        usual(info);
    }));
}

fn report(error: &Error) -> ExitCode {
    match error {
        Error::Invalid(violations) => violations.iter().for_each(|v| eprintln!("error: {v}")),
        other => eprintln!("error: {other}"),
    }
    let passes = matches!(error, Error::Exhausted { limit, .. } if crate::api::passes(limit));
    let wrong = matches!(
        error,
        Error::Invalid(_)
            | Error::Unauthenticated(_)
            | Error::Denied(_)
            | Error::NotFound(_)
            | Error::AlreadyExists(_)
            | Error::Precondition(_)
            | Error::Exhausted { .. }
    );
    ExitCode::from(if wrong && !passes { 2 } else { 3 })
}

/// `assay completions SHELL`.
fn completions(shell: clap_complete::Shell) -> Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "assay", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Ok(Ended::Passed)
}

async fn dispatch(command: Command) -> Result<Ended> {
    let config = match &command {
        Command::Serve(args) => config::Config::server(args)?,
        Command::Worker(args) => config::Config::worker(args)?,
        _ => config::Config::default(),
    };
    let telemetry = Telemetry::start(&config.telemetry)?;
    let ended = match command {
        Command::Serve(_) => serve::serve(config, &telemetry).await,
        Command::Worker(_) => serve::worker(config, &telemetry).await,
        Command::Run(args) => run::run(args).await,
        Command::Compare(args) => compare::compare(&args).await,
        Command::Demo(args) => demo::demo(&args).await,
        Command::Catalog(args) => manage::catalog(&args).await,
        Command::Model(args) => manage::model(args).await,
        Command::Suite(args) => manage::suite(args).await,
        Command::Job(args) => manage::job(args).await,
        Command::Doctor(args) => doctor::doctor(&args).await,
        Command::Token(args) => token::token(args),
        Command::Completions { shell } => completions(shell),
    };
    telemetry.stop().await;
    ended
}

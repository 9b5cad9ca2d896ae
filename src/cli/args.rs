//! What the command line takes. The words here are what `--help` teaches.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::Deserialize;

use super::connection::Connection;
use crate::api::identity::{Expiry, Role, Tenant};
use crate::lab::PoolName;
use crate::telemetry::LogFormat;

/// Where a service is expected unless `--server` says otherwise.
const SERVER: &str = "http://127.0.0.1:50051";

/// Says how far a machine-learning model can be trusted.
///
/// Takes an ONNX file and test cases, puts the model through checks, and gives a verdict per case, metrics with
/// confidence intervals, and gates for a release.
#[derive(Parser)]
#[command(version)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Start the gRPC service.
    Serve(Serve),
    /// Take work from a NATS cluster: as many of these as wanted, on as many machines.
    #[command(after_help = WORKER_HELP)]
    Worker(Worker),
    /// Judge a model on cases: in this process, or on a service with --server.
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// Compare two jobs case by case: paired differences, McNemar's test, flipped cases.
    #[command(after_help = COMPARE_HELP)]
    Compare(Compare),
    /// Judge a digit classifier that is built in; writes demo-report.html.
    Demo(Demo),
    /// List the checks, or show the manual of one.
    Catalog(Catalog),
    /// Upload, register and look into models.
    #[command(subcommand)]
    Model(Model),
    /// Upload and validate suites.
    #[command(subcommand)]
    Suite(Suite),
    /// Submit, watch and end jobs on a service.
    #[command(subcommand)]
    Job(Job),
    /// Look at this machine, a data folder and a service; changes nothing without --repair.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Doctor),
    /// Make tokens by which callers show a service who they are.
    #[command(subcommand)]
    Token(Token),
    /// Print a script by which a shell completes `assay`.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

const RUN_HELP: &str = "\
Examples:
  assay run --model m.onnx --cases test.npz --check clean
  assay run --model m.onnx --cases photos/ --signature s.yaml \\
      --check clean --check gaussian_noise:severity=[1,3] \\
      --gate 'clean.accuracy >= 0.7' --report report.html

Exit codes: 0 every gate passed, 1 a gate failed, 2 the request was wrong,
3 not finished, failed verdicts, or infrastructure.";

const WORKER_HELP: &str = "\
Example:
  assay serve --engine nats://127.0.0.1:4222 &
  assay worker --engine nats://127.0.0.1:4222 --pool default,big-memory

On SIGTERM a worker gives back what it has under way and ends; another one
does it anew. Nothing is lost when it is killed either.";

const COMPARE_HELP: &str = "\
B is worse where a difference has p < 0.05 after Holm's correction for all
points and metrics that are compared.

Exit codes: 0 B is not significantly worse than A anywhere, 1 it is,
2 the request was wrong, 3 infrastructure.";

const DOCTOR_HELP: &str = "\
Exit codes: 0 all is well, or could only be better (warn), 3 something does
not work (fail), 2 the request was wrong.";

const TOKEN_HELP: &str = "\
Example:
  assay token create --name ci --tenant vision --role runner \\
      --out ci.token >> assay.toml
  assay model list --server https://assay.example:50051 --token-file ci.token";

const COMPLETIONS_HELP: &str = "\
Examples:
  assay completions bash > ~/.local/share/bash-completion/completions/assay
  assay completions zsh > ~/.zfunc/_assay
  assay completions fish > ~/.config/fish/completions/assay.fish";

#[derive(clap::Args)]
pub(super) struct Serve {
    /// Address to listen on; port 0 takes a free one. [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Where state lives: `sqlite:DIR`, `memory`, or `nats://HOST:PORT[,HOST:PORT...]` (`tls://` with TLS).
    /// [default: sqlite:assay-data]
    #[arg(long, value_name = "URL")]
    pub(super) engine: Option<String>,
    /// Listen beyond loopback without authentication or TLS, as behind a proxy that has both.
    #[arg(long)]
    pub(super) insecure: bool,
    #[command(flatten)]
    pub(super) process: Process,
}

#[derive(clap::Args)]
pub(super) struct Worker {
    /// The cluster: `nats://HOST:PORT[,HOST:PORT...]`, `tls://` with TLS.
    #[arg(long, value_name = "URL")]
    pub(super) engine: Option<String>,
    /// The pools whose jobs it does; of a tenant those of the first before those of the next. [default: default]
    #[arg(long = "pool", value_name = "NAME,...", value_delimiter = ',')]
    pub(super) pools: Option<Vec<PoolName>>,
    /// Let the console be asked from other machines.
    #[arg(long)]
    pub(super) insecure: bool,
    #[command(flatten)]
    pub(super) process: Process,
}

/// What a server and a worker are told alike.
#[derive(clap::Args)]
pub(super) struct Process {
    /// Slots, which are processes; if not given one per processor, and for a server on NATS none, since there
    /// `assay worker` does the work.
    #[arg(long, value_name = "N")]
    pub(super) slots: Option<usize>,
    /// Address for operators: /metrics for Prometheus, /healthz, /readyz. There is none unless it is given.
    #[arg(long, value_name = "ADDR")]
    pub(super) console: Option<SocketAddr>,
    /// How log lines look. [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// TOML with `listen`, `console`, `engine`, `slots`, `pools`, `require` and tables `[tls]`, `[auth]`, `[limits]`, `[quota]`,
    /// `[tenant.NAME]`, `[nats]`, `[remote]`, `[telemetry]`; options come before it. A worker takes of it what concerns it.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// What is asked of a model.
#[derive(clap::Args)]
pub(super) struct Ask {
    /// `clean`, or a probe such as `gaussian_noise:severity=3`; may be repeated.
    #[arg(long = "check", value_name = "SPEC")]
    pub(super) checks: Vec<String>,
    /// `check.metric >= number` or `<=`, such as `clean.accuracy >= 0.9`; may be repeated.
    #[arg(long = "gate", value_name = "EXPR")]
    pub(super) gates: Vec<String>,
    /// Every random number follows from it. [default: 0]
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Only the first N cases.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// What gates such as `clean.accuracy >= baseline - 0.01` compare with: the output of an earlier
    /// `run --output jsonl`, or a finished job of the service.
    #[arg(long, value_name = "FILE.jsonl|JOB")]
    pub(super) baseline: Option<String>,
    /// Reference rows for explainers that need them, the first 1000: a file or folder as --cases, or a suite of the
    /// service.
    #[arg(long, value_name = "PATH|SUITE")]
    pub(super) background: Option<String>,
    /// Whose workers do it, on a service that has several kinds: those that were started with this --pool.
    /// [default: default]
    #[arg(long, value_name = "NAME")]
    pub(super) pool: Option<PoolName>,
}

/// What is done with the results.
#[derive(clap::Args)]
pub(super) struct Show {
    /// What stdout gets. [default: table]
    #[arg(long, value_enum)]
    pub(super) output: Option<Output>,
    /// Write a self-contained page with pictures and curves.
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
    /// Write an .npz per check, and pictures, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) artifacts: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// The ONNX file, or grpc://HOST:PORT/NAME[@VERSION] of a model that a server of the Open Inference Protocol has
    /// (grpcs:// with TLS).
    #[arg(long, value_name = "M.onnx|URL", required_unless_present_any = ["predictions", "suite"])]
    pub(super) model: Option<PathBuf>,
    /// Judge scores made elsewhere in place of a model: a file as --cases, such as `out.npz#scores`, by id or in order.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub(super) predictions: Option<String>,
    /// An .npz (`file.npz#x,y` names the arrays), .csv, .parquet (`file.csv#label`), .jsonl, or a folder of pictures.
    #[arg(long, value_name = "PATH", required_unless_present = "suite")]
    pub(super) cases: Option<String>,
    /// A file that holds the job, its paths relative to itself; options come before it. `assay catalog --schema`
    /// prints what editors complete it by.
    #[arg(long, value_name = "SUITE.yaml")]
    pub(super) suite: Option<PathBuf>,
    /// Completes what the ONNX file says of its inputs and output.
    #[arg(long, value_name = "S.yaml")]
    pub(super) signature: Option<PathBuf>,
    /// A tag of the cases by which the report is sliced; may be repeated. [default: all tags]
    #[arg(long = "slice", value_name = "TAG")]
    pub(super) slices: Option<Vec<String>>,
    #[command(flatten)]
    pub(super) ask: Ask,
    #[command(flatten)]
    pub(super) show: Show,
    /// Worker processes; one per processor if not given.
    #[arg(long, value_name = "N")]
    pub(super) slots: Option<usize>,
    /// Only say how much work it would be.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Use a service in place of this process.
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Output {
    /// A line per check with its accuracy and 95 % interval.
    Table,
    /// One object: the report.
    Json,
    /// An object per verdict, then the report.
    Jsonl,
    /// XML for continuous integration: a test suite per check, a test case per gate.
    Junit,
    /// For a pull request or a wiki.
    Markdown,
}

#[derive(clap::Args)]
pub(super) struct Compare {
    /// The reference: a file that `assay run --output jsonl` printed, or a job of the service.
    pub(super) a: String,
    /// What is compared with it.
    pub(super) b: String,
    #[arg(long, value_enum, default_value_t = CompareOutput::Table)]
    pub(super) output: CompareOutput,
    /// Where the jobs are.
    #[arg(long, value_name = "URL", default_value = SERVER)]
    pub(super) server: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CompareOutput {
    /// The differences that tell most, and the flipped cases.
    Table,
    /// One object with everything.
    Json,
    /// For a pull request or a wiki.
    Markdown,
}

#[derive(clap::Args)]
pub(super) struct Demo {
    /// Where the page goes.
    #[arg(long, default_value = "demo-report.html")]
    pub(super) report: PathBuf,
    /// Worker processes; one per processor if not given.
    #[arg(long)]
    pub(super) slots: Option<usize>,
}

#[derive(clap::Args)]
pub(super) struct Catalog {
    /// Show the manual of this probe.
    pub(super) name: Option<String>,
    /// Print the JSON schema of a SUITE.yaml, with every check and its parameters.
    #[arg(long, conflicts_with_all = ["name", "output", "server"])]
    pub(super) schema: bool,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    /// Ask a service in place of this process.
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Doctor {
    /// Where state lives, which may be in use: `sqlite:DIR`, `memory`, or `nats://HOST:PORT`.
    #[arg(long, value_name = "URL", default_value = "sqlite:assay-data")]
    pub(super) engine: String,
    /// A service that should answer.
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<String>,
    /// Put the data folder in order, which no server may hold: delete blobs that no record names and what was left
    /// under way, move torn blobs to DIR/quarantine.
    #[arg(long)]
    pub(super) repair: bool,
    /// The service's file, whose [nats] says how to reach the servers.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = DoctorOutput::Table)]
    pub(super) output: DoctorOutput,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DoctorOutput {
    /// What was looked at, how it is, what was found, and what to do.
    Table,
    /// One object with everything.
    Json,
}

#[derive(Subcommand)]
pub(super) enum Token {
    /// Make a token; prints the lines by which a service knows it, for the file of `assay serve --config`.
    #[command(after_help = TOKEN_HELP)]
    Create {
        /// What logs call its bearer.
        #[arg(long)]
        name: String,
        /// Whose models, suites and jobs it is for.
        #[arg(long)]
        tenant: Tenant,
        #[arg(long, value_enum)]
        role: Role,
        /// When it ends, such as 2027-01-31.
        #[arg(long, value_name = "DATE")]
        expires: Option<Expiry>,
        /// Write the token into this new file, which only its owner may read; otherwise to stderr.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum Model {
    /// Upload a model; prints its name.
    Push {
        model: PathBuf,
        #[arg(long)]
        signature: Option<PathBuf>,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Register a model that a server of the Open Inference Protocol has (KServe, Triton, MLServer, or another assay);
    /// prints its name. The service's configuration says which endpoints it may ask: `[remote] allow`.
    Register {
        /// grpc://HOST:PORT/NAME[@VERSION], or grpcs:// with TLS.
        #[arg(long, value_name = "URL")]
        remote: String,
        #[arg(long)]
        signature: Option<PathBuf>,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Show what a file (or an uploaded model) holds, and the signature that would be used.
    Inspect {
        /// A file, a grpc:// address, or the name of an uploaded model.
        model: String,
        #[arg(long)]
        signature: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Use a service in place of this process.
        #[arg(long)]
        server: Option<String>,
    },
    /// List uploaded models.
    List {
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Delete an uploaded model.
    Delete {
        name: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Suite {
    /// Upload a suite; prints its name.
    Push {
        /// As --cases of `assay run`, or a SUITE.yaml.
        cases: String,
        #[arg(long = "check", value_name = "SPEC")]
        checks: Vec<String>,
        #[arg(long = "gate", value_name = "EXPR")]
        gates: Vec<String>,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Read a suite and say what it holds, without uploading it anywhere.
    Validate {
        /// As --cases of `assay run`, or a SUITE.yaml.
        cases: String,
        #[arg(long = "check", value_name = "SPEC")]
        checks: Vec<String>,
        #[arg(long = "gate", value_name = "EXPR")]
        gates: Vec<String>,
    },
    /// List uploaded suites.
    List {
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Delete an uploaded suite.
    Delete {
        name: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Job {
    /// Create a job of an uploaded model and suite; prints its name.
    Submit {
        #[arg(long, value_name = "NAME")]
        model: String,
        #[arg(long, value_name = "NAME")]
        suite: String,
        #[command(flatten)]
        ask: Ask,
        /// Keep the probed inputs.
        #[arg(long)]
        keep_artifacts: bool,
        /// A key: the same key gives the same job.
        #[arg(long, default_value = "")]
        request_id: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Follow a job to its end and show its results.
    Watch {
        name: String,
        #[command(flatten)]
        show: Show,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Show where a job stands.
    Get {
        name: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Judge one case of a job again; exit code 3 if the verdicts are not the job's to the bit.
    Replay {
        name: String,
        /// Id of the case.
        case: String,
        /// SPEC of the check; may be left out if the job has one.
        #[arg(long, value_name = "SPEC", default_value = "")]
        check: String,
        /// Write the arrays of the case to DIR/replay.npz.
        #[arg(long, value_name = "DIR")]
        artifacts: Option<PathBuf>,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// End a job early; what is judged stays.
    Cancel {
        name: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// List jobs, oldest first.
    List {
        #[arg(long, default_value = SERVER)]
        server: String,
    },
    /// Forget a job, its verdicts and artifacts.
    Delete {
        name: String,
        #[arg(long, default_value = SERVER)]
        server: String,
    },
}

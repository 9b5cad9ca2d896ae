//! `assay doctor`: the laboratory's signs and the service's, as a table or as JSON.

use std::path::Path;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::json;

use super::args::{Doctor, DoctorOutput};
use super::client::{Client, answer};
use super::config::Config;
use super::{Ended, predictions};
use crate::api::pb;
use crate::error::{Error, Result};
use crate::lab::doctor::{self, Health, Sign};

/// Runs the command.
pub(super) async fn doctor(args: &Doctor) -> Result<Ended> {
    let mut signs = doctor::machine();
    match args.engine.split_once(':') {
        Some(("sqlite", dir)) if !dir.is_empty() => {
            // What is looked at then is what the repair has left.
            signs.extend(if args.repair { doctor::repair(Path::new(dir)) } else { Vec::new() });
            signs.extend(doctor::data(Path::new(dir)));
        }
        None if args.engine == "memory" && !args.repair => {}
        Some(("nats" | "tls", _)) if !args.repair => {
            let settings = Config::read(args.config.as_deref())?.nats;
            signs.extend(doctor::nats(&args.engine, &settings).await);
        }
        Some(("nats" | "tls", _)) => {
            return Err(Error::invalid(
                "repair",
                "a cluster is put in order by NATS's own tools; this looks at it only",
            ));
        }
        _ => {
            let expected = "`sqlite:DIR`, `memory` or `nats://HOST:PORT` was expected";
            let message = format!("`{}` was found, {expected}", args.engine);
            return Err(Error::invalid("engine", message));
        }
    }
    // The network of `--predictions` is as small as one can be.
    signs.extend(doctor::slot(predictions::IDENTITY, &predictions::signature("", 4)?).await);
    if let Some(url) = &args.server {
        signs.push(service(url).await);
    }
    let worst = signs.iter().map(|sign| sign.health).max().unwrap_or(Health::Ok);
    match args.output {
        DoctorOutput::Table => println!("{}", table(&signs)),
        DoctorOutput::Json => {
            println!("{}", json!({"version": env!("CARGO_PKG_VERSION"), "health": worst, "signs": signs}));
        }
    }
    Ok(if worst == Health::Fail { Ended::Incomplete } else { Ended::Passed })
}

/// Whether a service answers, and which.
async fn service(url: &str) -> Sign {
    let own = env!("CARGO_PKG_VERSION");
    let info = async {
        let mut client = Client::connect(Some(url), 0).await?;
        answer(client.catalog.get_server_info(pb::GetServerInfoRequest {}).await)
    };
    match info.await {
        Err(e @ (Error::Unauthenticated(_) | Error::Denied(_))) => {
            Sign::fail("server", e.to_string(), "see to the token or the certificate that says who calls")
        }
        Err(e) => Sign::fail("server", e.to_string(), "start it, or see to the address and the network"),
        Ok(pb::ServerInfo { version, engine, slots, .. }) => {
            let found = format!("{url}: assay {version} on {engine}, {slots} slots");
            if version == own {
                return Sign::ok("server", found);
            }
            Sign::warn("server", found, &format!("this is {own}: verdicts of two versions may differ"))
        }
    }
}

/// At most 80 columns; what to do stands below what was found.
fn table(signs: &[Sign]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(80);
    for Sign { what, health, found, advice } in signs {
        let health = match health {
            Health::Ok => "ok",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        let advice = if advice.is_empty() { String::new() } else { format!("\n-> {advice}") };
        table.add_row([what.clone(), health.to_owned(), format!("{found}{advice}")]);
    }
    for column in table.column_iter_mut().take(2) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.trim_fmt()
}

//! `assay compare A B`.

use std::io::Write;
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::Ended;
use super::args::{Compare, CompareOutput};
use super::client::{Client, answer};
use super::sheet::{self, Ids};
use crate::api::pb;
use crate::error::{Error, Result};
use crate::suite::{Comparison, Flips, Row, Sheet};

/// Flipped cases that a table names at each point.
const NAMED: usize = 10;

/// Metrics of the table; others stand in it where they differ significantly.
const SHOWN: [&str; 2] = ["accuracy", "mae"];

/// Runs the command.
pub(super) async fn compare(args: &Compare) -> Result<Ended> {
    let (mut ids, mut a, mut b) = (Ids::default(), Sheet::default(), Sheet::default());
    let mut client = None;
    let mut suites = Vec::new();
    for (given, sheet) in [(&args.a, &mut a), (&args.b, &mut b)] {
        if !given.starts_with("tenants/") {
            sheet::read(Path::new(given), &mut ids, sheet)?;
            continue;
        }
        let client = match &mut client {
            Some(client) => client,
            none => none.insert(Client::connect(Some(&args.server), 0).await?),
        };
        suites.push(suite(client, given).await?);
        sheet::fetch(client, given, &mut ids, sheet).await?;
    }
    if let [a, b] = &suites[..]
        && a != b
    {
        return Err(Error::invalid("b", format!("{} judged other cases than {}", args.b, args.a)));
    }
    let comparison = crate::suite::compare(&a, &b);
    if comparison.rows.is_empty() {
        return Err(Error::invalid("b", "it has no case and check in common with A"));
    }
    let text = match args.output {
        CompareOutput::Json => json(&comparison, &ids).to_string(),
        CompareOutput::Table => table(&comparison, false) + "\n\n" + &words(&comparison, &ids, "  "),
        CompareOutput::Markdown => table(&comparison, true) + "\n\n" + &words(&comparison, &ids, "- "),
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end()).map_err(|e| Error::internal("writing to stdout", e))?;
    Ok(if comparison.is_worse() { Ended::GateFailed } else { Ended::Passed })
}

/// The digest of a finished job's suite.
async fn suite(client: &mut Client, job: &str) -> Result<String> {
    let found = answer(client.jobs.get_job(pb::GetJobRequest { name: job.to_owned() }).await)?;
    if found.state() == pb::JobState::Running {
        return Err(Error::Precondition(format!("{job} is still running")));
    }
    let name = found.spec.map(|spec| spec.suite).unwrap_or_default();
    Ok(answer(client.suites.get_suite(pb::GetSuiteRequest { name }).await)?.sha256)
}

fn json(comparison: &Comparison, ids: &Ids) -> Value {
    let mut value = json!(comparison);
    let names = |cases: &[usize]| cases.iter().map(|case| ids.names[*case].as_str()).collect::<Vec<_>>();
    let flips = |f: &Flips| json!({"point": f.point, "broken": names(&f.broken), "repaired": names(&f.repaired)});
    value["flips"] = comparison.flips.iter().map(flips).collect();
    value["b_is_worse"] = comparison.is_worse().into();
    value
}

fn table(comparison: &Comparison, markdown: bool) -> String {
    let mut table = Table::new();
    let style = if markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING };
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic);
    if !markdown {
        table.set_width(80);
    }
    table.set_header(["check", "metric", "A", "B", "B - A", "95 % interval", "p", "B is"]);
    for row in comparison.rows.iter().filter(|row| SHOWN.contains(&row.metric) || row.b_is != "same") {
        let Row { a, b, difference, low, high, p_adjusted, b_is, .. } = row;
        let p = if *p_adjusted < 5e-4 { "<.001".to_owned() } else { format!("{p_adjusted:.3}") };
        table.add_row([
            row.point.replace(":severity=", " "),
            row.metric.replace("_accuracy", ""),
            format!("{a:.3}"),
            format!("{b:.3}"),
            format!("{difference:+.3}"),
            format!("[{low:+.3}, {high:+.3}]"),
            p,
            (*b_is).to_owned(),
        ]);
    }
    for column in 2..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if !markdown {
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 1));
        });
    }
    table.trim_fmt()
}

/// The flipped cases, what is not common, and the sum of it all.
fn words(comparison: &Comparison, ids: &Ids, item: &str) -> String {
    let mut text = String::new();
    let list = |cases: &[usize]| {
        let names: Vec<&str> = cases.iter().take(NAMED).map(|case| ids.names[*case].as_str()).collect();
        let more = cases.len().saturating_sub(NAMED);
        names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    for Flips { point, broken, repaired } in &comparison.flips {
        text.push_str(&format!("{point}: {} newly broken, {} repaired\n", broken.len(), repaired.len()));
        for (what, cases) in [("broken", broken), ("repaired", repaired)] {
            if !cases.is_empty() {
                text.push_str(&format!("{item}{what}: {}\n", list(cases)));
            }
        }
        text.push_str(if item == "- " { "\n" } else { "" });
    }
    for (side, points) in [("A", &comparison.points_only_a), ("B", &comparison.points_only_b)] {
        if !points.is_empty() {
            text.push_str(&format!("only in {side}: {}\n", points.join(", ")));
        }
    }
    let cases = comparison.cases;
    if cases.only_a + cases.only_b > 0 {
        text.push_str(&format!("{} cases are only in A, {} only in B\n", cases.only_a, cases.only_b));
    }
    let worse = comparison.rows.iter().filter(|row| row.b_is == "worse").count();
    let verdict = if worse > 0 { "B is significantly worse than A" } else { "B is not significantly worse than A" };
    let rows = comparison.rows.len();
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &format!("{verdict}: in {worse} of {rows} comparisons on {} cases (p by Holm)\n", cases.both)
}

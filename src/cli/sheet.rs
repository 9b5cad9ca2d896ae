//! Verdicts of an earlier run, from a file or a service, case by case.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{Client, answer};
use crate::api::{pb, struct_to_map};
use crate::error::{Error, Result};
use crate::suite::{Outcome, Sheet, Verdict, write_spec};

/// Numbers of cases by their ids, the same for all sheets that are compared.
#[derive(Default)]
pub(super) struct Ids {
    numbers: HashMap<String, usize>,
    pub(super) names: Vec<String>,
}

impl Ids {
    fn number(&mut self, id: &str) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        self.numbers.insert(id.to_owned(), self.names.len());
        self.names.push(id.to_owned());
        self.names.len() - 1
    }
}

/// A line of `--output jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    case: Value,
    name: String,
    #[serde(default)]
    params: Map<String, Value>,
    outcome: Outcome,
    #[serde(default)]
    measures: BTreeMap<String, Option<f64>>,
}

/// Reads a file of verdicts. Fields that are not known are passed over, as is the report at the end.
pub(super) fn read(path: &Path, ids: &mut Ids, sheet: &mut Sheet) -> Result<()> {
    let refuse =
        |at: usize, e: &dyn std::fmt::Display| Error::invalid(format!("{}:{at}", path.display()), e.to_string());
    let file = std::fs::File::open(path).map_err(|e| Error::invalid(path.display().to_string(), e.to_string()))?;
    let mut verdicts = 0;
    for (at, text) in (1..).zip(BufReader::new(file).lines()) {
        let text = text.map_err(|e| refuse(at, &e))?;
        if text.trim().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&text).map_err(|e| refuse(at, &e))?;
        if value.get("report").is_some() {
            continue;
        }
        let line: Line = serde_json::from_value(value).map_err(|e| refuse(at, &format!("is no verdict: {e}")))?;
        let case = line.case.as_str().map_or_else(|| line.case.to_string(), str::to_owned);
        let mut verdict = Verdict::blank("", 0, 0, 0);
        verdict.outcome = line.outcome;
        verdict.measures = line.measures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        sheet.add(&write_spec(&line.name, &line.params), ids.number(&case), &verdict);
        verdicts += 1;
    }
    if verdicts == 0 {
        let message = "holds no verdict; `assay run --output jsonl` prints them";
        return Err(Error::invalid(path.display().to_string(), message));
    }
    Ok(())
}

/// Takes in a verdict of a service.
pub(super) fn add(verdict: &pb::Verdict, ids: &mut Ids, sheet: &mut Sheet) {
    let params = verdict.params.as_ref().map(struct_to_map).unwrap_or_default();
    let mut own = Verdict::blank("", 0, 0, 0);
    own.outcome = match verdict.outcome() {
        pb::Outcome::Held => Outcome::Held,
        pb::Outcome::Broken => Outcome::Broken,
        pb::Outcome::Skipped => Outcome::Skipped,
        pb::Outcome::Failed | pb::Outcome::Unspecified => Outcome::Failed,
    };
    own.measures = verdict.measures.iter().map(|(name, value)| (name.clone(), *value)).collect();
    sheet.add(&write_spec(&verdict.probe, &params), ids.number(&verdict.case_id), &own);
}

/// Reads the verdicts of a job, page by page.
pub(super) async fn fetch(client: &mut Client, name: &str, ids: &mut Ids, sheet: &mut Sheet) -> Result<()> {
    let mut page_token = String::new();
    loop {
        let request = pb::ListResultsRequest { name: name.to_owned(), page_size: 10_000, page_token };
        let page = answer(client.jobs.list_results(request).await)?;
        page.verdicts.iter().for_each(|verdict| add(verdict, ids, sheet));
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

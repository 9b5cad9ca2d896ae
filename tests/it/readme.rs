//! The README's tables are those of the registries. `UPDATE_README=1 cargo test readme` writes them anew.

use std::fmt::Write;
use std::fs;

use assay::lab::{Limits, Quota, remote};
use assay::metric::METRICS;
use assay::probe::{Manual, manuals};

fn probes() -> String {
    let mut table = "| probe | takes | what it does |\n|---|---|---|\n".to_owned();
    for manual in manuals().filter(|m| matches!(m.family, "attack" | "corruption")) {
        writeln!(table, "| `{}` | {} | {} |", manual.name, kinds(manual), manual.summary()).unwrap();
    }
    table
}

fn explainers() -> String {
    let mut table =
        "| explainer | takes | from the model | queries of a case | what it does |\n|---|---|---|---|---|\n".to_owned();
    for manual in manuals().filter(|m| matches!(m.family, "explainer" | "audit")) {
        let accesses: Vec<String> = manual.accesses.iter().map(|access| format!("{access:?}").to_lowercase()).collect();
        let audit = if manual.family == "audit" { "Audit. " } else { "" };
        let (name, kinds, accesses) = (manual.name, kinds(manual), accesses.join(", "));
        writeln!(table, "| `{name}` | {kinds} | {accesses} | {} | {audit}{} |", manual.cost, manual.summary()).unwrap();
    }
    table
}

fn kinds(manual: &Manual) -> String {
    manual.kinds.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect::<Vec<_>>().join(", ")
}

fn metrics() -> String {
    let mut table = "| metric | what it is | 95 % interval |\n|---|---|---|\n".to_owned();
    for metric in METRICS {
        writeln!(table, "| `{}` | {} | {} |", metric.name, metric.what, metric.interval).unwrap();
    }
    table
}

/// What a configuration file may say in a table, with the defaults.
fn settings<T: Default + serde::Serialize + schemars::JsonSchema>() -> String {
    let defaults = serde_json::to_value(T::default()).unwrap();
    let schema = schemars::schema_for!(T);
    let mut table = "| name | default | what it is |\n|---|---|---|\n".to_owned();
    for (name, property) in schema.get("properties").unwrap().as_object().unwrap() {
        let what = property["description"].as_str().unwrap().replace('\n', " ");
        writeln!(table, "| `{name}` | {} | {what} |", defaults[name]).unwrap();
    }
    table
}

#[test]
fn tables_are_those_of_the_registries() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let mut text = fs::read_to_string(path).unwrap();
    let (limits, quota) = (settings::<Limits>(), settings::<Quota>());
    for (name, table) in [
        ("probes", probes()),
        ("explainers", explainers()),
        ("metrics", metrics()),
        ("limits", limits),
        ("quota", quota),
        ("remote", settings::<remote::Settings>()),
    ] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let start = text.find(&begin).unwrap() + begin.len();
        let stop = text.find(&end).unwrap();
        if std::env::var_os("UPDATE_README").is_some() {
            text.replace_range(start..stop, &table);
            fs::write(path, &text).unwrap();
        } else {
            assert_eq!(text[start..stop], table, "UPDATE_README=1 cargo test readme");
        }
    }
}

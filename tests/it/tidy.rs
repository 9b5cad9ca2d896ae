//! The shape of the code: imports go down the floors, and what must be absent from a folder is.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor, from below.
const FLOORS: [&[&str]; 6] =
    [&["error"], &["tensor", "data", "wire"], &["engine", "metric"], &["probe"], &["suite"], &["lab"]];

/// The skins, above all floors.
const SKINS: [&str; 4] = ["api", "cli", "console", "telemetry"];

/// Words that must not stand below a folder (all of `src` if empty), save in the second one.
const ABSENT: [(&str, &str, &str); 9] = [
    ("tract", "probe", ""),
    ("tokio", "probe", ""),
    ("prost", "probe", ""),
    ("tonic", "probe", ""),
    ("tract_onnx", "", "engine"),
    ("rusqlite", "", "lab/engines"),
    ("tonic::", "lab", "lab/remote"),
    ("async fn", "suite", ""),
    ("opentelemetry", "", "telemetry"),
];

/// Lines beyond which a file wants to be two.
const LINES_MAX: usize = 500;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { sources(&p) } else { vec![p] }).collect()
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn floor(module: &str) -> Option<usize> {
    let skin = SKINS.contains(&module).then_some(FLOORS.len());
    FLOORS.iter().position(|floor| floor.contains(&module)).or(skin)
}

#[test]
fn imports_only_go_down_the_floors() {
    let mut seen = 0;
    for path in sources(&src()) {
        let relative = path.strip_prefix(src()).unwrap().to_owned();
        let own =
            relative.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(height) = floor(&own) else { continue };
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for module in line.split("crate::").skip(1) {
                let module: String = module.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = floor(&module) else { continue };
                let api_names_cli = own == "api" && module == "cli";
                assert!(other <= height && !api_names_cli, "{}:{}: {line}", relative.display(), number + 1);
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen} imports were found");
}

#[test]
fn what_must_be_absent_is() {
    for (word, folder, save) in ABSENT {
        for path in sources(&src().join(folder)) {
            if !save.is_empty() && path.starts_with(src().join(save)) {
                continue;
            }
            for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                assert!(!code.contains(word), "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn files_are_short() {
    for path in sources(&src()) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

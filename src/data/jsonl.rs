//! Cases as JSON, one a line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;

use super::elements::{Elements, Kind};
use super::{Case, Cases, Class, Expected, Tag, Value, beside};
use crate::error::{Error, Result};

/// Longest line in bytes.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// A line. The names are those of the contract's `Case`, and of the columns of tables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<Json>,
    inputs: BTreeMap<String, Json>,
    label: Option<Json>,
    #[serde(default)]
    acceptable: Vec<Json>,
    value: Option<f64>,
    #[serde(default)]
    tags: BTreeMap<String, Json>,
}

/// Cases of a `.jsonl`: `{"id": ..., "inputs": {NAME: INPUT, ...}, "label": ..., "tags": {...}}` a line.
///
/// An input is a number, a (nested) list of numbers, truth values or texts, a text, or a picture: a text that ends as a
/// picture's file does is its path beside the `.jsonl`, and `{"image": PATH}` and `{"text": TEXT}` say which is meant.
/// Numbers are int64 where all of the input's in the file are whole, float32 otherwise; null is NaN. A label is a class by
/// index or name, a list of classes of which the first is the label and all are right, or a value; `acceptable` lists
/// further right classes, `value` is a value though it be whole. Ids are numbers of the cases from 0 where there are none.
pub(super) fn read(path: &Path) -> Result<Cases> {
    let (mut kinds, mut count) = (BTreeMap::new(), 0);
    for line in lines(path)? {
        let (number, line) = line?;
        for (name, json) in &line.inputs {
            let seen = kind(json).and_then(|kind| merge(&mut kinds, name, kind));
            seen.map_err(|e| at(path, number, e.under(&format!("inputs.{name}"))))?;
        }
        count += 1;
    }
    let file = path.to_owned();
    let folder = beside::folder(path);
    let cases = (0..).zip(lines(path)?).map(move |(position, line): (u64, _)| {
        let (number, line) = line?;
        case(line, position, &kinds, &folder).map_err(|e| at(&file, number, e))
    });
    Ok(Cases::new(count, cases))
}

/// The lines that are not blank, with their numbers from 1.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(u64, Line)>> + Send + 'static> {
    let path: PathBuf = path.to_owned();
    let file = File::open(&path).map_err(|e| Error::invalid("cases", format!("{}: {e}", path.display())))?;
    let (mut file, mut number) = (BufReader::new(file), 0);
    Ok(std::iter::from_fn(move || {
        loop {
            let mut bytes = Vec::new();
            number += 1;
            let read = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
            if let Err(error) = read {
                return Some(Err(at(&path, number, Error::invalid("", error.to_string()))));
            }
            if bytes.is_empty() {
                return None;
            }
            let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes).trim_ascii();
            if !text.is_empty() {
                let parsed = serde_json::from_slice(text).map_err(|e| at(&path, number, plain(&e)));
                return Some(parsed.map(|line| (number, line)));
            }
        }
    }))
}

/// An error of a line.
fn at(path: &Path, number: u64, error: Error) -> Error {
    match error {
        Error::Invalid(_) => Error::invalid("cases", format!("{} line {number}: {error}", path.display())),
        other => other,
    }
}

/// What is wrong with the JSON, with the column alone: each line is a text of its own.
fn plain(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let (what, _) = text.split_once(" at line ").unwrap_or((&text, ""));
    Error::invalid("", format!("column {}: {what}", error.column()))
}

/// What the numbers and texts of an input are so far, in all lines.
fn merge(kinds: &mut BTreeMap<String, Kind>, name: &str, found: Kind) -> Result<()> {
    let kind = match kinds.get(name) {
        None => found,
        Some(kind) => kind.merge(found).ok_or_else(|| {
            Error::invalid("", format!("{} was found, the lines before have {}", found.name(), kind.name()))
        })?,
    };
    kinds.insert(name.to_owned(), kind);
    Ok(())
}

/// A text or a picture that stands alone.
enum Lone<'a> {
    Text(&'a str),
    Picture(&'a str),
}

fn lone(json: &Json) -> Result<Option<Lone<'_>>> {
    match json {
        Json::String(text) if beside::is_picture(Path::new(text)) => Ok(Some(Lone::Picture(text))),
        Json::String(text) => Ok(Some(Lone::Text(text))),
        Json::Object(fields) => match (fields.len(), fields.get("image"), fields.get("text")) {
            (1, Some(Json::String(path)), None) => Ok(Some(Lone::Picture(path))),
            (1, None, Some(Json::String(text))) => Ok(Some(Lone::Text(text))),
            _ => Err(Error::invalid("", r#"an object was found; it can be {"image": PATH} or {"text": TEXT} alone"#)),
        },
        _ => Ok(None),
    }
}

fn kind(json: &Json) -> Result<Kind> {
    match lone(json)? {
        Some(Lone::Picture(_)) => Ok(Kind::Picture),
        Some(Lone::Text(_)) => Ok(Kind::Text),
        None => Elements::new(json)?.kind(),
    }
}

fn input(json: &Json, kind: Kind, folder: &Path) -> Result<Value> {
    match lone(json)? {
        Some(Lone::Picture(path)) => beside::picture(folder, Path::new(path)),
        Some(Lone::Text(text)) => Ok(Value::Tensor(crate::tensor::Tensor::from_text(&[], vec![text.to_owned()])?)),
        None => Elements::new(json)?.tensor(kind).map(Value::Tensor),
    }
}

fn case(line: Line, position: u64, kinds: &BTreeMap<String, Kind>, folder: &Path) -> Result<Case> {
    let id = match line.id {
        None => position.to_string(),
        Some(Json::String(id)) => id,
        Some(Json::Number(id)) if !id.is_f64() => id.to_string(),
        Some(other) => return Err(Error::invalid("id", format!("{other} was found, a text was expected"))),
    };
    let value = |(name, json): (String, Json)| {
        // A name that came since the first pass has no kind: the file was changed.
        let kind = kinds.get(&name).copied().map_or_else(|| kind(&json), Ok);
        let value = kind.and_then(|kind| input(&json, kind, folder)).map_err(|e| e.under(&format!("inputs.{name}")));
        Ok((name, value?))
    };
    let inputs = line.inputs.into_iter().map(value).collect::<Result<_>>()?;
    let tag = |(name, json)| match json {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some((name, Tag::Text(text)))),
        Json::Bool(truth) => Ok(Some((name, Tag::Text(truth.to_string())))),
        Json::Number(number) => Ok(number.as_f64().map(|number| (name, Tag::Number(number)))),
        other => {
            Err(Error::invalid(format!("tags.{name}"), format!("{other} was found, a text or a number was expected")))
        }
    };
    let tags = line.tags.into_iter().filter_map(|pair| tag(pair).transpose()).collect::<Result<_>>()?;
    let expected = expected(line.label.unwrap_or(Json::Null), &line.acceptable, line.value)?;
    Ok(Case { id, inputs, expected, tags })
}

fn expected(label: Json, acceptable: &[Json], value: Option<f64>) -> Result<Expected> {
    let right = match (label, value) {
        (Json::Null, None) => Vec::new(),
        (Json::Null, Some(value)) if acceptable.is_empty() => return Ok(Expected::Value(value)),
        (_, Some(_)) => return Err(Error::invalid("value", "stands beside classes; one of them was expected")),
        (Json::Number(n), None) if n.is_f64() && acceptable.is_empty() => {
            return Ok(n.as_f64().map_or(Expected::Nothing, Expected::Value));
        }
        (Json::Array(classes), None) => classes,
        (class, None) => vec![class],
    };
    Ok(Expected::of(right.iter().chain(acceptable).map(class).collect::<Result<Vec<_>>>()?))
}

fn class(json: &Json) -> Result<Class> {
    match json {
        Json::String(name) => Ok(Class::Name(name.clone())),
        Json::Bool(truth) => Ok(Class::Index(u64::from(*truth))),
        Json::Number(n) if n.is_u64() => Ok(Class::Index(n.as_u64().unwrap_or_default())),
        other => {
            let expected = "the index of a class (from 0) or its name was expected";
            Err(Error::invalid("label", format!("{other} was found, {expected}")))
        }
    }
}

#[cfg(test)]
#[path = "jsonl_tests.rs"]
mod tests;

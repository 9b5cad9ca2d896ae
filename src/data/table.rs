//! Rows of `.csv` files, and the label columns of folders.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use super::{Case, Class, Expected, Tag, Value};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Names under which a label column is found, unless `file.csv#column` names it.
const LABELS: [&str; 4] = ["label", "target", "class", "y"];

/// A file of comma-separated text with a header.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refuse = |e: csv::Error| Error::invalid("cases", format!("{}: {e}", path.display()));
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(refuse)?;
        let columns = reader.headers().map_err(refuse)?.iter().map(str::to_owned).collect();
        let row = |record: std::result::Result<csv::StringRecord, csv::Error>| {
            Ok(record.map_err(refuse)?.iter().map(str::to_owned).collect())
        };
        Ok(Self { columns, rows: reader.records().map(row).collect::<Result<_>>()? })
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }
}

/// Feature rows: every column but the label's is a float32 feature of the input `x`. Ids are row numbers from 0.
/// Whole-number labels are classes, other numbers values, other words class names.
pub(super) fn read(path: &Path, label: Option<&str>) -> Result<Vec<Case>> {
    let table = Table::open(path)?;
    let found = || table.columns.join(", ");
    let label = match label {
        Some(name) => Some(table.column(name).ok_or_else(|| {
            Error::invalid("cases", format!("{} has no column `{name}`; it has {}", path.display(), found()))
        })?),
        None => LABELS.iter().find_map(|name| table.column(name)),
    };
    let answers = label.map(|at| answers(&table, at));
    let mut cases = Vec::new();
    for (number, row) in table.rows.iter().enumerate() {
        let mut features = Vec::new();
        for (at, text) in row.iter().enumerate().filter(|(at, _)| Some(*at) != label) {
            // An empty cell is a missing value.
            let value = if text.is_empty() { Ok(f32::NAN) } else { text.parse::<f32>() };
            features.push(value.map_err(|_| {
                let column = table.columns.get(at).map_or("?", String::as_str);
                Error::invalid(
                    "cases",
                    format!("row {number}, column {column}: `{text}` was found, a number was expected"),
                )
            })?);
        }
        let shape = IxDyn(&[features.len()]);
        let x = ArrayD::from_shape_vec(shape, features).map_err(|e| Error::internal("row", e))?;
        cases.push(Case {
            id: number.to_string(),
            inputs: BTreeMap::from([("x".to_owned(), Value::Tensor(Tensor::F32(x)))]),
            expected: answers.as_ref().map_or(Expected::Nothing, |a| a[number].clone()),
            tags: BTreeMap::new(),
        });
    }
    Ok(cases)
}

fn answers(table: &Table, at: usize) -> Vec<Expected> {
    let texts: Vec<&str> = table.rows.iter().map(|row| row.get(at).map_or("", String::as_str)).collect();
    if texts.iter().any(|t| t.parse::<u64>().is_err()) && texts.iter().all(|t| t.parse::<f64>().is_ok()) {
        return texts.iter().map(|t| Expected::Value(t.parse().unwrap_or(f64::NAN))).collect();
    }
    let classes = classes(&texts);
    classes.into_iter().map(|label| Expected::Class { label, acceptable: Vec::new() }).collect()
}

/// Indices if all texts are whole numbers, names otherwise.
pub(super) fn classes(texts: &[&str]) -> Vec<Class> {
    match texts.iter().map(|t| t.parse()).collect::<std::result::Result<Vec<u64>, _>>() {
        Ok(indices) => indices.into_iter().map(Class::Index).collect(),
        Err(_) => texts.iter().map(|t| Class::Name((*t).to_owned())).collect(),
    }
}

/// A tag from a cell: a number where it reads as one.
pub(super) fn tag(text: &str) -> Tag {
    text.parse::<f64>().ok().filter(|n| n.is_finite()).map_or_else(|| Tag::Text(text.to_owned()), Tag::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(text: &str) -> Result<Vec<Case>> {
        let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), None)
    }

    #[test]
    fn labels_are_indices_values_or_names() {
        let expected = |text: &str| cases(text).unwrap()[1].expected.clone();
        let class = |label| Expected::Class { label, acceptable: Vec::new() };
        assert_eq!(expected("a,label\n1,0\n2,1\n"), class(Class::Index(1)));
        assert_eq!(expected("label,a\n0.5,1\n1,2\n"), Expected::Value(1.0));
        assert_eq!(expected("a,label\n1,cat\n2,dog\n"), class(Class::Name("dog".to_owned())));
        assert_eq!(expected("a,b\n1,2\n3,4\n"), Expected::Nothing);
    }

    #[test]
    fn words_among_features_are_named() {
        let error = cases("a,b,label\n1,2,0\n1,red,0\n").unwrap_err().to_string();
        assert!(error.contains("row 1, column b: `red`"), "{error}");
    }
}

//! Rows of `.csv` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use csv::StringRecord;
use ndarray::{ArrayD, IxDyn};

use super::labels::{self, Labels};
use super::{Case, Cases, Value};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What stands before the name of a tag in a header.
pub(super) const TAGS: &str = "tags.";

/// A file of text with a header, its cells separated by commas, semicolons or tabs, as its first line shows.
#[derive(Clone)]
pub(super) struct Table {
    path: PathBuf,
    separator: u8,
    pub(super) columns: Vec<String>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut table = Self { path: path.to_owned(), separator: b',', columns: Vec::new() };
        let mut first = Vec::new();
        let file = File::open(path).map_err(|e| table.refuse(e))?;
        BufReader::new(file).read_until(b'\n', &mut first).map_err(|e| table.refuse(e))?;
        if let Some(other) = [b',', b';', b'\t'].into_iter().find(|byte| first.contains(byte)) {
            table.separator = other;
        }
        let header = table.reader()?.headers().map_err(|e| table.refuse(e))?.clone();
        table.columns = header.iter().map(str::to_owned).collect();
        for (at, name) in table.columns.iter().enumerate() {
            if name.is_empty() {
                let advice = "give it one, or leave it out (pandas: to_csv(..., index=False))";
                return Err(table.refuse(format!("column {} has no name; {advice}", at + 1)));
            }
            if table.columns[..at].contains(name) {
                return Err(table.refuse(format!("two columns are named `{name}`")));
            }
        }
        Ok(table)
    }

    fn reader(&self) -> Result<csv::Reader<File>> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(self.separator).trim(csv::Trim::All).from_path(&self.path).map_err(|e| self.refuse(e))
    }

    /// The rows from the first on; all are as long as the header.
    pub(super) fn rows(&self) -> Result<impl Iterator<Item = Result<StringRecord>> + Send + 'static> {
        let table = self.clone();
        Ok(self.reader()?.into_records().map(move |row| row.map_err(|e| table.refuse(e))))
    }

    /// The place of a column that must be there.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        let missing = || self.refuse(format!("has no column `{name}`; it has {}", self.columns.join(", ")));
        self.find(name).ok_or_else(missing)
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    pub(super) fn refuse(&self, what: impl std::fmt::Display) -> Error {
        Error::invalid("cases", format!("{}: {what}", self.path.display()))
    }

    /// An error of a row, by its line in the file.
    pub(super) fn refuse_row(&self, row: &StringRecord, what: impl std::fmt::Display) -> Error {
        self.refuse(format!("line {}: {what}", row.position().map_or(0, csv::Position::line)))
    }
}

/// What the columns of a table of features are.
struct Columns {
    id: Option<usize>,
    label: Option<usize>,
    acceptable: Option<usize>,
    /// With their names.
    tags: Vec<(usize, String)>,
    features: Vec<usize>,
}

/// Feature rows: the columns `id`, `acceptable`, `tags.NAME` and the label's are what they say, every other is a float32
/// feature of the input `x`. Ids are row numbers from 0 where there are none. An empty cell is a missing feature (NaN) or
/// a label that is not known.
pub(super) fn read(path: &Path, label: Option<&str>) -> Result<Cases> {
    let table = Table::open(path)?;
    let label = match label {
        Some(name) => Some(table.column(name)?),
        None => labels::NAMES.iter().find_map(|name| table.find(name)),
    };
    let mut columns =
        Columns { id: table.find("id"), label, acceptable: table.find("acceptable"), tags: vec![], features: vec![] };
    for (at, name) in table.columns.iter().enumerate() {
        if let Some(tag) = name.strip_prefix(TAGS) {
            columns.tags.push((at, tag.to_owned()));
        } else if ![columns.id, columns.label, columns.acceptable].contains(&Some(at)) {
            columns.features.push(at);
        }
    }
    let (mut labels, mut count) = (Labels::default(), 0);
    for row in table.rows()? {
        let row = row?;
        labels.see(label.map_or("", |at| &row[at]));
        count += 1;
    }
    let rows = table.rows()?.enumerate();
    Ok(Cases::new(count, rows.map(move |(number, row)| case(&table, &columns, labels, number, &row?))))
}

fn case(table: &Table, columns: &Columns, labels: Labels, number: usize, row: &StringRecord) -> Result<Case> {
    let cell = |at: Option<usize>| at.map_or("", |at| &row[at]);
    let feature = |at: &usize| match row[*at].parse() {
        Ok(value) => Ok(value),
        Err(_) if row[*at].is_empty() => Ok(f32::NAN),
        Err(_) => {
            let (column, found) = (&table.columns[*at], &row[*at]);
            Err(table.refuse_row(row, format!("column {column}: `{found}` was found, a number was expected")))
        }
    };
    let features = columns.features.iter().map(feature).collect::<Result<Vec<f32>>>()?;
    let shape = IxDyn(&[features.len()]);
    let x = ArrayD::from_shape_vec(shape, features).map_err(|e| Error::internal("row", e))?;
    let expected = labels.expected(cell(columns.label), cell(columns.acceptable));
    Ok(Case {
        id: columns.id.map_or_else(|| number.to_string(), |at| row[at].to_owned()),
        inputs: BTreeMap::from([("x".to_owned(), Value::Tensor(Tensor::F32(x)))]),
        expected: expected.map_err(|e| table.refuse_row(row, e))?,
        tags: columns.tags.iter().filter_map(|(at, name)| Some((name.clone(), labels::tag(&row[*at])?))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Class, Expected, Tag};
    use super::*;

    fn cases(text: &str) -> Result<Vec<Case>> {
        let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), None)?.collect()
    }

    fn features(case: &Case) -> Vec<f64> {
        let Value::Tensor(tensor) = &case.inputs["x"] else { panic!("{case:?}") };
        tensor.to_f64()
    }

    #[test]
    fn labels_are_indices_values_or_names() {
        let expected = |text: &str| cases(text).unwrap()[1].expected.clone();
        let class = |label| Expected::Class { label, acceptable: Vec::new() };
        assert_eq!(expected("a,label\n1,0\n2,1\n"), class(Class::Index(1)));
        assert_eq!(expected("label,a\n0.5,1\n1,2\n"), Expected::Value(1.0));
        assert_eq!(expected("a,label\n1,cat\n2,dog\n"), class(Class::Name("dog".to_owned())));
        assert_eq!(expected("a,b\n1,2\n3,4\n"), Expected::Nothing);
        assert_eq!(expected("a,label\n1,0\n2,\n"), Expected::Nothing);
    }

    #[test]
    fn ids_and_tags_are_no_features() {
        let cases =
            cases("id,a,tags.light,label,acceptable\nfirst,1.5,dark,3,3 4\nsecond,,0.5,2,\nthird,1,,,\n").unwrap();
        assert_eq!((cases[0].id.as_str(), features(&cases[0])), ("first", vec![1.5]));
        assert_eq!(cases[0].expected, Expected::Class { label: Class::Index(3), acceptable: vec![Class::Index(4)] });
        assert_eq!(cases[0].tags["light"], Tag::Text("dark".to_owned()));
        assert_eq!(cases[1].tags["light"], Tag::Number(0.5));
        assert!(features(&cases[1])[0].is_nan());
        assert!(cases[2].tags.is_empty() && cases[2].expected == Expected::Nothing);
    }

    #[test]
    fn the_habits_of_spreadsheets_are_read() {
        let plain = cases("a,b,label\n1,2,0\n3,4,1\n").unwrap();
        for other in [
            "\u{feff}a,b,label\r\n1,2,0\r\n3,4,1\r\n",
            "a;b;label\n1;2;0\n3;4;1",
            "a\tb\tlabel\n1\t2\t0\n\n3\t4\t1\n",
            "\"a\", b ,label\n\"1\",\"2\", 0\n3 ,4,1\n",
        ] {
            assert_eq!(cases(other).unwrap(), plain, "{other:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_column() {
        let check = |text: &str, expect: &str| {
            let error = cases(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("a,b,label\n1,2,0\n1,red,0\n", "line 3: column b: `red`");
        check("a;label\n1;0\n1,5;1\n", "line 3: column a: `1,5`");
        check("a,b\n1,2\n1\n", "line: 3");
        check("a,label,a\n1,2,3\n", "two columns are named `a`");
        check(",a,label\n0,1,2\n", "column 1 has no name");
    }
}

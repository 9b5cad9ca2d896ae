//! Rows of `.parquet` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};

use super::fields;
use super::{Case, Cases, Expected, beside, labels, table};
use crate::error::{Error, Result};

/// Bytes of the rows that are decoded at a time.
const BATCH_BYTES: i64 = 8 << 20;

/// Most rows that are decoded at a time.
const BATCH_ROWS: i64 = 1024;

/// What a column holds of a case.
enum Role {
    Id,
    Label,
    Acceptable,
    Tag(String),
    /// Tags by name.
    Tags,
    /// A number of the input `x`.
    Feature,
    /// An input of its own.
    Input,
}

/// Cases of a `.parquet`: the columns `id`, `acceptable`, `tags.NAME` (or a struct `tags`) and the label's are what they
/// say; other columns of numbers are float32 features of the input `x`, as in a `.csv`. A column of lists, of texts or of
/// pictures (encoded files as bytes, or the structs `{bytes, path}` of Hugging Face's `datasets`) is an input of its own
/// name.
///
/// Ids are row numbers from 0 where there are none. Labels are classes by index or name, lists of classes, or values, as
/// their type says. A missing number is NaN.
pub(super) fn read(path: &Path, label: Option<&str>) -> Result<Cases> {
    let path = path.to_owned();
    let refuse = {
        let path = path.clone();
        move |what: &dyn std::fmt::Display| Error::invalid("cases", format!("{}: {what}", path.display()))
    };
    let file = File::open(&path).map_err(|e| refuse(&e))?;
    let open = || SerializedFileReader::new(Within(file)).map_err(|e| refuse(&e));
    let file = guard(open).unwrap_or_else(|| Err(refuse(&DAMAGED)))?;
    let roles = roles(&file, label).map_err(|e| refuse(&e))?;
    let groups = file.metadata().row_groups();
    let (count, bytes) = groups.iter().fold((0i64, 0i64), |(rows, bytes), group| {
        (rows.saturating_add(group.num_rows()), bytes.saturating_add(group.total_byte_size()))
    });
    if count != file.metadata().file_metadata().num_rows() {
        return Err(refuse(&"contradicts itself on the number of its rows"));
    }
    let batch = (BATCH_BYTES / (bytes / count.max(1)).max(1)).clamp(1, BATCH_ROWS);
    let rows = RowIter::from_file_into(Box::new(file)).with_batch_size(usize::try_from(batch).unwrap_or(1));
    let count = usize::try_from(count).map_err(|e| refuse(&e))?;
    let folder = beside::folder(&path);
    let mut rows = AssertUnwindSafe(rows);
    let rows = (0u64..).map_while(move |number| {
        let at = |what: &dyn std::fmt::Display| refuse(&format!("row {number}: {what}"));
        match guard(|| rows.next()) {
            None => Some(Err(at(&DAMAGED))),
            Some(row) => {
                Some(row?.map_err(|e| at(&e)).and_then(|row| case(row, &roles, number, &folder).map_err(|e| at(&e))))
            }
        }
    });
    Ok(Cases::new(count, rows))
}

const DAMAGED: &str = "the file is damaged";

/// The library panics on some damaged files. `None` if it did; what it worked on is not used again.
fn guard<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// A file that gives no more bytes than it has, so that no memory is taken for lengths that lie.
struct Within(File);

impl Length for Within {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Within {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match start.checked_add(length as u64).filter(|end| *end <= Length::len(&self.0)) {
            Some(_) => self.0.get_bytes(start, length),
            None => Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the end of the file"))),
        }
    }
}

/// The role of each column, in their order.
fn roles(file: &impl FileReader, label: Option<&str>) -> Result<Vec<Role>> {
    let schema = file.metadata().file_metadata().schema();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let label = match label {
        Some(name) if names.contains(&name) => Some(name),
        Some(name) => {
            return Err(Error::invalid("", format!("has no column `{name}`; it has {}", names.join(", "))));
        }
        None => labels::NAMES.into_iter().find(|name| names.contains(name)),
    };
    let role = |field: &std::sync::Arc<parquet::schema::types::Type>| {
        let name = field.name();
        let number = field.is_primitive()
            && !matches!(
                field.get_physical_type(),
                Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY | Physical::INT96
            );
        Ok(match name {
            _ if Some(name) == label => Role::Label,
            "id" => Role::Id,
            "acceptable" => Role::Acceptable,
            "tags" => Role::Tags,
            _ if names.iter().filter(|other| **other == name).count() > 1 => {
                return Err(Error::invalid("", format!("two columns are named `{name}`")));
            }
            _ if name.starts_with("__index_level_") => {
                let advice = "name it `id`, or leave it out (to_parquet(..., index=False))";
                return Err(Error::invalid("", format!("column {name} is the index of a DataFrame; {advice}")));
            }
            _ => match name.strip_prefix(table::TAGS) {
                Some(tag) => Role::Tag(tag.to_owned()),
                None if number => Role::Feature,
                None => Role::Input,
            },
        })
    };
    schema.get_fields().iter().map(role).collect()
}

fn case(row: Row, roles: &[Role], number: u64, folder: &Path) -> Result<Case> {
    let mut case =
        Case { id: number.to_string(), inputs: BTreeMap::new(), expected: Expected::Nothing, tags: BTreeMap::new() };
    let (mut features, mut classes) = (Vec::new(), [None, None]);
    for ((name, field), role) in row.into_columns().into_iter().zip(roles) {
        let refuse = |e: Error| Error::invalid("", format!("column {name}: {e}"));
        match role {
            Role::Id => case.id = fields::text(&field).map_err(refuse)?,
            Role::Label => classes[0] = Some(field),
            Role::Acceptable => classes[1] = Some(field),
            Role::Tag(tag) => case.tags.extend(fields::tag(&field).map(|value| (tag.clone(), value))),
            Role::Tags => match field {
                Field::Group(row) => case.tags.extend(
                    row.get_column_iter().filter_map(|(name, field)| Some((name.clone(), fields::tag(field)?))),
                ),
                Field::Null => {}
                other => return Err(refuse(Error::invalid("", format!("{other} was found, a struct was expected")))),
            },
            Role::Feature => features.push(fields::number(&field).map_err(refuse)?),
            Role::Input => {
                let value = fields::input(field, folder).map_err(refuse)?;
                case.inputs.insert(name, value);
            }
        }
    }
    if !features.is_empty() {
        case.inputs.insert("x".to_owned(), fields::vector(features));
    }
    let [label, acceptable] = classes.map(|field| field.unwrap_or(Field::Null));
    case.expected = fields::expected(&label, &acceptable).map_err(|e| Error::invalid("", format!("label: {e}")))?;
    Ok(case)
}

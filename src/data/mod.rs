//! Floor 0: cases, and the readers that make them from files.

mod beside;
mod case;
mod cases;
mod elements;
mod fields;
mod folder;
mod jpeg;
mod jsonl;
mod labels;
mod npy;
mod npz;
mod parquet;
pub mod picture;
mod table;

pub use case::{Case, Class, Expected, Tag, Value};
pub use cases::Cases;

use std::path::Path;

use crate::error::{Error, Result};

/// Cases read from `spec`: an `.npz` (`file.npz#x,y` names the arrays), a `.csv` or `.parquet` (`file.csv#column` names the
/// label's column), a `.jsonl`, or a folder of pictures.
///
/// What can be told of the file as a whole is checked here; errors of a case come when it is read, and name its place.
pub fn read(spec: &str) -> Result<Cases> {
    let (path, part) = spec.split_once('#').map_or((spec, None), |(path, part)| (path, Some(part)));
    let file = Path::new(path);
    match file.extension().and_then(|e| e.to_str()) {
        _ if file.is_dir() => folder::read(file),
        Some("npz") => npz::read(file, part),
        Some("csv") => table::read(file, part),
        Some("jsonl") => jsonl::read(file),
        Some("parquet") => parquet::read(file, part),
        _ if !file.exists() => Err(Error::invalid("cases", format!("{path} does not exist"))),
        _ => Err(Error::invalid("cases", format!("{path} is neither .npz, .csv, .jsonl, .parquet nor a folder"))),
    }
}

/// Cases of the bytes of an `.npz` with the arrays `x` and `y`.
pub fn read_npz(bytes: &'static [u8]) -> Result<Cases> {
    npz::read_from(|| Ok(std::io::Cursor::new(bytes)), None)
}

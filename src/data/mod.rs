//! Floor 0: cases, and the readers that make them from files.

mod beside;
mod case;
mod cases;
mod folder;
mod jpeg;
mod labels;
mod npy;
mod npz;
pub mod picture;
mod table;

pub use case::{Case, Class, Expected, Tag, Value};
pub use cases::Cases;

use std::path::Path;

use crate::error::{Error, Result};

/// Cases read from `spec`: an `.npz` (`file.npz#x,y` names the arrays), a `.csv` (`file.csv#column` names the label's
/// column), or a folder of pictures.
///
/// What can be told of the file as a whole is checked here; errors of a case come when it is read, and name its place.
pub fn read(spec: &str) -> Result<Cases> {
    let (path, part) = spec.split_once('#').map_or((spec, None), |(path, part)| (path, Some(part)));
    let file = Path::new(path);
    match file.extension().and_then(|e| e.to_str()) {
        _ if file.is_dir() => folder::read(file),
        Some("npz") => npz::read(file, part),
        Some("csv") => table::read(file, part),
        _ if !file.exists() => Err(Error::invalid("cases", format!("{path} does not exist"))),
        _ => Err(Error::invalid("cases", format!("{path} is neither .npz nor .csv nor a folder"))),
    }
}

/// Cases of the bytes of an `.npz` with the arrays `x` and `y`.
pub fn read_npz(bytes: &'static [u8]) -> Result<Cases> {
    npz::read_from(|| Ok(std::io::Cursor::new(bytes)), None)
}

//! Floor 0: cases, and the readers that make them from files.

mod case;
mod npz;

pub use case::{Case, Class, Expected, Tag, Value};

use std::path::Path;

use crate::error::{Error, Result};

/// Cases read from `spec`: `file.npz`, or `file.npz#x,y` to name the arrays.
///
/// Ids are row numbers from 0. Errors name what was found in the file.
pub fn read(spec: &str) -> Result<Vec<Case>> {
    let (path, arrays) = spec.split_once('#').map_or((spec, None), |(path, arrays)| (path, Some(arrays)));
    match Path::new(path).extension().and_then(|e| e.to_str()) {
        Some("npz") => npz::read(Path::new(path), arrays),
        _ => Err(Error::invalid("cases", format!("{path} is not an .npz file"))),
    }
}

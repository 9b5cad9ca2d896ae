//! The development corpus, where `ASSAY_CORPUS` names its folder: real models and data with the peers' figures.

use std::path::PathBuf;

/// Its folder; says so where there is none.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("ASSAY_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ASSAY_CORPUS is not set");
    }
    folder
}

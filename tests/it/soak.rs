//! How often what is random is tried: a short form in `make test`, the full counts in `make soak`.

/// `full` rounds in `make soak`, else `short`.
pub(crate) fn rounds(short: usize, full: usize) -> usize {
    if is_on() { full } else { short }
}

/// Whether this is `make soak`.
pub(crate) fn is_on() -> bool {
    std::env::var_os("ASSAY_SOAK").is_some()
}

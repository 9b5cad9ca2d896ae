//! The cases of a file, one after the other.

use super::Case;
use crate::error::{Error, Result};

/// Cases as they are read, so that memory does not grow with their number. The number is known from the start; an error
/// is the last item.
pub struct Cases {
    left: usize,
    rows: Box<dyn Iterator<Item = Result<Case>> + Send>,
}

impl Cases {
    /// The first `count` of `rows`; fewer are an error.
    pub fn new(count: usize, rows: impl Iterator<Item = Result<Case>> + Send + 'static) -> Self {
        Self { left: count, rows: Box::new(rows) }
    }

    /// No more than the first `count`.
    #[must_use]
    pub fn first(self, count: u64) -> Self {
        Self { left: usize::try_from(count).map_or(self.left, |count| self.left.min(count)), ..self }
    }
}

impl Iterator for Cases {
    type Item = Result<Case>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let short = || {
            let missing = self.left + 1;
            Err(Error::invalid(
                "cases",
                format!("{missing} cases are missing at the end; did the file change meanwhile?"),
            ))
        };
        let case = self.rows.next().unwrap_or_else(short);
        if case.is_err() {
            self.left = 0;
        }
        Some(case)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Cases {}

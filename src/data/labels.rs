//! What the cells of a label's column mean, which only the whole column tells.

use super::{Class, Expected, Tag};
use crate::error::{Error, Result};

/// Names under which a label's column is found.
pub(super) const NAMES: [&str; 4] = ["label", "target", "class", "y"];

/// The kind of a column of labels, found by showing it every cell. Empty cells say nothing: no answer is expected.
#[derive(Clone, Copy, Default)]
pub(super) struct Labels {
    /// A cell is no whole number from 0 on.
    fractions: bool,
    /// A cell is no number at all.
    words: bool,
}

impl Labels {
    pub(super) fn see(&mut self, cell: &str) {
        if !cell.is_empty() && cell.parse::<u64>().is_err() {
            self.fractions = true;
            self.words |= cell.parse::<f64>().is_err();
        }
    }

    /// The answer of a cell: a class by index if all cells are whole numbers, a value if all are numbers, otherwise a class
    /// by name. `acceptable` holds further classes that are right, separated by spaces.
    pub(super) fn expected(self, cell: &str, acceptable: &str) -> Result<Expected> {
        let class = |cell: &str| match cell.parse() {
            _ if self.fractions => Ok(Class::Name(cell.to_owned())),
            Ok(index) => Ok(Class::Index(index)),
            Err(_) => {
                Err(Error::invalid("", format!("the class `{cell}` was found, the index of a class was expected")))
            }
        };
        if self.fractions && !self.words {
            let number = |_| Error::invalid("", format!("the label `{cell}` was found, a number was expected"));
            return match (cell, acceptable) {
                ("", "") => Ok(Expected::Nothing),
                (_, "") => Ok(Expected::Value(cell.parse().map_err(number)?)),
                _ => Err(Error::invalid("", "acceptable classes stand beside labels that are values")),
            };
        }
        let label = Some(cell).filter(|cell| !cell.is_empty());
        let classes = label.into_iter().chain(acceptable.split_whitespace()).map(class);
        Ok(Expected::of(classes.collect::<Result<Vec<_>>>()?))
    }
}

/// A tag from a cell: a number where it reads as one, nothing where it is empty.
pub(super) fn tag(cell: &str) -> Option<Tag> {
    let number = cell.parse::<f64>().ok().filter(|n| n.is_finite()).map(Tag::Number);
    number.or_else(|| (!cell.is_empty()).then(|| Tag::Text(cell.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(cells: &[&str], acceptable: &str) -> Result<Expected> {
        let mut labels = Labels::default();
        cells.iter().for_each(|cell| labels.see(cell));
        labels.expected(cells[0], acceptable)
    }

    #[test]
    fn the_whole_column_says_what_a_cell_is() {
        let class = |label, acceptable| Expected::Class { label, acceptable };
        let name = |name: &str| Class::Name(name.to_owned());
        assert_eq!(expected(&["1", ""], "1 2").unwrap(), class(Class::Index(1), vec![Class::Index(2)]));
        assert_eq!(expected(&["1", "0.5"], "").unwrap(), Expected::Value(1.0));
        assert_eq!(expected(&["1", "0.5", "cat"], "dog").unwrap(), class(name("1"), vec![name("dog")]));
        assert_eq!(expected(&["", "3"], "").unwrap(), Expected::Nothing);
        assert_eq!(expected(&["", "3"], "1 2 1").unwrap(), class(Class::Index(1), vec![Class::Index(2)]));
        assert_eq!(expected(&["", "0.5"], "").unwrap(), Expected::Nothing);
        assert!(expected(&["1", "2"], "dog").unwrap_err().to_string().contains("`dog`"));
        assert!(expected(&["1", "0.5"], "2").unwrap_err().to_string().contains("values"));
    }
}

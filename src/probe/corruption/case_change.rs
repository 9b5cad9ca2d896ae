//! Small and capital letters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Turns small letters into capitals and capitals into small ones.
///
/// 5 %, 10 %, 25 %, 50 % or all of the letters, at least one.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CaseChange {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for CaseChange {
    const NAME: &'static str = "case_change";
}

const SHARE: [f64; 5] = [0.05, 0.1, 0.25, 0.5, 1.0];

impl Corruption for CaseChange {
    type Input = String;

    fn corrupt(&self, text: &mut String, rng: &mut Rng) -> Result<()> {
        let cased = |c: char| c.is_uppercase() || c.is_lowercase();
        let letters: Vec<usize> = text.char_indices().filter(|(_, c)| cased(*c)).map(|(i, _)| i).collect();
        let mut turned = drawn(letters.len(), self.severity.at(&SHARE), rng).into_iter().map(|i| letters[i]).peekable();
        let mut changed = String::with_capacity(text.len());
        for (i, c) in text.char_indices() {
            match turned.next_if_eq(&i) {
                Some(_) if c.is_uppercase() => changed.extend(c.to_lowercase()),
                Some(_) => changed.extend(c.to_uppercase()),
                None => changed.push(c),
            }
        }
        *text = changed;
        Ok(())
    }
}

//! Blanks where none should be, and none where some should.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Takes blanks out of a text and puts others into its words.
///
/// 2 %, 5 %, 10 %, 20 % or 30 % of the blanks, at least one, go, and as many come between two letters.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Whitespace {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Whitespace {
    const NAME: &'static str = "whitespace";
}

const SHARE: [f64; 5] = [0.02, 0.05, 0.1, 0.2, 0.3];

impl Corruption for Whitespace {
    type Input = String;

    fn corrupt(&self, text: &mut String, rng: &mut Rng) -> Result<()> {
        let characters: Vec<char> = text.chars().collect();
        let blanks: Vec<usize> = (0..characters.len()).filter(|i| characters[*i].is_whitespace()).collect();
        let inside = |i: &usize| characters[*i].is_alphabetic() && characters[i + 1].is_alphabetic();
        let gaps: Vec<usize> = (0..characters.len().saturating_sub(1)).filter(inside).collect();
        // As many blanks come as go, at least one of each where there is a place.
        let share = self.severity.at(&SHARE);
        let gone: Vec<usize> = drawn(blanks.len(), share, rng).into_iter().map(|i| blanks[i]).collect();
        let share = gone.len() as f64 / gaps.len().max(1) as f64;
        let come: Vec<usize> = drawn(gaps.len(), share, rng).into_iter().map(|i| gaps[i]).collect();
        *text = String::new();
        for (i, c) in characters.into_iter().enumerate() {
            if !gone.contains(&i) {
                text.push(c);
            }
            if come.contains(&i) {
                text.push(' ');
            }
        }
        Ok(())
    }
}

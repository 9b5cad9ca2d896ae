//! Neighbours that changed places.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Lets neighbouring characters of a word, or neighbouring words, change places.
///
/// 1 %, 2 %, 5 %, 10 % or 20 % of the pairs, at least one.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Swaps {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
    /// What changes places: characters or words.
    unit: Unit,
}

impl Probe for Swaps {
    const NAME: &'static str = "swaps";
    const PAPER: &'static str =
        "Belinkov and Bisk, Synthetic and Natural Noise Both Break Neural Machine Translation, 2018 (arXiv:1711.02173)";
}

const SHARE: [f64; 5] = [0.01, 0.02, 0.05, 0.1, 0.2];

/// What changes places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    Characters,
    Words,
}

impl Corruption for Swaps {
    type Input = String;

    fn corrupt(&self, text: &mut String, rng: &mut Rng) -> Result<()> {
        let share = self.severity.at(&SHARE);
        if self.unit == Unit::Words {
            let mut words: Vec<&str> = text.split_whitespace().collect();
            for i in drawn(words.len().saturating_sub(1), share, rng) {
                words.swap(i, i + 1);
            }
            *text = words.join(" ");
        } else {
            let mut characters: Vec<char> = text.chars().collect();
            let letters = |i: &usize| characters[*i].is_alphabetic() && characters[i + 1].is_alphabetic();
            let pairs: Vec<usize> = (0..characters.len().saturating_sub(1)).filter(letters).collect();
            for i in drawn(pairs.len(), share, rng) {
                characters.swap(pairs[i], pairs[i] + 1);
            }
            *text = characters.into_iter().collect();
        }
        Ok(())
    }
}

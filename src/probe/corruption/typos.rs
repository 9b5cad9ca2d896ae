//! Slips of the fingers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Puts typing errors into a text: neighbouring keys, letters left out, doubled or added.
///
/// 1 %, 2 %, 5 %, 10 % or 15 % of the letters, at least one, on an English keyboard.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Typos {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Typos {
    const NAME: &'static str = "typos";
    const PAPER: &'static str =
        "Belinkov and Bisk, Synthetic and Natural Noise Both Break Neural Machine Translation, 2018 (arXiv:1711.02173)";
}

const SHARE: [f64; 5] = [0.01, 0.02, 0.05, 0.1, 0.15];

const KEYS: [&str; 3] = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

impl Corruption for Typos {
    type Input = String;

    fn corrupt(&self, text: &mut String, rng: &mut Rng) -> Result<()> {
        let letters: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_alphabetic()).map(|(i, _)| i).collect();
        let mut slips = drawn(letters.len(), self.severity.at(&SHARE), rng).into_iter().map(|i| letters[i]).peekable();
        let mut typed = String::with_capacity(text.len());
        for (i, c) in text.char_indices() {
            if slips.next_if_eq(&i).is_none() {
                typed.push(c);
                continue;
            }
            match rng.below(4) {
                0 => typed.push(near(c, rng)),
                1 => {}
                2 => typed.extend([c, c]),
                _ => typed.extend([c, near(c, rng)]),
            }
        }
        *text = typed;
        Ok(())
    }
}

/// A key beside that of the letter, in its case; the letter itself if no key has it.
fn near(letter: char, rng: &mut Rng) -> char {
    let lower = letter.to_ascii_lowercase();
    let Some((row, column)) = KEYS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.find(lower)?))) else {
        return letter;
    };
    let key = |row: usize, column: usize| KEYS.get(row)?.chars().nth(column);
    let around = [
        column.checked_sub(1).and_then(|c| key(row, c)),
        key(row, column + 1),
        row.checked_sub(1).and_then(|r| key(r, column)),
        key(row + 1, column),
    ];
    let around: Vec<char> = around.into_iter().flatten().collect();
    let near = around[rng.below(around.len())];
    if letter.is_uppercase() { near.to_ascii_uppercase() } else { near }
}

//! Letters of other alphabets that look the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::drawn;
use super::{Corruption, Severity};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Replaces Latin letters by Cyrillic and Greek ones that look the same to a reader.
///
/// 2 %, 5 %, 10 %, 25 % or 50 % of the letters that have such a twin, at least one.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lookalikes {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for Lookalikes {
    const NAME: &'static str = "lookalikes";
    const PAPER: &'static str = "Boucher et al., Bad Characters: Imperceptible NLP Attacks, 2022 (arXiv:2106.09898)";
}

const SHARE: [f64; 5] = [0.02, 0.05, 0.1, 0.25, 0.5];

/// Latin letters and their twins (Unicode's confusables).
const TWINS: [(char, char); 26] = [
    ('a', 'а'),
    ('c', 'с'),
    ('d', 'ԁ'),
    ('e', 'е'),
    ('h', 'һ'),
    ('i', 'і'),
    ('j', 'ј'),
    ('o', 'о'),
    ('p', 'р'),
    ('s', 'ѕ'),
    ('v', 'ν'),
    ('x', 'х'),
    ('y', 'у'),
    ('A', 'А'),
    ('B', 'В'),
    ('C', 'С'),
    ('E', 'Е'),
    ('H', 'Н'),
    ('I', 'І'),
    ('K', 'К'),
    ('M', 'М'),
    ('O', 'О'),
    ('P', 'Р'),
    ('T', 'Т'),
    ('X', 'Х'),
    ('Y', 'Ү'),
];

impl Corruption for Lookalikes {
    type Input = String;

    fn corrupt(&self, text: &mut String, rng: &mut Rng) -> Result<()> {
        let twin = |c: char| TWINS.iter().find(|(latin, _)| *latin == c).map(|(_, twin)| *twin);
        let mut characters: Vec<char> = text.chars().collect();
        let letters: Vec<usize> = (0..characters.len()).filter(|i| twin(characters[*i]).is_some()).collect();
        for i in drawn(letters.len(), self.severity.at(&SHARE), rng) {
            let letter = &mut characters[letters[i]];
            *letter = twin(*letter).unwrap_or(*letter);
        }
        *text = characters.into_iter().collect();
        Ok(())
    }
}

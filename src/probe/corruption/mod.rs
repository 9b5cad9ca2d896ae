//! Corruptions: what happens to pictures in the world, at severities 1 to 5.

mod gaussian_noise;
mod jpeg_compression;
mod motion_blur;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use super::{Access, Manual};
use crate::error::Result;
use crate::tensor::{Pixels, Rng};

/// A corruption with its manual.
pub struct Entry {
    pub manual: Manual,
    /// Changes the picture; the severity is 1 to 5.
    pub corrupt: fn(&mut Pixels, Severity, &mut Rng) -> Result<()>,
}

/// All corruptions, in alphabetical order.
pub static CORRUPTIONS: &[Entry] = &[gaussian_noise::ENTRY, jpeg_compression::ENTRY, motion_blur::ENTRY];

/// The corruption of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CORRUPTIONS.iter().find(|entry| entry.manual.name == name)
}

/// What every corruption takes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// How strong: 1 (weak) to 5, one or a list; a list makes a curve.
    #[serde(default)]
    pub severity: Severities,
}

/// One severity or several.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Severities {
    One(Severity),
    Each(#[schemars(length(min = 1, max = 5))] Vec<Severity>),
}

impl Default for Severities {
    fn default() -> Self {
        Self::Each(Severity::ALL.to_vec())
    }
}

impl Severities {
    /// In the order given.
    pub fn levels(&self) -> &[Severity] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Each(each) => each,
        }
    }
}

/// The entry of an ImageNet-C corruption.
const fn entry(
    name: &'static str,
    summary: &'static str,
    text: &'static str,
    corrupt: fn(&mut Pixels, Severity, &mut Rng) -> Result<()>,
) -> Entry {
    let manual = Manual {
        name,
        family: "corruption",
        summary,
        text,
        paper: "Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and \
                Perturbations, 2019 (arXiv:1903.12261)",
        accesses: &[Access::Label],
        cost: "severities",
        schema: || schema_for!(Parameters),
    };
    Entry { manual, corrupt }
}

/// How strong a corruption is, 1 (weak) to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64", into = "u8")]
pub struct Severity(#[schemars(range(min = 1, max = 5))] u8);

impl TryFrom<u64> for Severity {
    type Error = String;
    fn try_from(level: u64) -> std::result::Result<Self, String> {
        Self::new(level).ok_or_else(|| format!("{level} was found, 1 to 5 was expected"))
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> Self {
        severity.0
    }
}

impl Severity {
    /// All five.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// `None` outside 1 to 5.
    pub fn new(level: u64) -> Option<Self> {
        u8::try_from(level).ok().filter(|l| (1..=5).contains(l)).map(Self)
    }

    /// 1 to 5.
    pub fn level(self) -> u8 {
        self.0
    }

    /// The entry of a table with a row for each of ImageNet-C (above 64 pixels), Tiny-ImageNet-C (33 to 64) and
    /// CIFAR-C (up to 32), chosen by the picture's shorter side.
    fn of(self, tables: &[[f64; 5]; 3], image: &Pixels) -> f64 {
        let row = match image.height.min(image.width) {
            0..=32 => 2,
            33..=64 => 1,
            _ => 0,
        };
        tables[row][usize::from(self.0) - 1]
    }
}

/// A sample in [0, 1] as uint8, truncated as the reference does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_uint8(sample: f64) -> u8 {
    (sample.clamp(0.0, 1.0) * 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_order_and_has_manuals() {
        assert!(CORRUPTIONS.is_sorted_by(|a, b| a.manual.name < b.manual.name));
        assert!(CORRUPTIONS.iter().all(|entry| entry.manual.summary.ends_with('.')));
    }

    #[test]
    fn every_corruption_is_deterministic_at_any_size() {
        for entry in CORRUPTIONS {
            for (side, channels) in [(1, 1), (8, 1), (32, 3), (100, 3)] {
                let clean = Pixels::new(side, side, channels, vec![128; side * side * channels]).unwrap();
                let run = |seed| {
                    let mut image = clean.clone();
                    (entry.corrupt)(&mut image, Severity(3), &mut Rng::new(seed, entry.manual.name, "0", 0)).unwrap();
                    image
                };
                assert_eq!(run(1), run(1), "{}", entry.manual.name);
                assert_eq!(run(1).data.len(), clean.data.len(), "{}", entry.manual.name);
            }
        }
    }
}

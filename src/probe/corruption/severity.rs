//! How strong, and by which code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tensor::Pixels;

/// How strong a corruption is, 1 (weak) to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64", into = "u8")]
#[schemars(extend("minimum" = 1, "maximum" = 5))]
pub struct Severity(u8);

impl Default for Severity {
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u64> for Severity {
    type Error = String;
    fn try_from(level: u64) -> Result<Self, String> {
        let known = u8::try_from(level).ok().filter(|l| (1..=5).contains(l)).map(Self);
        known.ok_or_else(|| format!("{level} was found, 1 to 5 was expected"))
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> Self {
        severity.0
    }
}

impl Severity {
    /// The entry of a table with a row for each of ImageNet-C (above 64 pixels), Tiny-ImageNet-C (33 to 64) and
    /// CIFAR-C (up to 32), chosen by the picture's shorter side.
    pub(super) fn of<T: Copy>(self, tables: &[[T; 5]; 3], image: &Pixels) -> T {
        let row = match image.height.min(image.width) {
            0..=32 => 2,
            33..=64 => 1,
            _ => 0,
        };
        self.at(&tables[row])
    }

    /// The entry of a table of five.
    pub(super) fn at<T: Copy>(self, table: &[T; 5]) -> T {
        table[usize::from(self.0) - 1]
    }
}

/// Whose code is followed where the two references differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// The Python package imagecorruptions.
    #[default]
    Imagecorruptions,
    /// The code that made the data sets ImageNet-C, Tiny-ImageNet-C and CIFAR-C.
    ImagenetC,
}

/// A sample in [0, 1] as uint8, truncated as the reference does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn to_uint8(sample: f64) -> u8 {
    (sample.clamp(0.0, 1.0) * 255.0) as u8
}

//! Compression with loss.

use super::{Entry, Severity, entry};
use crate::data::jpeg;
use crate::error::Result;
use crate::tensor::{Pixels, Rng};

pub(super) const ENTRY: Entry = entry(
    "jpeg_compression",
    "Writes the picture as a JPEG of low quality and reads it back.",
    "Qualities 25 to 7 for pictures above 64 pixels, higher ones for smaller pictures; chroma at half resolution.",
    jpeg_compression,
);

/// Qualities from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code (Hendrycks and Dietterich, 2019).
const QUALITY: [[f64; 5]; 3] =
    [[25.0, 18.0, 15.0, 10.0, 7.0], [65.0, 58.0, 50.0, 40.0, 25.0], [80.0, 65.0, 58.0, 50.0, 40.0]];

/// Pillow's file at that quality, to the bit.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn jpeg_compression(image: &mut Pixels, severity: Severity, _: &mut Rng) -> Result<()> {
    *image = jpeg::round_trip(image, severity.of(&QUALITY, image) as u8)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_grows_with_severity() {
        let data: Vec<u8> = (0..96 * 96 * 3).map(|i| ((i * 7919) % 251) as u8).collect();
        let clean = Pixels::new(96, 96, 3, data).unwrap();
        let loss = |severity| {
            let mut image = clean.clone();
            jpeg_compression(&mut image, severity, &mut Rng::new(0, "", "", 0)).unwrap();
            image.data.iter().zip(&clean.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert!(0 < loss(Severity::ALL[0]) && loss(Severity::ALL[0]) < loss(Severity::ALL[4]));
    }
}

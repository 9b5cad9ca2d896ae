//! Compression with loss.

use image::ImageFormat;
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Corruption, IMAGENET_C, Severity};
use crate::error::{Error, Result};
use crate::probe::Probe;
use crate::tensor::{Pixels, Rng};

/// Writes the picture as a JPEG of low quality and reads it back.
///
/// Qualities 25 to 7 for pictures above 64 pixels, higher ones for smaller pictures; chroma at half resolution.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JpegCompression {
    /// How strong, 1 (weak) to 5; all five if left out.
    severity: Severity,
}

impl Probe for JpegCompression {
    const NAME: &'static str = "jpeg_compression";
    const PAPER: &'static str = IMAGENET_C;
}

/// Qualities from the ImageNet-C, Tiny-ImageNet-C and CIFAR-C code (Hendrycks and Dietterich, 2019).
const QUALITY: [[f64; 5]; 3] =
    [[25.0, 18.0, 15.0, 10.0, 7.0], [65.0, 58.0, 50.0, 40.0, 25.0], [80.0, 65.0, 58.0, 50.0, 40.0]];

impl Corruption for JpegCompression {
    type Input = Pixels;
    /// Baseline JPEG with the standard tables and halved chroma, as Pillow writes it. Fails for sides above 65535.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn corrupt(&self, image: &mut Pixels, _: &mut Rng) -> Result<()> {
        let side = |n: usize| {
            u16::try_from(n).map_err(|_| Error::invalid("image", format!("side {n} was found, JPEG holds up to 65535")))
        };
        let (width, height) = (side(image.width)?, side(image.height)?);
        let colour = if image.channels == 1 { ColorType::Luma } else { ColorType::Rgb };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.severity.of(&QUALITY, image) as u8);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
        encoder.encode(&image.data, width, height, colour).map_err(|e| Error::internal("JPEG encoder", e))?;
        let decoded = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)
            .map_err(|e| Error::internal("JPEG decoder", e))?;
        image.data = if image.channels == 1 { decoded.into_luma8().into_raw() } else { decoded.into_rgb8().into_raw() };
        Ok(())
    }
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
            JpegCompression { severity: Severity::try_from(severity).unwrap() }
                .corrupt(&mut image, &mut Rng::new(0, "", "", 0))
                .unwrap();
            image.data.iter().zip(&clean.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert!(0 < loss(1) && loss(1) < loss(5));
    }
}

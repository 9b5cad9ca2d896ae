//! Image files as 8-bit pictures, with the samples that Pillow reads.
//!
//! Two rules are another than those of Pillow's `convert("RGB")`: it drops alpha, and what was behind comes up; it clips
//! 16-bit grey at 255, which leaves white.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage,
};

use super::jpeg;
use crate::error::{Error, Result};
use crate::tensor::Pixels;

/// Longest side of a picture, checked on the header before anything is decoded.
pub const SIDE_MAX: u32 = 16_384;

/// Memory that decoding one picture may take, in bytes.
const BYTES_MAX: u64 = 512 << 20;

/// Height and width from the header of a PNG, JPEG or WebP file, after its EXIF orientation.
pub fn dimensions(file: &[u8]) -> Result<(usize, usize)> {
    let mut decoder = decoder(file)?;
    let (width, height) = decoder.dimensions();
    let turned = match decoder.orientation().map_err(|e| refuse(&e))? {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            true
        }
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    };
    let (height, width) = if turned { (width, height) } else { (height, width) };
    Ok((height as usize, width as usize))
}

/// The picture with 1 (grey) or 3 (RGB) channels: EXIF orientation applied, alpha laid over white, 16 bits cut to 8.
pub fn decode(file: &[u8], channels: usize) -> Result<Pixels> {
    let mut decoder = decoder(file)?;
    let orientation = decoder.orientation().map_err(|e| refuse(&e))?;
    let mut picture = eight_bits(whole(file, decoder)?);
    picture.apply_orientation(orientation);
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let rgb = if picture.color().has_alpha() { over_white(&picture) } else { picture.into_rgb8().into_raw() };
    let data = if channels == 1 { grey(&rgb) } else { rgb };
    Pixels::new(height, width, channels, data)
        .ok_or_else(|| Error::internal("decoder", "the samples do not fill the picture"))
}

/// All samples. JPEG goes its own way: see [`jpeg`].
fn whole(file: &[u8], decoder: impl ImageDecoder) -> Result<DynamicImage> {
    let (width, height) = decoder.dimensions();
    if decoder.total_bytes() > BYTES_MAX {
        return Err(refuse(&format!("{height}x{width} pixels are more than {BYTES_MAX} bytes")));
    }
    if image::guess_format(file).is_ok_and(|format| format == ImageFormat::Jpeg) {
        let picture = RgbImage::from_raw(width, height, jpeg::decode(file)?).map(DynamicImage::ImageRgb8);
        return picture.ok_or_else(|| refuse(&"the JPEG file contradicts its own header"));
    }
    DynamicImage::from_decoder(decoder).map_err(|e| refuse(&e))
}

/// The high bytes of 16-bit samples.
fn eight_bits(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let high = |samples: &[u16]| samples.iter().map(|sample| (sample >> 8) as u8).collect();
    let cut = match &picture {
        DynamicImage::ImageLuma16(p) => GrayImage::from_raw(width, height, high(p)).map(DynamicImage::ImageLuma8),
        DynamicImage::ImageLumaA16(p) => {
            GrayAlphaImage::from_raw(width, height, high(p)).map(DynamicImage::ImageLumaA8)
        }
        DynamicImage::ImageRgb16(p) => RgbImage::from_raw(width, height, high(p)).map(DynamicImage::ImageRgb8),
        DynamicImage::ImageRgba16(p) => RgbaImage::from_raw(width, height, high(p)).map(DynamicImage::ImageRgba8),
        _ => None,
    };
    cut.unwrap_or(picture)
}

fn decoder(file: &[u8]) -> Result<impl ImageDecoder + '_> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|e| refuse(&e))?;
    if reader.format().is_none() {
        return Err(refuse(&"neither PNG, JPEG nor WebP"));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(BYTES_MAX);
    reader.limits(limits);
    reader.into_decoder().map_err(|e| refuse(&e))
}

fn refuse(cause: &dyn std::fmt::Display) -> Error {
    Error::invalid("", format!("the picture cannot be read: {cause} (sides up to {SIDE_MAX} pixels are allowed)"))
}

fn over_white(picture: &DynamicImage) -> Vec<u8> {
    let blend = |sample: u8, alpha: u8| {
        let (sample, alpha) = (u32::from(sample), u32::from(alpha));
        // Rounded; at most 255 * 255, so the quotient fits.
        ((sample * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    picture.to_rgba8().pixels().flat_map(|p| [blend(p[0], p[3]), blend(p[1], p[3]), blend(p[2], p[3])]).collect()
}

/// Luma by ITU-R 601-2 in 16-bit fixed point, as Pillow's `convert("L")`.
pub(crate) fn grey(rgb: &[u8]) -> Vec<u8> {
    let luma = |p: &[u8; 3]| {
        let [r, g, b] = p.map(u32::from);
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    };
    rgb.as_chunks::<3>().0.iter().map(luma).collect()
}

#[cfg(test)]
mod tests {
    use image::ImageEncoder;

    use super::*;

    fn png(colour: image::ExtendedColorType, width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        image::codecs::png::PngEncoder::new(&mut file).write_image(data, width, height, colour).unwrap();
        file
    }

    #[test]
    fn alpha_is_laid_over_white_and_grey_is_pillows() {
        let file = png(image::ExtendedColorType::Rgba8, 2, 1, &[10, 20, 30, 0, 10, 20, 30, 255]);
        assert_eq!(decode(&file, 3).unwrap().data, [255, 255, 255, 10, 20, 30]);
        assert_eq!(decode(&file, 1).unwrap().data, [255, 18]);
        assert_eq!(dimensions(&file).unwrap(), (1, 2));
    }

    #[test]
    fn a_header_that_lies_is_refused_before_decoding() {
        let mut file = png(image::ExtendedColorType::L8, 1, 1, &[0]);
        file[16..20].copy_from_slice(&1_000_000u32.to_be_bytes());
        assert!(dimensions(&file).is_err() && decode(&file, 1).is_err());
        assert!(decode(b"no picture", 3).unwrap_err().to_string().contains("cannot be read"));
    }
}

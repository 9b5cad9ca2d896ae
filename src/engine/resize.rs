//! Geometry: from the picture as read to the picture as probed.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::signature::{Filter, Geometry, Resize};
use crate::error::{Error, Result};
use crate::tensor::Pixels;

/// Longest side that a resize may ask for.
const SIDE_MAX: usize = 16_384;

/// Applies the steps in order.
pub(crate) fn shape(mut picture: Pixels, steps: &[Geometry]) -> Result<Pixels> {
    for step in steps {
        picture = match step {
            Geometry::Resize(resize) => resized(&picture, resize)?,
            Geometry::Crop(crop) => cropped(&picture, crop.center)?,
        };
    }
    Ok(picture)
}

/// Antialiased resampling with Pillow's filters; 8-bit results.
fn resized(picture: &Pixels, to: &Resize) -> Result<Pixels> {
    let (height, width) = match (to.shorter, to.size) {
        (Some(shorter), None) => {
            // torchvision's int(size * long / short).
            let long = |long: usize, short: usize| shorter * long / short.max(1);
            if picture.height <= picture.width {
                (shorter, long(picture.width, picture.height))
            } else {
                (long(picture.height, picture.width), shorter)
            }
        }
        (None, Some([height, width])) => (height, width),
        _ => return Err(Error::invalid("resize", "either `shorter` or `size` was expected")),
    };
    if height == 0 || width == 0 || height > SIDE_MAX || width > SIDE_MAX {
        let message = format!("{height}x{width} pixels would come out; sides of 1 to {SIDE_MAX} were expected");
        return Err(Error::invalid("resize", message));
    }
    if (height, width) == (picture.height, picture.width) {
        return Ok(picture.clone());
    }
    let algorithm = match to.filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Box => ResizeAlg::Convolution(FilterType::Box),
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    };
    let kind = if picture.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let fail = |e: &dyn std::fmt::Display| Error::internal("resize", e);
    // Sides were checked above and when the file was read, so they fit.
    #[allow(clippy::cast_possible_truncation)]
    let (source, mut target) = (
        ImageRef::new(picture.width as u32, picture.height as u32, &picture.data, kind).map_err(|e| fail(&e))?,
        Image::new(width as u32, height as u32, kind),
    );
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| fail(&e))?;
    Pixels::new(height, width, picture.channels, target.into_vec()).ok_or_else(|| fail(&"the sizes differ"))
}

/// The centred square; a smaller picture is refused.
fn cropped(picture: &Pixels, side: usize) -> Result<Pixels> {
    let Pixels { height, width, channels, ref data } = *picture;
    if side == 0 || side > height || side > width {
        return Err(Error::invalid(
            "crop",
            format!("{height}x{width} pixels were found, a square of {side} cannot be cut"),
        ));
    }
    // Rounded to nearest, halves to even, as Python rounds in torchvision.
    let start = |length: usize| {
        let twice = length - side;
        let half = twice / 2;
        if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
    };
    let (top, left) = (start(height), start(width));
    let rows =
        (top..top + side).flat_map(|y| &data[(y * width + left) * channels..(y * width + left + side) * channels]);
    Pixels::new(side, side, channels, rows.copied().collect())
        .ok_or_else(|| Error::internal("crop", "the sizes differ"))
}

#[cfg(test)]
mod tests {
    use super::super::signature::Crop;
    use super::*;

    #[test]
    fn the_shorter_side_leads_and_the_crop_is_centred() {
        let picture = Pixels::new(4, 6, 1, (0..24).collect()).unwrap();
        let to = Geometry::Resize(Resize { shorter: Some(8), size: None, filter: Filter::Bicubic });
        let larger = shape(picture.clone(), &[to]).unwrap();
        assert_eq!((larger.height, larger.width), (8, 12));
        let middle = shape(picture.clone(), &[Geometry::Crop(Crop { center: 2 })]).unwrap();
        assert_eq!(middle.data, [8, 9, 14, 15]);
        assert!(shape(picture, &[Geometry::Crop(Crop { center: 5 })]).is_err());
    }
}

//! JPEG bit for bit as Pillow reads and writes it, which is libjpeg: networks are trained and judged on its pixels, and
//! another decoder's are a few levels off.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::qtable::{AnnexK_Chroma, AnnexK_Luma};
use mozjpeg::{ColorSpace, Compress, Decompress};

use crate::error::{Error, Result};
use crate::tensor::Pixels;

/// RGB samples of a grey or colour JPEG file. `None` for CMYK, which libjpeg does not convert.
///
/// Memory follows from the header: check its sides first. A file that ends in mid-picture is refused, as Pillow does.
pub(super) fn decode(file: &[u8]) -> Result<Option<Vec<u8>>> {
    let refuse = |e: &dyn std::fmt::Display| Error::invalid("", format!("the picture cannot be read: {e}"));
    if !is_whole(file) {
        return Err(refuse(&"the JPEG file is cut off"));
    }
    guard(|| {
        let file = Decompress::new_mem(file).map_err(|e| refuse(&e))?;
        if matches!(file.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
            return Ok(None);
        }
        file.rgb().and_then(|mut rows| rows.read_scanlines()).map(Some).map_err(|e| refuse(&e))
    })
}

/// A baseline file with the standard tables at `quality` 1 to 100 and chroma at half resolution, Pillow's defaults.
pub(crate) fn encode(picture: &Pixels, quality: u8) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| Error::internal("JPEG encoder", e);
    let quality = f32::from(quality.clamp(1, 100));
    let (from, to) = match picture.channels {
        1 => (ColorSpace::JCS_GRAYSCALE, ColorSpace::JCS_GRAYSCALE),
        _ => (ColorSpace::JCS_RGB, ColorSpace::JCS_YCbCr),
    };
    guard(|| {
        let mut file = Compress::new(from);
        file.set_size(picture.width, picture.height);
        file.set_fastest_defaults();
        file.set_color_space(to);
        // The encoder's own tables go beyond 8 bits at low qualities, which baseline files cannot.
        file.set_luma_qtable(&AnnexK_Luma.scaled(quality, quality));
        file.set_chroma_qtable(&AnnexK_Chroma.scaled(quality, quality));
        if picture.channels == 3 {
            file.set_chroma_sampling_pixel_sizes((2, 2), (2, 2));
        }
        let mut rows = file.start_compress(Vec::new()).map_err(failed)?;
        rows.write_scanlines(&picture.data).map_err(failed)?;
        rows.finish().map_err(failed)
    })
}

/// The picture written at `quality` and read back.
pub(crate) fn round_trip(picture: &Pixels, quality: u8) -> Result<Pixels> {
    let lost = || Error::internal("JPEG decoder", "its own file could not be read");
    let rgb = decode(&encode(picture, quality)?)?.ok_or_else(lost)?;
    // Of a grey file all three samples are the same.
    let data = if picture.channels == 1 { rgb.into_iter().step_by(3).collect() } else { rgb };
    Pixels::new(picture.height, picture.width, picture.channels, data).ok_or_else(lost)
}

/// libjpeg reports errors by unwinding.
fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let damaged = |_| Error::invalid("", "the picture cannot be read: the JPEG file is damaged");
    catch_unwind(AssertUnwindSafe(work)).map_err(damaged)?
}

/// Whether an end marker follows the last scan; libjpeg itself would make up what is missing. Within a scan no byte 255
/// stands before 217 or 218, so that both are markers.
fn is_whole(file: &[u8]) -> bool {
    let last = |marker: u8| file.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(channels: usize) -> Pixels {
        let grey = |i: usize| (i / channels * 7919 % 251) as u8;
        Pixels::new(20, 30, channels, (0..600 * channels).map(grey).collect()).unwrap()
    }

    #[test]
    fn a_round_trip_is_near_at_high_quality_and_far_at_low() {
        for channels in [1, 3] {
            let clean = Pixels::new(20, 30, channels, vec![90; 600 * channels]).unwrap();
            assert_eq!(round_trip(&clean, 95).unwrap(), clean);
            let noisy = picture(channels);
            let loss = |quality| {
                let back = round_trip(&noisy, quality).unwrap();
                back.data.iter().zip(&noisy.data).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
            };
            assert!(loss(90) < loss(7), "{channels}");
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let file = encode(&picture(3), 75).unwrap();
        assert!(decode(&file).unwrap().is_some());
        for end in [0, 1, 20, file.len() / 2, file.len() - 1] {
            assert!(decode(&file[..end]).is_err(), "{end}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            // A flipped sample is still a picture; what matters is that nothing unwinds any further.
            let _ = decode(&damaged);
        }
    }
}

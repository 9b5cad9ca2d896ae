//! JPEG bit for bit as Pillow reads it, which is libjpeg: networks are trained and judged on its pixels, and another
//! decoder's are a few levels off.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, Decompress};

use crate::error::{Error, Result};

/// RGB samples of a JPEG file.
///
/// Memory follows from the header: check its sides first. A file that ends in mid-picture is refused, as Pillow does.
pub(super) fn decode(file: &[u8]) -> Result<Vec<u8>> {
    let refuse = |e: &dyn std::fmt::Display| Error::invalid("", format!("the picture cannot be read: {e}"));
    if !is_whole(file) {
        return Err(refuse(&"the JPEG file is cut off"));
    }
    guard(|| {
        let file = Decompress::new_mem(file).map_err(|e| refuse(&e))?;
        if matches!(file.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK) {
            let inks = file.to_colorspace(ColorSpace::JCS_CMYK).and_then(|mut rows| rows.read_scanlines::<[u8; 4]>());
            return Ok(inks.map_err(|e| refuse(&e))?.into_iter().flat_map(light).collect());
        }
        file.rgb().and_then(|mut rows| rows.read_scanlines()).map_err(|e| refuse(&e))
    })
}

/// The colour of inks, which Pillow takes to be stored inverted, as Adobe does: what black leaves of the light, less the
/// share that each ink takes. libjpeg does not convert CMYK.
fn light([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|ink| {
        let taken = u32::from(255 - ink) * u32::from(black) + 128;
        // A quotient by 255 of what is at most 255 * 255, rounded: no more than `black`.
        black - (((taken >> 8) + taken) >> 8) as u8
    })
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

    #[test]
    fn damaged_files_are_errors() {
        let mut file = Vec::new();
        let samples: Vec<u8> = (0..600 * 3).map(|i| (i / 3 * 7919 % 251) as u8).collect();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut file);
        encoder.encode(&samples, 30, 20, image::ExtendedColorType::Rgb8).unwrap();
        assert_eq!(decode(&file).unwrap().len(), samples.len());
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

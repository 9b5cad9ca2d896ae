//! Hue, saturation and value.

use super::to_uint8;
use crate::tensor::Pixels;

/// Changes the hue, saturation and value, all in [0, 1], of every pixel of an RGB picture.
pub(super) fn in_hsv(image: &mut Pixels, change: impl Fn([f64; 3]) -> [f64; 3]) {
    for pixel in image.data.as_chunks_mut::<3>().0 {
        *pixel = to_rgb(change(to_hsv(pixel.map(|sample| f64::from(sample) / 255.0)))).map(to_uint8);
    }
}

/// The formulas of scikit-image's `rgb2hsv`, in its order, so that rounding is the same.
fn to_hsv([r, g, b]: [f64; 3]) -> [f64; 3] {
    let value = r.max(g).max(b);
    let delta = value - r.min(g).min(b);
    if delta == 0.0 {
        return [0.0, 0.0, value];
    }
    let sixths = match () {
        () if b == value => 4.0 + (r - g) / delta,
        () if g == value => 2.0 + (b - r) / delta,
        () => (g - b) / delta,
    };
    [(sixths / 6.0).rem_euclid(1.0), delta / value, value]
}

/// The formulas of scikit-image's `hsv2rgb`.
fn to_rgb([h, s, v]: [f64; 3]) -> [f64; 3] {
    let sextant = (h * 6.0).floor();
    let f = h * 6.0 - sextant;
    let (p, q, t) = (v * (1.0 - s), v * (1.0 - f * s), v * (1.0 - (1.0 - f) * s));
    #[allow(clippy::cast_possible_truncation)]
    match sextant as i64 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_colour() {
        for rgb in [[0.0; 3], [1.0; 3], [0.2, 0.4, 0.9], [1.0, 0.0, 0.5], [0.3, 0.3, 0.1], [0.7, 0.9, 0.9]] {
            let back = to_rgb(to_hsv(rgb));
            assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-12), "{rgb:?}: {back:?}");
        }
    }
}

//! Colours of pictures.

use crate::cli::overlay::COLOURS;

/// The colour of what raises the score, or lowers it; grey for what does neither.
pub(super) fn of(attribution: f64) -> String {
    if attribution == 0.0 { "#777777".to_owned() } else { hex(COLOURS[usize::from(attribution < 0.0)]) }
}

/// The same on white paper; `share` of it is colour.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn pale(attribution: f64, share: f64) -> String {
    let colour = COLOURS[usize::from(attribution < 0.0)];
    hex(colour.map(|c| 1.0 + share.clamp(0.0, 1.0) as f32 * (c - 1.0)))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn hex(colour: [f32; 3]) -> String {
    let [r, g, b] = colour.map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Plasma of matplotlib (van der Walt and Smith, 2015) without its yellow end, which would be lost on white paper: ever
/// lighter, so that it is read without seeing colours.
const RAMP: [[u8; 3]; 9] = [
    [13, 8, 135],
    [65, 4, 157],
    [106, 0, 168],
    [143, 13, 164],
    [177, 42, 144],
    [204, 71, 120],
    [225, 100, 98],
    [242, 132, 75],
    [252, 166, 54],
];

/// The colour of a share of 0, low, to 1, high.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(super) fn ramp(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let lower = (place as usize).min(RAMP.len() - 2);
    let part = place - lower as f64;
    let mix = |i: usize| (1.0 - part) * f64::from(RAMP[lower][i]) + part * f64::from(RAMP[lower + 1][i]);
    let [r, g, b] = [0, 1, 2].map(|i| mix(i).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_raises_blue_lowers_and_the_ramp_goes_from_end_to_end() {
        assert_eq!((of(2.0).as_str(), of(-2.0).as_str(), of(-0.0).as_str()), ("#d61a29", "#2157d9", "#777777"));
        assert_eq!((pale(1.0, 0.0).as_str(), pale(1.0, 1.0)), ("#ffffff", of(1.0)));
        assert_eq!((ramp(-1.0).as_str(), ramp(0.5).as_str(), ramp(2.0).as_str()), ("#0d0887", "#b12a90", "#fca636"));
    }
}

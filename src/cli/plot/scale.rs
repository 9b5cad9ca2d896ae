//! Numbers as people write them, and places on an axis.

/// Whether a number can be drawn. Beyond this size differences and sums of many would overflow.
pub(super) fn sound(value: f64) -> bool {
    value.abs() < 1e300
}

/// From values to places in a picture, in proportion.
pub(super) struct Scale {
    low: f64,
    high: f64,
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Scale {
    /// All sound values between two places; values that are all the same get some room around them.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, start: f64, end: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|v| sound(*v)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let size = low.abs().max(high.abs());
        // Steps below this share of the values could not be counted.
        if high - low <= (size * 1e-9).max(1e-290) {
            let room = if size < 1e-280 { 0.5 } else { size * 0.1 };
            (low, high) = (low - room, high + room);
        }
        Self { low, high, start, end }
    }

    /// A share of 0 to 1 for what lies within.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        self.start + self.share(value) * (self.end - self.start)
    }

    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values of steps 1, 2 or 5, about as many as asked for: their places and labels.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub(super) fn ticks(&self, about: f64) -> Vec<(f64, String)> {
        let raw = (self.high - self.low) / about.max(1.0);
        let power = power(exponent(raw));
        // The nearest step in proportion: the bounds are the roots of 1 * 2, 2 * 5 and 5 * 10.
        let nearest = [(1.414, 1.0), (3.162, 2.0), (7.071, 5.0)].into_iter().find(|(bound, _)| raw < bound * power);
        let step = nearest.map_or(10.0, |(_, n)| n) * power;
        let size = self.low.abs().max(self.high.abs());
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        let label = |value: f64| {
            let decimals = -exponent(step);
            if size >= 1e6 || decimals > 4 {
                let digits = (exponent(size) - exponent(step)).clamp(0, 12) as usize;
                tidy(&format!("{value:.digits$e}"))
            } else {
                let decimals = decimals.max(0) as usize;
                minus(&format!("{value:.decimals$}"))
            }
        };
        (first..=last).map(|n| n as f64 * step).map(|value| (self.at(value), label(value))).collect()
    }
}

/// A number in three significant digits, whole ones below a million in all of theirs.
#[allow(clippy::cast_sign_loss)]
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { minus(&value.to_string()) };
    }
    let size = exponent(value);
    match size {
        -4..6 if value.fract() == 0.0 => minus(&format!("{value}")),
        -4..6 => tidy(&format!("{value:.*}", (2 - size).max(0) as usize)),
        _ => tidy(&format!("{value:.2e}")),
    }
}

/// A number with its sign.
pub(super) fn signed(value: f64) -> String {
    let text = short(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// The power of ten of the first digit, read from the text: a logarithm's last bit differs from machine to machine.
fn exponent(value: f64) -> i32 {
    format!("{value:e}").rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0)
}

fn power(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().unwrap_or(1.0)
}

/// Without zeros at the end of the decimals.
fn tidy(text: &str) -> String {
    let (number, power) = text.split_once('e').map_or((text, String::new()), |(n, p)| (n, format!("e{p}")));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if matches!(number, "0" | "-0") { "0".to_owned() } else { minus(&format!("{number}{power}")) }
}

/// The sign for minus, which is as wide as a plus; zero has none.
fn minus(text: &str) -> String {
    let zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if zero { text.trim_start_matches('-').to_owned() } else { text.replace('-', "\u{2212}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let said = [
            (0.061_696, "0.0617"),
            (-12.345, "\u{2212}12.3"),
            (2023.0, "2023"),
            (1234.56, "1235"),
            (0.999_9, "1"),
            (0.05, "0.05"),
            (-0.0, "0"),
            (1.5e9, "1.5e9"),
            (-3.21e-7, "\u{2212}3.21e\u{2212}7"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in said {
            assert_eq!(short(value), text);
        }
        assert_eq!((signed(2.0), signed(-2.0), signed(0.0)), ("+2".into(), "\u{2212}2".into(), "0".into()));
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            Scale::over([low, high], 0.0, 100.0).ticks(5.0).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-37.0, 61.0), ["\u{2212}20", "0", "20", "40", "60"]);
        assert_eq!(
            labels(0.0, 3e-6),
            ["0", "5e\u{2212}7", "1e\u{2212}6", "1.5e\u{2212}6", "2e\u{2212}6", "2.5e\u{2212}6", "3e\u{2212}6"]
        );
        assert_eq!(labels(1e6, 1.04e6), ["1e6", "1.01e6", "1.02e6", "1.03e6", "1.04e6"]);
        for (low, high) in [(1e299, -1e299), (5e-320, 0.0), (1.0, 1.0 + 1e-15), (0.0, 0.0), (f64::NAN, f64::INFINITY)] {
            let ticks = Scale::over([low, high], 0.0, 100.0).ticks(5.0);
            assert!((1..=8).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| (-0.01..=100.01).contains(at)));
        }
    }
}

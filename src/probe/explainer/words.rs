//! Numbers and answers as a sentence has them.

use crate::engine::{Output, OutputKind};
use crate::tensor::argmax;

/// A whole number in full, another with four digits that count.
pub(super) fn number(value: f64) -> String {
    let short = || format!("{value:.3e}").parse().unwrap_or(value);
    let value: f64 = if value.fract() == 0.0 && value.abs() < 1e15 { value } else { short() };
    if value != 0.0 && !(1e-4..1e15).contains(&value.abs()) { format!("{value:e}") } else { value.to_string() }
}

/// What a model says with such scores: a class by its name or number, or a value.
pub(super) fn answer(scores: &[f64], output: &Output) -> String {
    if output.kind == OutputKind::Value {
        return scores.first().copied().map_or_else(String::new, number);
    }
    class(argmax(scores), output)
}

/// A class by its name or number.
pub(super) fn class(class: usize, output: &Output) -> String {
    output.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_whole_ones_are_whole() {
        let numbers = [0.061_696_2, 12345.0, 12345.67, -0.5, 0.000_012_34, 0.0, 1e20];
        assert_eq!(numbers.map(number), ["0.0617", "12345", "12350", "-0.5", "1.234e-5", "0", "1e20"]);
    }
}

//! Sums without rounding.

/// Summands beyond this size count as infinite, so that no partial sum overflows.
const LARGE: f64 = 1e290;

/// The exact sum of floats as parts that do not overlap (Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997;
/// Python's `math.fsum`): it is rounded once, when it is read, so its value does not depend on the order of summands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExactSum {
    /// In order of growing size.
    parts: Vec<f64>,
    /// Sum of the summands that are not finite.
    odd: f64,
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        if !number.is_finite() || number.abs() > LARGE {
            self.odd += if number.is_nan() { number } else { f64::INFINITY.copysign(number) };
            return;
        }
        let (mut carry, mut kept) = (number, 0);
        for at in 0..self.parts.len() {
            let part = self.parts[at];
            let (large, small) = if carry.abs() < part.abs() { (part, carry) } else { (carry, part) };
            let sum = large + small;
            let rest = small - (sum - large);
            if rest != 0.0 {
                self.parts[kept] = rest;
                kept += 1;
            }
            carry = sum;
        }
        self.parts.truncate(kept);
        self.parts.push(carry);
    }

    /// Adds `a * b` without rounding it.
    pub fn add_product(&mut self, a: f64, b: f64) {
        let (product, rest) = product(a, b);
        self.add(product);
        if product.abs() <= LARGE {
            self.add(rest);
        }
    }

    /// Adds `factor` times another sum.
    pub fn add_scaled(&mut self, factor: f64, other: &Self) {
        other.parts.iter().for_each(|part| self.add_product(factor, *part));
        if other.odd != 0.0 {
            self.odd += factor * other.odd;
        }
    }

    /// This sum times `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = Self::default();
        scaled.add_scaled(factor, self);
        scaled
    }

    /// The sum, rounded to the nearest float.
    pub fn value(&self) -> f64 {
        if self.odd != 0.0 {
            return self.odd;
        }
        let mut parts = self.parts.iter().rev().copied();
        let mut sum = parts.next().unwrap_or(0.0);
        let mut rest = 0.0;
        for part in parts.by_ref() {
            let before = sum;
            sum = before + part;
            rest = part - (sum - before);
            if rest != 0.0 {
                break;
            }
        }
        // Half-way between two floats the part below decides.
        if let Some(below) = parts.next()
            && rest * below > 0.0
        {
            let (twice, raised) = (2.0 * rest, sum + 2.0 * rest);
            if raised - sum == twice {
                sum = raised;
            }
        }
        sum
    }
}

/// `a * b` as its rounded value and what rounding took away.
pub(super) fn product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Rng;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|n| sum.add(*n));
        sum.value()
    }

    #[test]
    fn nothing_is_lost_and_order_does_not_matter() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        // Half-way between 1 and the next float; the last summand decides.
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0, 1e-40]), 1.0 + f64::EPSILON);
        let mut rng = Rng::new(1, "sum", "", 0);
        let mut numbers: Vec<f64> = (0..2000).map(|i| rng.normal() * 10f64.powi(i % 30 - 15)).collect();
        let forth = sum(&numbers);
        for _ in 0..10 {
            (1..numbers.len()).for_each(|i| numbers.swap(i, rng.below(i + 1)));
            assert_eq!(sum(&numbers).to_bits(), forth.to_bits());
        }
    }

    #[test]
    fn what_is_not_finite_or_overflows_is_infinite() {
        assert_eq!(sum(&[1e300, 1e300]), f64::INFINITY);
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        let mut square = ExactSum::default();
        square.add_product(1e200, 1e200);
        assert_eq!(square.value(), f64::INFINITY);
    }
}

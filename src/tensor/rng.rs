//! Random numbers keyed by what they are for, never by position, worker or time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use sha2::{Digest, Sha256};

/// A counter-based generator. Its key is the SHA-256 of (seed, check, case, stream), so that one case meets the same
/// noise whatever the number of workers, the order, or the model that is probed.
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Generator for one use: `check` is the canonical check, `stream` tells uses within a case apart.
    pub fn new(seed: u64, check: &str, case: &str, stream: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        for part in [check, case] {
            // The length in front keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(stream.to_le_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), 53 bits.
    #[allow(clippy::cast_precision_loss)]
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform integer below `n` (> 0), by multiplication; the bias is below n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// `some` different numbers below `n` in a random order, all alike (Fisher and Yates); no more than there are.
    pub fn sample(&mut self, n: usize, some: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in 0..some.min(n) {
            let other = i + self.below(n - i);
            order.swap(i, other);
        }
        order.truncate(some);
        order
    }

    /// The numbers below `n` in a random order.
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        self.sample(n, n)
    }

    /// Standard normal by the ziggurat method (Marsaglia and Tsang, 2000).
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// Exponential of rate 1, by the ziggurat method too.
    pub fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_key_same_numbers_other_key_others() {
        let draw = |seed, check: &str, case: &str| Rng::new(seed, check, case, 0).bits();
        assert_eq!(draw(1, "a", "b"), draw(1, "a", "b"));
        assert_ne!(draw(1, "a", "b"), draw(2, "a", "b"));
        assert_ne!(draw(1, "ab", "c"), draw(1, "a", "bc"));
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Rng::new(7, "t", "t", 0);
        let draws: Vec<f64> = (0..40_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 40_000.0;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 40_000.0;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
    }
}

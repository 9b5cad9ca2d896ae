//! Noise as loud as a given share of the signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sample::within;
use super::{Corruption, Sequence};
use crate::error::Result;
use crate::probe::Probe;
use crate::tensor::Rng;

/// Adds white noise to a sequence at a given ratio of signal to noise.
///
/// The noise is normal and its power is the sequence's mean square divided by the ratio; results are clipped to the
/// declared range. A silent sequence stays silent.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NoiseSnr {
    /// Ratio of signal to noise in decibels; a curve from 30 to 5 if left out.
    #[schemars(range(min = -100, max = 200))]
    snr: f64,
}

impl Probe for NoiseSnr {
    const NAME: &'static str = "noise_snr";
}

impl Default for NoiseSnr {
    fn default() -> Self {
        Self { snr: 20.0 }
    }
}

impl Corruption for NoiseSnr {
    type Input = Sequence;
    const CURVE: (&'static str, [f64; 5]) = ("snr", [30.0, 20.0, 15.0, 10.0, 5.0]);

    #[allow(clippy::cast_precision_loss)]
    fn corrupt(&self, sequence: &mut Sequence, rng: &mut Rng) -> Result<()> {
        let power = sequence.values.iter().map(|v| v * v).sum::<f64>() / sequence.values.len().max(1) as f64;
        let sigma = (power / 10f64.powf(self.snr / 10.0)).sqrt();
        let range = sequence.range;
        sequence.values.iter_mut().for_each(|v| *v = within(*v + sigma * rng.normal(), range));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_the_power_that_was_asked_for() {
        let clean: Vec<f64> = (0..20_000).map(|i| (i as f64 * 0.1).sin()).collect();
        let mut sequence = Sequence { values: clean.clone(), features: 1, range: None };
        NoiseSnr { snr: 10.0 }.corrupt(&mut sequence, &mut Rng::new(1, "noise_snr", "", 0)).unwrap();
        let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let noise = power(&mut sequence.values.iter().zip(&clean).map(|(a, b)| a - b));
        let ratio = 10.0 * (power(&mut clean.iter().copied()) / noise).log10();
        assert!((ratio - 10.0).abs() < 0.2, "{ratio}");
    }
}

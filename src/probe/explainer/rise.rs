//! Random masks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::baseline::Baseline;
use super::masks::Masks;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// What the score is on average while a value is to be seen, under many random masks.
///
/// A picture's mask is a coarse grid of cells, each open with probability `p`, drawn out smoothly and shifted; that of
/// a sequence is the same along its steps. Of rows and tokens each value is open or not. The attribution of a value is
/// the mean of score times mask, over `p`: a level that all share, and above it what counts.
///
/// The residual is the standard error of that, the mean over the values, and the relative one its share of the way from
/// the lowest attribution to the highest: four times the samples halve it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Rise {
    #[serde(flatten)]
    view: View,
    /// Masks that are asked; the paper takes 4000 to 8000.
    #[schemars(range(min = 2, max = 65536), extend("aliases" = ["n_masks"]))]
    n_samples: usize,
    /// Cells of the grid along each side of a picture, and along a sequence.
    #[schemars(range(min = 1, max = 64))]
    cells: usize,
    /// The probability that a cell or a value is to be seen.
    #[schemars(range(min = 0.01, max = 0.99))]
    p: f64,
    /// What stands for a value that is not to be seen, in units of the input as read: `zero`, `mean` (of each channel
    /// of a picture), `blurred` (a picture), `background` (the mean of its rows) or a number.
    baseline: Baseline,
}

impl Default for Rise {
    fn default() -> Self {
        Self { view: View::default(), n_samples: 1000, cells: 7, p: 0.5, baseline: Baseline::default() }
    }
}

impl Probe for Rise {
    const NAME: &'static str = "rise";
    const PAPER: &'static str =
        "Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018 (arXiv:1806.07421)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "n_samples";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for Rise {
    fn view(&self) -> View {
        self.view
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.baseline.fits(input)
    }

    fn wants_background(&self, _: &Input) -> bool {
        self.baseline.is_background()
    }

    fn cost(&self, _: &Input, _: u64) -> Spent {
        Spent { forward: self.n_samples as u64, gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let masks = Masks::new(study.input(), self.cells, self.p);
        let batch = study.batch();
        let explained = study.cases.iter().enumerate().map(|(case, own)| {
            let (mut rng, baseline) = (study.rng(case), self.baseline.of(&own.x, study));
            let mut sums = Sums(vec![(0.0, 0.0); masks.places()]);
            for from in (0..self.n_samples).step_by(batch) {
                let some = from..self.n_samples.min(from + batch);
                let drawn: Vec<Vec<f32>> = some.map(|_| masks.draw(&mut rng)).collect();
                let values = study.values_at(case, drawn.len(), |i, rows| {
                    rows.extend(masks.mixed(&own.x, &baseline, &drawn[i]));
                })?;
                drawn.iter().zip(values).for_each(|(mask, value)| sums.add(mask, value));
            }
            let (attribution, error) = sums.means(self.n_samples, self.p);
            let ends = attribution.iter().fold((f32::MAX, f32::MIN), |(low, high), a| (low.min(*a), high.max(*a)));
            let way = f64::from(ends.1) - f64::from(ends.0);
            Ok(Explanation::new(masks.spread(&attribution, own.x.len()), error, way))
        });
        explained.collect()
    }
}

/// Of score times mask at each place, and of its square.
struct Sums(Vec<(f64, f64)>);

impl Sums {
    fn add(&mut self, mask: &[f32], value: f64) {
        for ((sum, squares), open) in self.0.iter_mut().zip(mask) {
            let product = value * f64::from(*open);
            *sum += product;
            *squares += product * product;
        }
    }

    /// The mean of each place over `p`, and the mean of their standard errors.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn means(&self, samples: usize, p: f64) -> (Vec<f32>, f64) {
        let n = samples as f64;
        let error = |(sum, squares): &(f64, f64)| ((squares - sum * sum / n).max(0.0) / (n - 1.0) / n).sqrt() / p;
        let errors: f64 = self.0.iter().map(error).sum();
        (self.0.iter().map(|(sum, _)| (sum / n / p) as f32).collect(), errors / self.0.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_a_sum_are_its_parts_above_a_level_within_their_errors() {
        // Each of eight values adds its number while it is to be seen: 14 on average of all, half its own number more.
        let mut rng = crate::tensor::Rng::new(0, "rise", "0", 0);
        let mut sums = Sums(vec![(0.0, 0.0); 8]);
        for _ in 0..4000 {
            let mask = [0; 8].map(|_| f32::from(u8::from(rng.uniform() < 0.5)));
            sums.add(&mask, mask.iter().zip(0u8..).map(|(m, i)| f64::from(*m) * f64::from(i)).sum());
        }
        let (means, error) = sums.means(4000, 0.5);
        assert!(error > 0.1 && error < 0.4, "{error}");
        for (mean, i) in means.iter().zip(0u8..) {
            let expected = 14.0 + f64::from(i) / 2.0;
            assert!((f64::from(*mean) - expected).abs() < 4.0 * error, "{mean} for {expected}, {error}");
        }
    }
}

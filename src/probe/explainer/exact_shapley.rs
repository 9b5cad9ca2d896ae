//! Shapley values by their definition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::coalition::{Coalition, worth};
use super::partition::Grouping;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};

/// The share of each value in the score by all coalitions of the others: Shapley values, exactly.
///
/// A value that is not known is drawn from the background's rows, all of which are asked. The attributions add up to the
/// score less its mean over the background. Takes at most 15 values, or groups of values.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct ExactShapley {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    grouping: Grouping,
}

impl ExactShapley {
    /// As wanted, but that superpixels and patches are no more than can be asked.
    fn grouping(&self) -> Grouping {
        self.grouping.at_most(MOST)
    }
}

/// Groups of which all coalitions can be asked.
const MOST: usize = 15;

impl Probe for ExactShapley {
    const NAME: &'static str = "exact_shapley";
    const PAPER: &'static str = "Shapley, A Value for n-Person Games, 1953; Strumbelj and Kononenko, An Efficient Explanation of Individual Classifications using Game Theory, 2010";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "2^groups x background";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for ExactShapley {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.grouping().fits(input, MOST)
    }

    fn cost(&self, input: &Input, background: u64) -> Spent {
        let groups = self.grouping().most(input).unwrap_or(MOST).min(MOST);
        Spent { forward: background.saturating_mul(1 << groups), gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let explained = study.cases.iter().enumerate().map(|(case, own)| {
            let partition = self.grouping().of(study.input(), &own.x)?;
            let groups = partition.count;
            let known = |set: usize| -> Coalition { (0..groups).map(|i| set >> i & 1 == 1).collect() };
            let worth = worth(study, case, &partition, &(0..1usize << groups).map(known).collect::<Vec<_>>())?;
            let shares = weights(groups);
            let share = |i: usize| -> f64 {
                let without = (0..1usize << groups).filter(|set| set >> i & 1 == 0);
                without.map(|set| shares[set.count_ones() as usize] * (worth[set | 1 << i] - worth[set])).sum()
            };
            let attribution = partition.spread(&(0..groups).map(share).collect::<Vec<_>>());
            Ok(Explanation::adding_up_to(worth[(1 << groups) - 1] - worth[0], attribution))
        });
        explained.collect()
    }
}

/// How much a coalition of each size counts for a value that is not in it: s! (n - s - 1)! / n!.
#[allow(clippy::cast_precision_loss)]
fn weights(values: usize) -> Vec<f64> {
    let mut weights = vec![1.0 / values as f64];
    for size in 1..values {
        let last = weights[size - 1];
        weights.push(last * size as f64 / (values - size) as f64);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_over_all_coalitions() {
        for values in 1..=MOST {
            let (mut sum, mut coalitions) = (0.0, 1.0);
            for (size, weight) in weights(values).into_iter().enumerate() {
                sum += weight * coalitions;
                coalitions *= (values - 1 - size) as f64 / (size + 1) as f64;
            }
            assert!((sum - 1.0).abs() < 1e-12, "{values}");
        }
    }
}

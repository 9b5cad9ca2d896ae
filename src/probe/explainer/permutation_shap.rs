//! Shapley values by walking through random orders of the values.

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

/// Shapley values as the mean of what each value adds when it joins the others, over random orders and their reverses.
///
/// A value that is not known is drawn from the background's rows, all of which are asked. The attributions add up to the
/// score less its mean over the background by construction, and are exact already with one order where values act
/// together in pairs at most.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct PermutationShap {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    grouping: Grouping,
    /// Orders that are drawn; each is walked forwards and backwards.
    #[schemars(range(min = 1, max = 1000), extend("aliases" = ["npermutations", "n_samples"]))]
    permutations: u32,
}

impl Default for PermutationShap {
    fn default() -> Self {
        Self { view: View::default(), grouping: Grouping::default(), permutations: 10 }
    }
}

/// Groups beyond which an order takes too many queries to be walked.
const MOST: usize = 4096;

impl Probe for PermutationShap {
    const NAME: &'static str = "permutation_shap";
    const PAPER: &'static str = "Castro et al., Polynomial calculation of the Shapley value based on sampling, 2009; Mitchell et al., Sampling Permutations for Shapley Value Estimation, 2021 (arXiv:2104.12199)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "2 x permutations x groups x background";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for PermutationShap {
    fn view(&self) -> View {
        self.view
    }

    fn wants_background(&self, _: &Input) -> bool {
        true
    }

    fn fits(&self, input: &Input) -> Result<()> {
        self.grouping.fits(input, MOST)
    }

    fn cost(&self, input: &Input, background: u64) -> Spent {
        let groups = self.grouping.most(input).unwrap_or(MOST) as u64;
        let walked = 2 * u64::from(self.permutations) * groups.saturating_sub(1) + 2;
        Spent { forward: background.saturating_mul(walked), gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let explained = study.cases.iter().enumerate().map(|(case, own)| {
            let partition = self.grouping.of(study.input(), &own.x)?;
            let groups = partition.count;
            let (mut rng, mut sums) = (study.rng(case), vec![0.0; groups]);
            let ends = worth(study, case, &partition, &[vec![false; groups], vec![true; groups]])?;
            for _ in 0..self.permutations {
                let order = rng.order(groups);
                for order in [order.iter().rev().copied().collect(), order] {
                    let steps = [&ends[..1], &worth(study, case, &partition, &inner(&order))?, &ends[1..]].concat();
                    order.iter().zip(steps.windows(2)).for_each(|(group, step)| sums[*group] += step[1] - step[0]);
                }
            }
            sums.iter_mut().for_each(|sum| *sum /= 2.0 * f64::from(self.permutations));
            Ok(Explanation::adding_up_to(ends[1] - ends[0], partition.spread(&sums)))
        });
        explained.collect()
    }
}

/// On the way from nothing known to everything, one group after the other, all that lies between.
fn inner(order: &[usize]) -> Vec<Coalition> {
    let mut known = vec![false; order.len()];
    let joined = |group: &usize| {
        known[*group] = true;
        known.clone()
    };
    order[..order.len().saturating_sub(1)].iter().map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_join_one_after_the_other() {
        let coalitions = inner(&[2, 0, 1]);
        assert_eq!(coalitions, [[false, false, true], [true, false, true]]);
        assert!(inner(&[0]).is_empty());
    }
}

//! Shapley values by walking through random orders of the values.

use std::collections::BTreeMap;

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
            let mut rng = study.rng(case);
            let mut orders = Vec::new();
            for _ in 0..self.permutations {
                let order = rng.order(groups);
                orders.push(order.iter().rev().copied().collect::<Vec<_>>());
                orders.push(order);
            }
            // Orders share coalitions, the empty and the whole one at least.
            let mut places: BTreeMap<Coalition, usize> = BTreeMap::new();
            for known in orders.iter().flat_map(|order| walk(order)) {
                let next = places.len();
                places.entry(known).or_insert(next);
            }
            let mut coalitions = vec![Coalition::new(); places.len()];
            places.iter().for_each(|(known, place)| coalitions[*place].clone_from(known));
            let worth = worth(study, case, &partition, &coalitions)?;
            let of = |known: &Coalition| places.get(known).map_or(0.0, |place| worth[*place]);
            let mut sums = vec![0.0; groups];
            for order in &orders {
                let steps: Vec<f64> = walk(order).map(|known| of(&known)).collect();
                order.iter().zip(steps.windows(2)).for_each(|(group, step)| sums[*group] += step[1] - step[0]);
            }
            #[allow(clippy::cast_precision_loss)]
            sums.iter_mut().for_each(|sum| *sum /= orders.len() as f64);
            let whole = of(&vec![true; groups]) - of(&vec![false; groups]);
            Ok(Explanation::adding_up_to(whole, partition.spread(&sums)))
        });
        explained.collect()
    }
}

/// From nothing known to everything, one group after the other.
fn walk(order: &[usize]) -> impl Iterator<Item = Coalition> {
    (0..=order.len()).map(|count| {
        let mut known = vec![false; order.len()];
        order[..count].iter().for_each(|group| known[*group] = true);
        known
    })
}

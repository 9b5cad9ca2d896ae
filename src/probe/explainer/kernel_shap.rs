//! Shapley values by a weighted regression.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Explainer;
use super::coalition::{Coalition, some, worth};
use super::linear::solve;
use super::partition::Grouping;
use super::study::{Explanation, Study};
use super::view::View;
use crate::engine::{Input, Spent};
use crate::error::Result;
use crate::probe::{Access, Kind, Probe};
use crate::tensor::Rng;

/// Shapley values by a regression of the score on which values are known, weighted by Shapley's kernel.
///
/// Coalitions of few and of almost all values come first, all of a size while `n_samples` lasts; the others are drawn,
/// each with its complement. With as many samples as coalitions the values are exact. A value that is not known is drawn
/// from the background's rows, all of which are asked. The attributions add up to the score less its mean over the
/// background; the regression is told so. Takes at most 512 values, or groups of values.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct KernelShap {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    grouping: Grouping,
    /// Coalitions that are asked: no fewer than twice the values, and no more than there are. If left out, twice the
    /// values and 2048 more.
    #[schemars(range(min = 2, max = 65536), extend("aliases" = ["nsamples"]))]
    n_samples: Option<usize>,
}

/// Values beyond which the regression would take longer than the model.
const MOST: usize = 512;

impl KernelShap {
    fn samples(&self, values: usize) -> usize {
        self.n_samples.unwrap_or(2 * values + 2048).max(2 * values).min(all(values))
    }
}

/// Coalitions of some values and not of all.
fn all(values: usize) -> usize {
    u32::try_from(values).ok().and_then(|values| 1usize.checked_shl(values)).map_or(usize::MAX, |all| all - 2)
}

impl Probe for KernelShap {
    const NAME: &'static str = "kernel_shap";
    const PAPER: &'static str =
        "Lundberg and Lee, A Unified Approach to Interpreting Model Predictions, 2017 (arXiv:1705.07874)";
    const ACCESSES: &'static [Access] = &[Access::Score];
    const COST: &'static str = "n_samples x background";
    const KINDS: &'static [Kind] = &[Kind::Floats, Kind::Tokens];
}

impl Explainer for KernelShap {
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
        let samples = self.samples(self.grouping.most(input).unwrap_or(MOST)) as u64 + 2;
        Spent { forward: background.saturating_mul(samples), gradient: 0 }
    }

    fn explain(&self, study: &Study<'_>) -> Result<Vec<Explanation>> {
        let explained = study.cases.iter().enumerate().map(|(case, own)| {
            let partition = self.grouping.of(study.input(), &own.x)?;
            let groups = partition.count;
            let ends = worth(study, case, &partition, &[vec![false; groups], vec![true; groups]])?;
            let whole = ends[1] - ends[0];
            if groups == 1 {
                return Ok(Explanation::adding_up_to(whole, partition.spread(&[whole])));
            }
            let (drawn, weights): (Vec<_>, Vec<_>) =
                draw(groups, self.samples(groups), &mut study.rng(case)).into_iter().unzip();
            let worth = worth(study, case, &partition, &drawn)?;
            let shares = regress(&drawn, &weights, &worth, [ends[0], whole]);
            Ok(Explanation::adding_up_to(whole, partition.spread(&shares)))
        });
        explained.collect()
    }
}

/// Coalitions with their weights, of which sizes have in all what Shapley's kernel gives them, as shap's
/// `KernelExplainer` chooses them.
#[allow(clippy::cast_precision_loss)]
fn draw(values: usize, samples: usize, rng: &mut Rng) -> Vec<(Coalition, f64)> {
    let n = values as f64;
    let half = values / 2;
    // Of a size and of its complement together.
    let paired = |size: usize| if 2 * size == values { 1.0 } else { 2.0 };
    let kernel = |size: usize| paired(size) * (n - 1.0) / (size as f64 * (n - size as f64));
    let total: f64 = (1..=half).map(kernel).sum();
    let mut drawn: Vec<(Coalition, f64)> = Vec::new();
    let mut size = 1;
    while size <= half {
        let count = choose(values, size) * paired(size);
        // As many as would be drawn of the size, of what is left.
        let left = (samples - drawn.len()) as f64;
        let rest: f64 = (size..=half).map(kernel).sum();
        if count > left * kernel(size) / rest * (1.0 + 1e-8) && samples < all(values) {
            break;
        }
        let weight = kernel(size) / total / count;
        subsets(values, size, |known| {
            if paired(size) > 1.0 {
                drawn.push((known.iter().map(|k| !k).collect(), weight));
            }
            drawn.push((known.to_vec(), weight));
        });
        size += 1;
    }
    if size <= half {
        let weights: Vec<f64> = (size..=half).map(kernel).collect();
        let rest: f64 = weights.iter().sum();
        let mut places: HashMap<Coalition, usize> = HashMap::new();
        let (full, mut tries) = (drawn.len(), 0);
        while drawn.len() + 2 <= samples && tries < 4 * samples {
            tries += 1;
            let mut at = rng.uniform() * rest;
            let chosen = weights.iter().position(|weight| {
                at -= weight;
                at < 0.0
            });
            let known = some(values, size + chosen.unwrap_or(weights.len() - 1), rng);
            for known in [known.iter().map(|k| !k).collect(), known] {
                let place = *places.entry(known).or_insert_with_key(|known| {
                    drawn.push((known.clone(), 0.0));
                    drawn.len() - 1
                });
                drawn[place].1 += 1.0;
            }
        }
        let times: f64 = drawn[full..].iter().map(|(_, weight)| weight).sum();
        drawn[full..].iter_mut().for_each(|(_, weight)| *weight *= rest / total / times);
    }
    drawn
}

#[allow(clippy::cast_precision_loss)]
fn choose(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// All subsets of a size, in lexicographic order.
fn subsets(values: usize, size: usize, mut visit: impl FnMut(&[bool])) {
    let mut places: Vec<usize> = (0..size).collect();
    loop {
        let mut known = vec![false; values];
        places.iter().for_each(|place| known[*place] = true);
        visit(&known);
        let Some(i) = (0..size).rev().find(|i| places[*i] < values - size + i) else { return };
        places[i] += 1;
        for j in i + 1..size {
            places[j] = places[j - 1] + 1;
        }
    }
}

/// The shares that fit the coalitions' worth best, among those that add up to `whole`: the last one is what the others
/// leave.
fn regress(drawn: &[Coalition], weights: &[f64], worth: &[f64], [empty, whole]: [f64; 2]) -> Vec<f64> {
    let free = drawn[0].len() - 1;
    let one = |known: bool| f64::from(u8::from(known));
    let (mut matrix, mut right) = (vec![0.0; free * free], vec![0.0; free]);
    let mut row = vec![0.0; free];
    for ((known, weight), worth) in drawn.iter().zip(weights).zip(worth) {
        let last = one(known[free]);
        row.iter_mut().zip(known).for_each(|(row, known)| *row = one(*known) - last);
        let miss = worth - empty - last * whole;
        for (i, a) in row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            right[i] += weight * a * miss;
            matrix[i * free..][..free].iter_mut().zip(&row).for_each(|(m, b)| *m += weight * a * b);
        }
    }
    let mut shares = solve(matrix, right);
    shares.push(whole - shares.iter().sum::<f64>());
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A game whose Shapley values are known: weights of single values, and a pair that counts only together.
    fn game(known: &[bool]) -> f64 {
        let single: f64 = known.iter().enumerate().map(|(i, k)| f64::from(u8::from(*k)) * (i as f64 - 2.0)).sum();
        single + if known[0] && known[3] { 5.0 } else { 0.0 }
    }

    fn shares(drawn: Vec<(Coalition, f64)>, values: usize, game: &dyn Fn(&[bool]) -> f64) -> Vec<f64> {
        let (drawn, weights): (Vec<_>, Vec<_>) = drawn.into_iter().unzip();
        let worth: Vec<f64> = drawn.iter().map(|known| game(known)).collect();
        let empty = game(&vec![false; values]);
        regress(&drawn, &weights, &worth, [empty, game(&vec![true; values]) - empty])
    }

    #[test]
    fn all_coalitions_give_exact_shares() {
        for values in [4, 5, 8, 11, 15] {
            let drawn = draw(values, 1 << values, &mut Rng::new(0, "kernel_shap", "0", 0));
            assert_eq!(drawn.len(), (1 << values) - 2, "{values}");
            assert!((drawn.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
            let shares = shares(drawn, values, &game);
            for (i, share) in shares.iter().enumerate() {
                let expected = i as f64 - 2.0 + if i == 0 || i == 3 { 2.5 } else { 0.0 };
                assert!((share - expected).abs() < 1e-9, "{i} of {values}: {share}");
            }
        }
    }

    #[test]
    fn drawn_coalitions_are_near_and_exact_where_values_do_not_act_together() {
        let values = 30;
        let drawn = draw(values, 2 * values + 2048, &mut Rng::new(0, "kernel_shap", "0", 0));
        assert!(drawn.len() <= 2 * values + 2048 && drawn.len() > 2000, "{}", drawn.len());
        // Single values and pairs would take almost all: of these only the former are asked in full, and no fewer than
        // half of what is left is drawn of larger coalitions.
        let of_size =
            |size: usize| drawn.iter().filter(|(known, _)| known.iter().filter(|k| **k).count() == size).count();
        assert_eq!((of_size(1), of_size(29)), (30, 30));
        assert!(of_size(15) > 20, "{}", of_size(15));
        let linear = |known: &[bool]| known.iter().zip(0..).map(|(k, i)| f64::from(u8::from(*k)) * f64::from(i)).sum();
        let found = shares(drawn.clone(), values, &linear);
        assert!(found.iter().zip(0..).all(|(share, i)| (share - f64::from(i)).abs() < 1e-9), "{found:?}");
        let found = shares(drawn, values, &game);
        assert!((found[0] - 0.5).abs() < 0.3 && (found[7] - 5.0).abs() < 0.3, "{found:?}");
        assert!((found.iter().sum::<f64>() - game(&vec![true; values])).abs() < 1e-9);
    }
}

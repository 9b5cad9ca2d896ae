//! The search for a rule that is as wide as it is sure.

use std::collections::BTreeSet;

use super::bounds::{lower, rate, upper};
use crate::error::Result;

/// Rules that are lengthened.
const BEAM: usize = 4;
/// Draws of a new rule, and of one that is looked at more closely.
const FIRST: usize = 10;
const BATCH: usize = 100;
/// What is left of the draws over what the choice of a beam takes of it, at most.
const PART: usize = 4;
/// How unsure the choice of the beam may be, and how far below what is asked a rule's lower bound; the paper's.
const SLACK: f64 = 0.1;
const SHORT: f64 = 0.05;

/// A rule by the features that it speaks of, in their order, and how its draws went.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub(super) features: Vec<usize>,
    /// The share of the background's rows that it holds for.
    pub(super) coverage: f64,
    stayed: usize,
    drawn: usize,
}

impl Rule {
    /// The share of draws with the same answer.
    #[allow(clippy::cast_precision_loss)]
    fn mean(&self) -> f64 {
        self.stayed as f64 / self.drawn.max(1) as f64
    }

    #[allow(clippy::cast_precision_loss)]
    fn level(&self, rate: f64) -> f64 {
        rate / self.drawn.max(1) as f64
    }
}

/// Of so many draws under each of some rules, those with the same answer.
pub(super) type Draw<'a> = dyn FnMut(&[Vec<usize>], usize) -> Result<Vec<usize>> + 'a;

/// A search around one case.
pub(super) struct Beam<'a> {
    /// What is asked of a rule: the share of draws with the same answer, but for a chance of `delta`.
    pub(super) precision: f64,
    pub(super) delta: f64,
    /// Features of a rule, at most.
    pub(super) size: usize,
    /// Features that a rule can speak of.
    pub(super) features: &'a [usize],
    pub(super) coverage: &'a dyn Fn(&[usize]) -> f64,
    pub(super) draw: &'a mut Draw<'a>,
    /// Draws that are left.
    pub(super) left: usize,
}

impl Beam<'_> {
    /// The widest rule that is sure enough, or if none is the surest.
    pub(super) fn run(&mut self) -> Result<Rule> {
        let mut all = vec![Rule { coverage: 1.0, ..Rule::default() }];
        self.pull(&mut all, &[0], BATCH)?;
        if self.confirm(&mut all, 0)? {
            return Ok(all.swap_remove(0));
        }
        let (mut best, mut surest): (Option<Rule>, Rule) = (None, all[0].clone());
        for _ in 0..self.size {
            let mut rules = self.longer(&all, best.as_ref().map_or(-1.0, |best| best.coverage));
            let new: Vec<usize> = (0..rules.len()).collect();
            self.pull(&mut rules, &new, FIRST)?;
            rules.retain(|rule| rule.drawn > 0);
            let top = self.choose(&mut rules)?;
            self.pull(&mut rules, &top, BATCH)?;
            for place in &top {
                let wider = best.as_ref().is_none_or(|best| rules[*place].coverage > best.coverage);
                if self.confirm(&mut rules, *place)? && wider {
                    best = Some(rules[*place].clone());
                }
            }
            all = top.into_iter().map(|place| rules[place].clone()).collect();
            // Of a few draws a high share says little.
            for rule in all.iter().filter(|rule| rule.drawn > BATCH) {
                if rule.mean() > surest.mean() {
                    surest = rule.clone();
                }
            }
            if all.is_empty() || self.left == 0 {
                break;
            }
        }
        Ok(best.unwrap_or(surest))
    }

    /// Rules with one feature more that are wider than `coverage`.
    fn longer(&self, rules: &[Rule], coverage: f64) -> Vec<Rule> {
        let mut longer = BTreeSet::new();
        for rule in rules {
            for feature in self.features.iter().filter(|feature| !rule.features.contains(feature)) {
                let mut features = rule.features.clone();
                features.push(*feature);
                features.sort_unstable();
                longer.insert(features);
            }
        }
        let rule = |features: Vec<usize>| Rule { coverage: (self.coverage)(&features), features, ..Rule::default() };
        longer.into_iter().map(rule).filter(|rule| rule.coverage > coverage).collect()
    }

    /// The places of the rules with the highest shares, of which draws make as sure as need be (KL-LUCB), but no more than
    /// a part of what is left: rules that are alike are not worth it.
    fn choose(&mut self, rules: &mut [Rule]) -> Result<Vec<usize>> {
        let (mut round, least) = (1, self.left - self.left / PART);
        loop {
            let mut order: Vec<usize> = (0..rules.len()).collect();
            let wider = |a: &usize, b: &usize| rules[*b].coverage.total_cmp(&rules[*a].coverage);
            order.sort_by(|a, b| rules[*b].mean().total_cmp(&rules[*a].mean()).then(wider(a, b)));
            let rate = rate(rules.len(), round, self.delta);
            let (top, rest) = order.split_at(BEAM.min(order.len()));
            let low = |place: &usize| lower(rules[*place].mean(), rules[*place].level(rate));
            let high = |place: &usize| upper(rules[*place].mean(), rules[*place].level(rate));
            let weakest = top.iter().map(|place| (low(place), *place)).min_by(|a, b| a.0.total_cmp(&b.0));
            let strongest = rest.iter().map(|place| (high(place), *place)).max_by(|a, b| a.0.total_cmp(&b.0));
            let open = weakest.zip(strongest).filter(|(weak, strong)| strong.0 - weak.0 > SLACK);
            let Some(((_, weak), (_, strong))) = open.filter(|_| self.left >= least + 2 * BATCH) else {
                return Ok(top.to_vec());
            };
            self.pull(rules, &[weak, strong], BATCH)?;
            round += 1;
        }
    }

    /// Whether a rule is sure enough; draws until that is clear.
    #[allow(clippy::cast_precision_loss)]
    fn confirm(&mut self, rules: &mut [Rule], place: usize) -> Result<bool> {
        let rate = ((1.0 + (BEAM as f64 - 1.0) * self.features.len() as f64) / self.delta).ln();
        loop {
            let (mean, level) = (rules[place].mean(), rules[place].level(rate));
            let (low, high) = (lower(mean, level), upper(mean, level));
            let sure = mean >= self.precision && low > self.precision - SHORT;
            let open =
                if mean >= self.precision { !sure } else { high >= self.precision + SHORT.min(1.0 - self.precision) };
            if !open || self.left < BATCH {
                return Ok(sure);
            }
            self.pull(rules, &[place], BATCH)?;
        }
    }

    /// Draws `each` more under the rules at these places, or under the first of them while draws are left.
    fn pull(&mut self, rules: &mut [Rule], places: &[usize], each: usize) -> Result<()> {
        let places = &places[..places.len().min(self.left / each)];
        self.left -= places.len() * each;
        let asked: Vec<Vec<usize>> = places.iter().map(|place| rules[*place].features.clone()).collect();
        for (place, stayed) in places.iter().zip((self.draw)(&asked, each)?) {
            rules[*place].stayed += stayed;
            rules[*place].drawn += each;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Rng;

    /// Ten features, each of which half of the rows share; the answer stays for sure with 2 and 5 known, with a chance of
    /// 0.8 with one of them, else of 0.5. The widest rule that is sure speaks of both.
    #[test]
    fn the_widest_sure_rule_is_found() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed, "anchors", "0", 0);
            let mut draw = |rules: &[Vec<usize>], each: usize| {
                let stays = |rule: &Vec<usize>| {
                    let known = [2, 5].iter().filter(|feature| rule.contains(feature)).count();
                    (0..each).filter(|_| rng.uniform() < [0.5, 0.8, 0.99][known]).count()
                };
                Ok(rules.iter().map(stays).collect())
            };
            let coverage = |rule: &[usize]| 0.5f64.powi(rule.len() as i32);
            let features: Vec<usize> = (0..10).collect();
            let mut beam = Beam {
                precision: 0.95,
                delta: 0.05,
                size: 6,
                features: &features,
                coverage: &coverage,
                draw: &mut draw,
                left: 8000,
            };
            let found = beam.run().unwrap();
            assert_eq!((found.features, beam.left < 8000), (vec![2, 5], true), "{seed}");
        }
    }

    #[test]
    fn an_answer_that_stays_needs_no_rule_and_one_that_does_not_gets_the_surest() {
        let features = [0, 1, 2];
        let run = |share: &dyn Fn(&[usize]) -> f64| {
            let mut draw = |rules: &[Vec<usize>], each: usize| {
                Ok(rules.iter().map(|rule| (each as f64 * share(rule)) as usize).collect())
            };
            let coverage = |rule: &[usize]| 1.0 / (1.0 + rule.len() as f64);
            let mut beam = Beam {
                precision: 0.95,
                delta: 0.05,
                size: 2,
                features: &features,
                coverage: &coverage,
                draw: &mut draw,
                left: 5000,
            };
            beam.run().unwrap().features
        };
        assert_eq!(run(&|_| 1.0), [0usize; 0]);
        assert_eq!(run(&|rule| if rule.contains(&1) { 0.7 } else { 0.4 }), [1]);
    }
}

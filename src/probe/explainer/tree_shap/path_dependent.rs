//! Shapley values by the trees' own figures: where a feature is not known, a row goes both ways, as the reference rows
//! that come to the node do (Lundberg and others 2018, arXiv:1802.03888, Algorithm 2).
//!
//! A leaf's value counts the product of its features' parts: of a known one 1 where the row fits and 0 where not, of an
//! unknown one the share z of the reference rows that fit. Shapley's weight of a coalition of s of m - 1 features,
//! s! (m - 1 - s)! / m!, is the integral of t^s (1 - t)^(m - 1 - s) from 0 to 1. So the value counts for a feature
//! (known - z) times the integral of the product over the others of (known t + z (1 - t)): a polynomial, which a rule of
//! m / 2 places integrates exactly, with no difference of like numbers.

use super::super::integrated_gradients::gauss_legendre;
use super::forest::{Forest, Way, descend, places};
use crate::engine::Trees;

/// Where the reference rows go.
pub(super) struct PathDependent {
    /// The share that goes left of those that come to a node; half where none does.
    lefts: Vec<f64>,
    /// Places and weights that integrate a polynomial for as many features.
    rules: Vec<Vec<(f64, f64)>>,
}

impl PathDependent {
    pub(super) fn new(trees: &Trees, background: &[Vec<f32>]) -> Self {
        let ensemble = trees.ensemble();
        let mut counts = vec![[0u32; 2]; ensemble.nodes.len()];
        for tree in &ensemble.trees {
            for row in background {
                descend(&ensemble.nodes, tree.root, row, |node, left| counts[node as usize][usize::from(left)] += 1);
            }
        }
        let share = |[right, left]: [u32; 2]| {
            let all = f64::from(left) + f64::from(right);
            if all == 0.0 { 0.5 } else { f64::from(left) / all }
        };
        let rules = (0u32..).map(|features| gauss_legendre(features.div_ceil(2).max(1)));
        Self { lefts: counts.into_iter().map(share).collect(), rules: rules.take(trees.widest() + 1).collect() }
    }

    /// The Shapley value of each feature of `x`.
    pub(super) fn explain(&self, forest: &Forest<'_>, x: &[f32]) -> Vec<f64> {
        let (way, shares, phi) = (Way::new(x.len()), Vec::new(), vec![0.0; x.len()]);
        let mut walk = Walk { background: self, forest, x, way, shares, phi };
        forest.roots.iter().for_each(|root| walk.visit(*root, 0));
        walk.phi
    }
}

struct Walk<'a> {
    background: &'a PathDependent,
    forest: &'a Forest<'a>,
    x: &'a [f32],
    way: Way,
    /// Of each feature on the way: the share of the reference rows that fit.
    shares: Vec<f64>,
    phi: Vec<f64>,
}

impl Walk<'_> {
    /// The leaves below a node; `lacks` are the features where the row does not fit. It calls itself no deeper than the
    /// trees are, which [`Trees`] bounds.
    fn visit(&mut self, at: u32, lacks: u64) {
        let node = self.forest.nodes[at as usize];
        if node.is_leaf(at) {
            self.count(self.forest.values[at as usize], lacks);
            return;
        }
        let feature = node.feature as usize;
        let (place, fresh) = self.way.enter(feature);
        if fresh {
            self.shares.push(1.0);
        }
        let goes_left = node.goes_left(f64::from(self.x[feature]));
        let (before, share) = (self.shares[place], self.background.lefts[at as usize]);
        for left in [true, false] {
            let own = lacks | u64::from(goes_left != left) << place;
            self.shares[place] = before * if left { share } else { 1.0 - share };
            // What neither the row nor a reference row fits counts nothing.
            if self.shares[place] > 0.0 || own >> place & 1 == 0 {
                self.visit(node.child(left), own);
            }
        }
        self.shares[place] = before;
        if fresh {
            self.shares.pop();
            self.way.leave();
        }
    }

    /// What a leaf's value counts for the features on its way.
    fn count(&mut self, value: f64, lacks: u64) {
        let fits = self.way.all() & !lacks;
        let mut against = 0.0;
        for (t, weight) in &self.background.rules[self.shares.len()] {
            let rest = 1.0 - t;
            let all = value * weight * places(lacks).map(|i| self.shares[i] * rest).product::<f64>();
            let all = all * places(fits).map(|i| t + self.shares[i] * rest).product::<f64>();
            for i in places(fits) {
                self.phi[self.way.features[i]] += all * (1.0 - self.shares[i]) / (t + self.shares[i] * rest);
            }
            against += all / rest;
        }
        places(lacks).for_each(|place| self.phi[self.way.features[place]] -= against);
    }
}

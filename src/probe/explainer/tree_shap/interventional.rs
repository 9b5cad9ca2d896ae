//! Shapley values against reference rows: unknown features are those of a reference row, whatever the known ones are.
//!
//! For a row and one reference row, a leaf is reached by some coalitions of the row's features: it asks for p features
//! that only the row answers as the leaf wants, for q that only the reference row does, and for others that both do or
//! neither (then no coalition comes to it). By Shapley's formula the leaf's value counts (p - 1)! q! / (p + q)! for each
//! of the p, and -p! (q - 1)! / (p + q)! for each of the q (Lundberg and others 2020, "Interventional Tree SHAP"). All
//! reference rows go down a tree side by side, and one stays behind where neither it nor the row fits.

use std::ops::Range;

use super::forest::{Forest, Way, places};
use crate::engine::{Node, Trees};

/// Reference rows.
pub(super) struct Interventional {
    /// The rows' features: all of the first, all of the second...
    columns: Vec<f32>,
    rows: usize,
    weights: Weights,
}

impl Interventional {
    pub(super) fn new(trees: &Trees, background: &[Vec<f32>]) -> Self {
        let width = background.first().map_or(0, Vec::len);
        let columns = (0..width).flat_map(|feature| background.iter().map(move |row| row[feature])).collect();
        Self { columns, rows: background.len(), weights: Weights::new(trees.widest()) }
    }

    /// The Shapley value of each feature of `x`: the mean over the reference rows.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn explain(&self, forest: &Forest<'_>, x: &[f32]) -> Vec<f64> {
        let (way, mates, phi) = (Way::new(x.len()), Vec::new(), vec![0.0; x.len()]);
        let mut walk = Walk { background: self, forest, x, way, mates, phi };
        for root in &forest.roots {
            walk.mates.clear();
            walk.mates.extend((0..self.rows).map(|row| Mate { row, lacks: 0 }));
            walk.visit(*root, 0, 0);
        }
        walk.phi.iter().map(|phi| phi / self.rows as f64).collect()
    }
}

/// A reference row on the row's way, and the features on it that do not fit: the row's would.
#[derive(Clone, Copy)]
struct Mate {
    row: usize,
    lacks: u64,
}

struct Walk<'a> {
    background: &'a Interventional,
    forest: &'a Forest<'a>,
    x: &'a [f32],
    way: Way,
    /// One list after the other, of the nodes from the root to the one that is visited.
    mates: Vec<Mate>,
    phi: Vec<f64>,
}

impl Walk<'_> {
    /// The leaves below a node, whose mates stand from `first` on; `lacks` are the features where the row does not fit.
    /// It calls itself no deeper than the trees are, which [`Trees`] bounds.
    fn visit(&mut self, at: u32, first: usize, lacks: u64) {
        let node = self.forest.nodes[at as usize];
        if node.is_leaf(at) {
            self.count(self.forest.values[at as usize], first, lacks);
            return;
        }
        let feature = node.feature as usize;
        let (place, fresh) = self.way.enter(feature);
        let goes_left = node.goes_left(f64::from(self.x[feature]));
        for left in [true, false] {
            let own = lacks | u64::from(goes_left != left) << place;
            let next = self.mates.len();
            self.follow(&node, left, first..next, own, place);
            if self.mates.len() > next {
                self.visit(node.child(left), next, own);
                self.mates.truncate(next);
            }
        }
        if fresh {
            self.way.leave();
        }
    }

    /// Lists the mates that are still on the way at a node's child.
    fn follow(&mut self, node: &Node, left: bool, mates: Range<usize>, own: u64, place: usize) {
        let column = &self.background.columns[node.feature as usize * self.background.rows..][..self.background.rows];
        for i in mates {
            let Mate { row, lacks } = self.mates[i];
            let lacks = lacks | u64::from(node.goes_left(f64::from(column[row])) != left) << place;
            if lacks & own == 0 {
                self.mates.push(Mate { row, lacks });
            }
        }
    }

    /// What a leaf's value counts for the features on its way.
    fn count(&mut self, value: f64, first: usize, lacks: u64) {
        let size = |set: u64| set.count_ones() as usize;
        let mut against = 0.0;
        for mate in &self.mates[first..] {
            let weight = value * self.background.weights.of(size(mate.lacks), size(lacks));
            places(mate.lacks).for_each(|place| self.phi[self.way.features[place]] += weight);
            against += self.background.weights.of(size(lacks), size(mate.lacks));
        }
        places(lacks).for_each(|place| self.phi[self.way.features[place]] -= value * against);
    }
}

/// (p - 1)! q! / (p + q)! by p, then by q; 0 where p is.
struct Weights {
    values: Vec<f64>,
    side: usize,
}

impl Weights {
    /// For ways of up to `most` features.
    #[allow(clippy::cast_precision_loss)]
    fn new(most: usize) -> Self {
        let side = most + 1;
        let weight = |p: usize, q: usize| {
            let beside = (1..=q).map(|i| i as f64 / (p + i) as f64).product::<f64>();
            if p == 0 { 0.0 } else { beside / p as f64 }
        };
        Self { values: (0..side * side).map(|i| weight(i / side, i % side)).collect(), side }
    }

    fn of(&self, p: usize, q: usize) -> f64 {
        self.values[p * self.side + q]
    }
}

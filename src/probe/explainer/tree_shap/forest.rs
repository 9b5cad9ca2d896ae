//! Trees with one number a leaf, and the features on a way down.

use crate::engine::{Node, Trees};

/// A tree ensemble as a function of a row: the sum of the leaves that it comes to, one of each tree.
pub(super) struct Forest<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) roots: Vec<u32>,
    /// What a leaf adds, by node.
    pub(super) values: Vec<f64>,
}

impl<'a> Forest<'a> {
    /// The function that gives the score of a class, but for what does not depend on the row.
    pub(super) fn of(trees: &'a Trees, class: usize) -> Self {
        let (ensemble, (target, factor)) = (trees.ensemble(), trees.score(class));
        let value = |node: u32| -> f64 {
            let own = ensemble.leaf(node).iter().filter(|weight| weight.target == target);
            own.map(|weight| factor * weight.value).sum()
        };
        let roots = ensemble.trees.iter().map(|tree| tree.root).collect();
        let values = (0u32..).zip(&ensemble.nodes).map(|(node, _)| value(node)).collect();
        Self { nodes: &ensemble.nodes, roots, values }
    }

    /// The value of a row, all of whose features are known.
    pub(super) fn value(&self, x: &[f32]) -> f64 {
        self.roots.iter().map(|root| self.values[descend(self.nodes, *root, x, |_, _| ()) as usize]).sum()
    }
}

/// The leaf that a row comes to; `visit` sees the inner nodes on its way, and whether it goes left there.
pub(super) fn descend(nodes: &[Node], root: u32, x: &[f32], mut visit: impl FnMut(u32, bool)) -> u32 {
    let mut at = root;
    loop {
        let node = &nodes[at as usize];
        if node.is_leaf(at) {
            return at;
        }
        let left = node.goes_left(f64::from(x[node.feature as usize]));
        visit(at, left);
        at = node.child(left);
    }
}

/// The features that the way down to a node has asked about, each once: a set of them is a number of as many bits.
pub(super) struct Way {
    /// By feature: its place on the way, or [`ABSENT`].
    places: Vec<u8>,
    pub(super) features: Vec<usize>,
}

/// A place that no feature has: there are at most 64, see [`Trees`].
const ABSENT: u8 = u8::MAX;

impl Way {
    /// The way to a root, in rows of `features` values.
    pub(super) fn new(features: usize) -> Self {
        Self { places: vec![ABSENT; features], features: Vec::new() }
    }

    /// The place of a feature, and whether it was not asked about before: then the way has to [`Self::leave`] it.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn enter(&mut self, feature: usize) -> (usize, bool) {
        let fresh = self.places[feature] == ABSENT;
        if fresh {
            self.places[feature] = self.features.len() as u8;
            self.features.push(feature);
        }
        (usize::from(self.places[feature]), fresh)
    }

    /// The set of all of them.
    pub(super) fn all(&self) -> u64 {
        self.features.iter().fold(0, |all, _| all << 1 | 1)
    }

    /// Forgets the feature that was entered last.
    pub(super) fn leave(&mut self) {
        if let Some(feature) = self.features.pop() {
            self.places[feature] = ABSENT;
        }
    }
}

/// The places of a set, in their order.
pub(super) fn places(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < u64::BITS).then_some(place as usize)
    })
}

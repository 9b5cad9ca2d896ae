//! A tree ensemble as plain data, whatever operator it came in; checked once, trusted after.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{bail, ensure};
use tract_onnx::tract_hir::internal::{TractResult, anyhow};

/// Rows that go down a tree side by side.
const LANES: usize = 8;

/// Most targets or classes: a row of scores is made for each.
const TARGETS_MAX: usize = 1 << 16;

/// Trees as flat arrays. A row goes left at a node where [`Node::goes_left`] says so, until it stands on a leaf.
#[derive(Debug)]
pub(crate) struct Ensemble {
    pub(crate) trees: Vec<Tree>,
    /// The nodes of all trees. Nodes may share children (exporters write a set of values so), but never in a circle.
    pub(crate) nodes: Vec<Node>,
    /// For node `i` the weights `starts[i]..starts[i + 1]`; empty for inner nodes.
    pub(crate) starts: Vec<u32>,
    pub(crate) weights: Vec<Weight>,
    /// Values that come out of the trees.
    pub(crate) targets: usize,
    /// Features that a row must have.
    pub(crate) features: usize,
}

/// One tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    /// Its first node.
    pub(crate) root: u32,
    /// Steps from the root to the deepest leaf.
    pub(crate) depth: u32,
}

/// An ensemble whose trees are added up.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub(crate) ensemble: Arc<Ensemble>,
    /// What a leaf's weight counts: 1, or one tree's share of a mean.
    pub(crate) factor: f64,
    /// The target whose value stands for both of two classes, for the second one as it is.
    pub(crate) folded: Option<u32>,
}

/// A node; a leaf is its own child on both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) threshold: f64,
    pub(crate) feature: u32,
    pub(crate) left: u32,
    pub(crate) right: u32,
    /// Left only where the value equals the threshold.
    pub(crate) equal: bool,
    /// Where NaN goes.
    pub(crate) nan_left: bool,
}

/// What a leaf adds to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) target: u32,
    pub(crate) value: f64,
}

impl Node {
    /// x <= threshold (or = threshold), without a branch.
    #[allow(clippy::float_cmp)]
    pub(crate) fn goes_left(&self, x: f64) -> bool {
        let ordered = (x <= self.threshold) & (!self.equal | (x == self.threshold));
        ordered | (self.nan_left & x.is_nan())
    }

    /// Whether the node, which stands at `own`, is a leaf.
    pub(crate) fn is_leaf(&self, own: u32) -> bool {
        self.left == own && self.right == own
    }

    pub(crate) fn child(&self, left: bool) -> u32 {
        if left { self.left } else { self.right }
    }
}

impl Ensemble {
    /// The weights of a leaf.
    pub(crate) fn leaf(&self, node: u32) -> &[Weight] {
        let node = node as usize;
        &self.weights[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// For every tree, the leaf of each of `rows` (of `width` >= [`Self::features`] values).
    pub(crate) fn leaves(&self, rows: &[f64], width: usize, mut each: impl FnMut(usize, &[Weight])) {
        let count = rows.len() / width.max(1);
        for tree in &self.trees {
            for first in (0..count).step_by(LANES) {
                // A short last group repeats its last row.
                let lane = |k: usize| &rows[(first + k).min(count - 1) * width..][..width];
                let lanes: [&[f64]; LANES] = std::array::from_fn(lane);
                let mut at = [tree.root; LANES];
                for _ in 0..tree.depth {
                    let before = at;
                    for (at, row) in at.iter_mut().zip(lanes) {
                        let node = &self.nodes[*at as usize];
                        let left = node.goes_left(row[node.feature as usize]);
                        *at = if left { node.left } else { node.right };
                    }
                    if at == before {
                        break;
                    }
                }
                for (k, leaf) in at.into_iter().enumerate().take(count - first) {
                    each(first + k, self.leaf(leaf));
                }
            }
        }
    }
}

/// How ONNX compares a value with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// A node as a file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) feature: i64,
    pub(super) threshold: f64,
    /// `None` is a leaf.
    pub(super) split: Option<Split>,
}

/// Where a row goes from an inner node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub(super) mode: Mode,
    pub(super) yes: usize,
    pub(super) no: usize,
    /// NaN takes the true branch.
    pub(super) nan_yes: bool,
}

impl Raw {
    /// In terms of "left where x <= threshold". For doubles x < t is x <= the next lower double, and float32 and the
    /// integers that they hold are doubles.
    fn node(&self, own: usize) -> TractResult<Node> {
        let index = |i: usize| u32::try_from(i).map_err(|_| anyhow!("the tree ensemble has too many nodes"));
        let Some(Split { mode, yes, no, nan_yes }) = self.split else {
            let own = index(own)?;
            return Ok(Node { threshold: 0.0, feature: 0, left: own, right: own, equal: false, nan_left: false });
        };
        ensure!(!self.threshold.is_nan(), "a tree ensemble has a threshold that is not a number");
        let swapped = matches!(mode, Mode::Gte | Mode::Gt | Mode::Neq);
        let threshold = if matches!(mode, Mode::Lt | Mode::Gte) { self.threshold.next_down() } else { self.threshold };
        let (left, right) = if swapped { (no, yes) } else { (yes, no) };
        // NaN fails every comparison but "not equal", and takes the true branch where the file says so.
        let nan_yes = nan_yes || mode == Mode::Neq;
        Ok(Node {
            threshold,
            feature: u32::try_from(self.feature).map_err(|_| anyhow!("{} is not a feature", self.feature))?,
            left: index(left)?,
            right: index(right)?,
            equal: matches!(mode, Mode::Eq | Mode::Neq),
            nan_left: nan_yes != swapped,
        })
    }
}

/// Puts an ensemble together. `weights` stand in the file's order as (node, target, value). Children out of range,
/// circles, targets out of range and features beyond 2^31 are refused.
pub(super) fn build(
    raw: &[Raw],
    roots: &[usize],
    weights: &[(usize, i64, f64)],
    targets: usize,
) -> TractResult<Ensemble> {
    let some = (1..=TARGETS_MAX).contains(&targets) && !roots.is_empty();
    ensure!(some, "a tree ensemble has {targets} targets and {} trees", roots.len());
    let inside = |i: &usize| *i < raw.len();
    let children = raw.iter().filter_map(|r| r.split).flat_map(|s| [s.yes, s.no]);
    ensure!(roots.iter().copied().chain(children).all(|i| inside(&i)), "a tree ensemble has a child out of range");
    let nodes = raw.iter().enumerate().map(|(i, r)| r.node(i)).collect::<TractResult<Vec<_>>>()?;
    let depths = depths(&nodes)?;
    let trees = roots.iter().map(|&r| Tree { root: nodes_index(r), depth: depths[r] }).collect();
    let inner = raw.iter().filter(|r| r.split.is_some());
    let features = inner.map(|r| r.feature).max().map_or(0, |f| f.unsigned_abs() + 1);
    let mut of_node: Vec<Vec<Weight>> = vec![Vec::new(); raw.len()];
    for &(node, target, value) in weights {
        let target = u32::try_from(target).ok().filter(|t| (*t as usize) < targets);
        let target = target.ok_or_else(|| anyhow!("a tree ensemble adds to a target beyond its {targets}"))?;
        ensure!(inside(&node), "a tree ensemble has a weight at a node out of range");
        // What stands at an inner node is never reached.
        if raw[node].split.is_none() {
            of_node[node].push(Weight { target, value });
        }
    }
    let mut starts = vec![0];
    for own in &of_node {
        starts.push(starts[starts.len() - 1] + nodes_index(own.len()));
    }
    let weights = of_node.concat();
    let features = usize::try_from(features)?;
    Ok(Ensemble { trees, nodes, starts, weights, targets, features })
}

/// Indices fit: every node and weight took more than four bytes of a file below 4 GiB.
#[allow(clippy::cast_possible_truncation)]
fn nodes_index(i: usize) -> u32 {
    i as u32
}

/// Steps from every node to its deepest leaf; a circle is refused.
fn depths(nodes: &[Node]) -> TractResult<Vec<u32>> {
    const OPEN: u32 = u32::MAX;
    const UNSEEN: u32 = u32::MAX - 1;
    let mut depths = vec![UNSEEN; nodes.len()];
    for start in 0..nodes.len() {
        let mut stack = vec![start];
        while let Some(&i) = stack.last() {
            let node = &nodes[i];
            let children = [node.left as usize, node.right as usize];
            match depths[i] {
                UNSEEN if children == [i, i] => depths[i] = 0,
                UNSEEN => {
                    depths[i] = OPEN;
                    for child in children {
                        if depths[child] == OPEN {
                            bail!("a tree ensemble has a circle at node {child}");
                        }
                        if depths[child] == UNSEEN {
                            stack.push(child);
                        }
                    }
                    continue;
                }
                OPEN => depths[i] = 1 + children.into_iter().map(|c| depths[c]).max().unwrap_or(0),
                _ => {}
            }
            stack.pop();
        }
    }
    Ok(depths)
}

/// Index of each (tree, node) of a file; a node that stands twice is refused.
pub(super) fn index(trees: &[i64], nodes: &[i64]) -> TractResult<HashMap<(i64, i64), usize>> {
    let mut index = HashMap::with_capacity(nodes.len());
    for (i, key) in trees.iter().copied().zip(nodes.iter().copied()).enumerate() {
        ensure!(index.insert(key, i).is_none(), "node {} of tree {} stands twice", key.1, key.0);
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Raw {
        Raw { feature: 0, threshold: 0.0, split: None }
    }

    fn inner(mode: Mode, threshold: f64, yes: usize, no: usize) -> Raw {
        Raw { feature: 1, threshold, split: Some(Split { mode, yes, no, nan_yes: false }) }
    }

    /// The sum of the leaves for one row.
    fn sum(ensemble: &Ensemble, row: &[f64]) -> f64 {
        let mut sum = 0.0;
        ensemble.leaves(row, row.len(), |_, weights| sum += weights.iter().map(|w| w.value).sum::<f64>());
        sum
    }

    #[test]
    fn every_comparison_has_its_edge_and_its_way_for_nan() {
        // For x below, at and above the threshold and NaN: whether the true branch is taken.
        for (mode, expected) in [
            (Mode::Leq, [1.0, 1.0, 0.0, 0.0]),
            (Mode::Lt, [1.0, 0.0, 0.0, 0.0]),
            (Mode::Gte, [0.0, 1.0, 1.0, 0.0]),
            (Mode::Gt, [0.0, 0.0, 1.0, 0.0]),
            (Mode::Eq, [0.0, 1.0, 0.0, 0.0]),
            (Mode::Neq, [1.0, 0.0, 1.0, 1.0]),
        ] {
            for missing in [false, true] {
                let mut root = inner(mode, 0.5, 1, 2);
                root.split = root.split.map(|s| Split { nan_yes: missing, ..s });
                let ensemble = build(&[root, leaf(), leaf()], &[0], &[(1, 0, 1.0)], 1).unwrap();
                let found = [0.5f64.next_down(), 0.5, 0.5f64.next_up(), f64::NAN].map(|x| sum(&ensemble, &[9.0, x]));
                let nan = if missing { 1.0 } else { expected[3] };
                assert_eq!(found, [expected[0], expected[1], expected[2], nan], "{mode:?} {missing}");
            }
        }
    }

    #[test]
    fn shared_children_are_trees_and_circles_are_not() {
        // Two equalities with one true branch: a set of values.
        let set = [inner(Mode::Eq, 1.0, 2, 1), inner(Mode::Eq, 3.0, 2, 3), leaf(), leaf()];
        let ensemble = build(&set, &[0], &[(2, 0, 1.0)], 1).unwrap();
        assert_eq!([1.0, 2.0, 3.0].map(|x| sum(&ensemble, &[0.0, x])), [1.0, 0.0, 1.0]);
        assert_eq!((ensemble.trees[0].depth, ensemble.features), (2, 2));
        let circle = [inner(Mode::Leq, 0.0, 1, 2), inner(Mode::Leq, 1.0, 0, 2), leaf()];
        assert!(build(&circle, &[0], &[], 1).unwrap_err().to_string().contains("circle"));
        assert!(build(&[inner(Mode::Leq, 0.0, 0, 1), leaf()], &[0], &[], 1).is_err());
    }

    #[test]
    fn what_points_outside_is_refused() {
        let good = [inner(Mode::Leq, 0.0, 1, 2), leaf(), leaf()];
        assert!(build(&good, &[0], &[(1, 0, 1.0)], 1).is_ok());
        assert!(build(&good, &[3], &[], 1).is_err());
        assert!(build(&good, &[0], &[(3, 0, 1.0)], 1).is_err());
        assert!(build(&good, &[0], &[(1, 1, 1.0)], 1).is_err());
        assert!(build(&good, &[0], &[(1, -1, 1.0)], 1).is_err());
        assert!(build(&good, &[0], &[], usize::MAX).is_err());
        assert!(build(&[inner(Mode::Leq, 0.0, 1, 9), leaf()], &[0], &[], 1).is_err());
        let negative = Raw { feature: -1, ..good[0] };
        assert!(build(&[negative, leaf(), leaf()], &[0], &[], 1).is_err());
        assert!(index(&[0, 0], &[1, 1]).is_err());
    }

    #[test]
    fn a_chain_as_long_as_a_file_allows_does_not_overflow_the_stack() {
        let count = 200_000;
        let chain: Vec<Raw> =
            (0..count).map(|i| if i + 2 < count { inner(Mode::Leq, 0.0, i + 1, count - 1) } else { leaf() }).collect();
        let ensemble = build(&chain, &[0], &[(count - 1, 0, 1.0)], 1).unwrap();
        assert_eq!(sum(&ensemble, &[0.0, 1.0]), 1.0);
    }
}

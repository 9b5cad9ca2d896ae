//! Tree ensembles as the files have them.

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::ensemble::{Ensemble, Mode, Raw, Split, build, index};
use super::node::{floats, ints, strings};

/// A list attribute of numbers, as floats or as a tensor (v3).
pub(super) fn numbers(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Vec<f64>> {
    match node.get_attr_opt::<&TensorProto>(&format!("{name}_as_tensor"))? {
        Some(proto) => tensor(context, proto),
        None => Ok(floats(node, name)?.into_iter().map(f64::from).collect()),
    }
}

fn tensor(context: &ParsingContext, proto: &TensorProto) -> TractResult<Vec<f64>> {
    let tensor = context.load_tensor(proto)?;
    Ok(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}

/// The ensemble of v1 and v3, whose nodes are named by tree and number; weights are `class_...` or `target_...`.
pub(super) fn listed(context: &ParsingContext, node: &NodeProto, kind: &str, targets: usize) -> TractResult<Ensemble> {
    let list = |name: &str| ints(node, &format!("nodes_{name}"));
    let (trees, ids, features) = (list("treeids")?, list("nodeids")?, list("featureids")?);
    let (yes, no, nan_yes) = (list("truenodeids")?, list("falsenodeids")?, list("missing_value_tracks_true")?);
    let (modes, thresholds) = (strings(node, "nodes_modes")?, numbers(context, node, "nodes_values")?);
    let count = ids.len();
    let lengths = [trees.len(), features.len(), yes.len(), no.len(), modes.len(), thresholds.len()];
    ensure!(count > 0 && lengths.iter().all(|l| *l == count), "{count} nodes with {lengths:?} figures were found");
    let of = index(&trees, &ids)?;
    let find = |tree: i64, id: i64| {
        of.get(&(tree, id)).copied().with_context(|| format!("{}: tree {tree} has no node {id}", node.op_type))
    };
    let raw = (0..count).map(|i| {
        let mode = match modes[i].as_str() {
            "LEAF" => None,
            "BRANCH_LEQ" => Some(Mode::Leq),
            "BRANCH_LT" => Some(Mode::Lt),
            "BRANCH_GTE" => Some(Mode::Gte),
            "BRANCH_GT" => Some(Mode::Gt),
            "BRANCH_EQ" => Some(Mode::Eq),
            "BRANCH_NEQ" => Some(Mode::Neq),
            other => bail!("{}: the node mode {other} is not known", node.op_type),
        };
        let nan_yes = nan_yes.get(i).is_some_and(|v| *v == 1);
        let split = mode.map(|mode| {
            Ok::<_, TractError>(Split { mode, yes: find(trees[i], yes[i])?, no: find(trees[i], no[i])?, nan_yes })
        });
        Ok(Raw { feature: features[i], threshold: thresholds[i], split: split.transpose()? })
    });
    let raw = raw.collect::<TractResult<Vec<_>>>()?;
    // The root of a tree is the first of its nodes in the file.
    let roots: Vec<usize> = (0..count).filter(|&i| i == 0 || trees[i] != trees[i - 1]).collect();
    let list = |name: &str| ints(node, &format!("{kind}_{name}"));
    let (trees, ids, to) = (list("treeids")?, list("nodeids")?, list("ids")?);
    let values = numbers(context, node, &format!("{kind}_weights"))?;
    let lengths = [trees.len(), ids.len(), to.len()];
    ensure!(lengths.iter().all(|l| *l == values.len()), "{} weights with {lengths:?} places", values.len());
    let weights = (0..values.len()).map(|i| Ok((find(trees[i], ids[i])?, to[i], values[i])));
    build(&raw, &roots, &weights.collect::<TractResult<Vec<_>>>()?, targets)
}

/// The ensemble of v5: children by index, leaves apart, sets of values as `BRANCH_MEMBER`.
pub(super) fn indexed(context: &ParsingContext, node: &NodeProto, targets: usize) -> TractResult<Ensemble> {
    let load = |name: &str| match node.get_attr_opt::<&TensorProto>(name)? {
        Some(proto) => tensor(context, proto),
        None => Ok(Vec::new()),
    };
    let (modes, splits, members) = (load("nodes_modes")?, load("nodes_splits")?, load("membership_values")?);
    let (features, nan) = (ints(node, "nodes_featureids")?, ints(node, "nodes_missing_value_tracks_true")?);
    let (yes, no) = (ints(node, "nodes_truenodeids")?, ints(node, "nodes_falsenodeids")?);
    let (yes_leaf, no_leaf) = (ints(node, "nodes_trueleafs")?, ints(node, "nodes_falseleafs")?);
    let (to, values, roots) = (ints(node, "leaf_targetids")?, load("leaf_weights")?, ints(node, "tree_roots")?);
    let (count, leaves) = (features.len(), to.len());
    let lengths = [yes.len(), no.len(), yes_leaf.len(), no_leaf.len(), modes.len(), splits.len()];
    ensure!(lengths.iter().all(|l| *l == count), "TreeEnsemble: {count} nodes with {lengths:?} figures");
    ensure!(leaves == values.len(), "TreeEnsemble: {leaves} leaves with {} weights", values.len());
    // First the inner nodes, then the leaves, then what sets of values add.
    let place = |id: i64, leaf: i64| {
        let (offset, length) = if leaf == 0 { (0, count) } else { (count, leaves) };
        let id = usize::try_from(id).ok().filter(|id| *id < length);
        id.map(|id| offset + id).context("TreeEnsemble: a child is out of range")
    };
    let mut sets = members.split(|m| m.is_nan());
    let (mut raw, mut added) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (mode, set) = mode(modes[i], &mut sets)?;
        let nan_yes = nan.get(i).is_some_and(|v| *v == 1);
        let split = Split { mode, yes: place(yes[i], yes_leaf[i])?, no: place(no[i], no_leaf[i])?, nan_yes };
        let link = |threshold: f64, split: Split| Raw { feature: features[i], threshold, split: Some(split) };
        let [first, rest @ ..] = set else {
            raw.push(link(splits[i], split));
            continue;
        };
        // A chain of equalities with one true branch; each but the last goes on to the next.
        let next = |k: usize| if k == rest.len() { split.no } else { count + leaves + added.len() + k };
        let chain: Vec<Raw> = (1..=rest.len()).map(|k| link(rest[k - 1], Split { no: next(k), ..split })).collect();
        raw.push(link(*first, Split { no: next(0), ..split }));
        added.extend(chain);
    }
    raw.extend((0..leaves).map(|_| Raw { feature: 0, threshold: 0.0, split: None }));
    raw.extend(added);
    let roots = roots.iter().map(|&r| place(r, 0)).collect::<TractResult<Vec<_>>>()?;
    let weights: Vec<_> = to.iter().zip(&values).enumerate().map(|(i, (to, v))| (count + i, *to, *v)).collect();
    build(&raw, &roots, &weights, targets)
}

/// v5's number of a mode; `BRANCH_MEMBER` takes the next set of values, the others have none.
#[allow(clippy::cast_possible_truncation)]
fn mode<'a>(code: f64, sets: &mut impl Iterator<Item = &'a [f64]>) -> TractResult<(Mode, &'a [f64])> {
    let none: &[f64] = &[];
    Ok(match code as i64 {
        0 => (Mode::Leq, none),
        1 => (Mode::Lt, none),
        2 => (Mode::Gte, none),
        3 => (Mode::Gt, none),
        4 => (Mode::Eq, none),
        5 => (Mode::Neq, none),
        6 => {
            let set = sets.next().filter(|set| !set.is_empty());
            (Mode::Eq, set.context("TreeEnsemble: a set of values is missing")?)
        }
        other => bail!("TreeEnsemble: the node mode {other} is not known"),
    })
}

//! What an audit looks at: which number of the model, and which features.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Panel, Table};
use crate::engine::{Input, Output, OutputKind};
use crate::error::{Error, Result};
use crate::probe::explainer::{Names, Scale, View, feature};

/// Which number of the model is looked at.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Response {
    /// The class whose score is looked at. If left out, the second of two; a model that gives a value has one score alone.
    target: Option<usize>,
    /// The score: `logit`, or `probability`. If left out, what the model itself gives.
    output: Option<Scale>,
}

impl Response {
    /// The class, of such an output.
    pub(super) fn class(&self, output: &Output) -> Result<usize> {
        let refuse = |message: String| Err(Error::invalid("params.target", message));
        match (self.target, output.kind, output.size) {
            (None, OutputKind::Value, _) if self.output.is_none() => Ok(0),
            (_, OutputKind::Value, _) => refuse("the model gives a value and no classes".to_owned()),
            (Some(class), _, size) if class >= size => {
                refuse(format!("class {class} was found, the model has classes 0 to {}", size.saturating_sub(1)))
            }
            (Some(class), ..) => Ok(class),
            (None, _, 0..=2) => Ok(output.size.saturating_sub(1)),
            (None, _, size) => refuse(format!("the model has {size} classes; say which is looked at")),
        }
    }

    /// The class stands in the cases.
    pub(super) fn view(&self) -> View {
        View::new(self.output)
    }
}

/// Features by name or number, those that belong together with `join` between them; each alone if nothing is said. At
/// most so many together.
pub(super) fn choices(names: Option<&Names>, join: char, most: usize, input: &Input) -> Result<Vec<Vec<usize>>> {
    let Some(names) = names else { return Ok((0..input.len()).map(|i| vec![i]).collect()) };
    let one = |word: &str| -> Result<Vec<usize>> {
        let places = word.split(join).map(|name| feature(name, input)).collect::<Result<Vec<_>>>()?;
        let twice = || (1..places.len()).any(|i| places[..i].contains(&places[i]));
        if places.len() > most || twice() {
            let message = format!("`{word}` was found, at most {most} different features are looked at together");
            return Err(Error::invalid("", message));
        }
        Ok(places)
    };
    let mut known = BTreeSet::new();
    let fresh = |word: &str| -> Result<Vec<usize>> {
        let places = one(word)?;
        if known.insert(places.clone()) {
            Ok(places)
        } else {
            Err(Error::invalid("", format!("`{word}` stands twice")))
        }
    };
    let chosen = names.text().split_whitespace().map(fresh).collect::<Result<Vec<_>>>();
    let chosen = chosen.map_err(|e| e.under("params.features"))?;
    if chosen.is_empty() {
        return Err(Error::invalid("params.features", "no feature is named; leave it out for all"));
    }
    Ok(chosen)
}

/// Names of features that are looked at together.
pub(super) fn name(features: &[usize], join: char, input: &Input) -> String {
    features.iter().map(|i| input.feature(*i)).collect::<Vec<_>>().join(&join.to_string())
}

/// [`choices`] as panels without grids.
pub(super) fn panels(names: Option<&Names>, join: char, most: usize, input: &Input) -> Result<Vec<Panel>> {
    let panel = |features: Vec<usize>| Panel { name: name(&features, join, input), features, axes: Vec::new() };
    Ok(choices(names, join, most, input)?.into_iter().map(panel).collect())
}

/// The quantile of sorted values as SciPy's `mquantiles` takes it by default (alpha and beta 0.4), which scikit-learn's
/// grids begin and end with.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn mquantile(sorted: &[f64], p: f64) -> f64 {
    let n = sorted.len();
    if n < 2 {
        return sorted.first().copied().unwrap_or(f64::NAN);
    }
    let place = n as f64 * p + 0.4 + 0.2 * p;
    let low = place.clamp(1.0, n as f64 - 1.0).floor();
    let beyond = (place - low).clamp(0.0, 1.0);
    let at = low as usize;
    (1.0 - beyond) * sorted[at - 1] + beyond * sorted[at]
}

/// Refuses a table that says nothing.
pub(super) fn rows(table: &Table, least: usize) -> Result<()> {
    if table.len() >= least {
        return Ok(());
    }
    Err(Error::invalid("", format!("{} rows could be read, at least {least} were expected", table.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_scipy() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        // scipy.stats.mstats.mquantiles(range(1, 11), [0.05, 0.5, 0.95, 0.25]).
        for (p, scipy) in [(0.05, 1.0), (0.5, 5.5), (0.95, 10.0), (0.25, 2.95)] {
            assert!((mquantile(&sorted, p) - scipy).abs() < 1e-12, "{p}: {}", mquantile(&sorted, p));
        }
        assert_eq!(mquantile(&[3.0], 0.5), 3.0);
    }
}

//! Whether an answer rests on features that it should not rest on. Costs no queries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::partition::{Names, feature};
use super::{Given, Marks};
use crate::engine::{Input, Layout};
use crate::error::{Error, Result};

/// Features that an answer should not rest on.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Protected(Names);

impl Protected {
    /// Whether each value of a case is of such a feature, of a row or of the steps of a sequence.
    pub(super) fn places(&self, input: &Input) -> Result<Vec<bool>> {
        let refuse = |what: String| Error::invalid("params.protected", what);
        let width = match (input.layout, input.shape.as_slice()) {
            (Layout::Nf, &[width]) | (Layout::Ntf, &[_, width]) => width,
            _ => return Err(refuse("rows and sequences have features; the input is neither".to_owned())),
        };
        let mut protected = vec![false; width];
        for name in self.0.text().split_whitespace() {
            let place = feature(name, input).map_err(|e| e.under("params.protected"))?;
            *protected.get_mut(place).ok_or_else(|| refuse(format!("{place} was found, there are {width}")))? = true;
        }
        if !protected.contains(&true) {
            return Err(refuse("names no feature".to_owned()));
        }
        Ok((0..input.len()).map(|i| protected[i % width]).collect())
    }

    /// The share of all attribution, whichever way it points, that these features have.
    pub(super) fn share(&self, given: &Given<'_>) -> Result<Marks> {
        let protected = self.places(given.study.input())?;
        let share = |attribution: &[f32]| {
            let sizes = || attribution.iter().map(|a| f64::from(a.abs())).zip(&protected);
            let all: f64 = sizes().map(|(size, _)| size).sum();
            let own: f64 = sizes().filter(|(_, protected)| **protected).map(|(size, _)| size).sum();
            (all > 0.0).then(|| own / all)
        };
        Ok(given.explanations.iter().map(|explanation| share(&explanation.attribution)).collect())
    }
}

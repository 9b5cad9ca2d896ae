//! What is kept of each case where a figure needs it: curves, corruption errors, comparison.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::Verdict;
use crate::metric::{METRICS, Paired};

/// Measures to keep by point, which is named by its own SPEC.
pub type Wanted = BTreeMap<String, BTreeSet<&'static str>>;

/// Outcomes, and a few measures, by point and case: a byte a case, and eight for each measure.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// `None` keeps everything that can be compared.
    wanted: Option<Wanted>,
    columns: BTreeMap<String, Column>,
}

/// One point's cases.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// How many points came before it.
    rank: usize,
    /// 0 unknown, 1 held, 2 broken, 3 not judged.
    outcomes: Vec<u8>,
    /// Whether its cases were attacked.
    attacked: bool,
    measures: BTreeMap<&'static str, Vec<f64>>,
}

impl Sheet {
    /// Keeps what is wanted.
    pub fn of(wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), columns: BTreeMap::new() }
    }

    /// Takes in a verdict on case number `case` at the point of this SPEC.
    pub fn add(&mut self, point: &str, case: usize, verdict: &Verdict) {
        let kept: Vec<&'static str> = match &self.wanted {
            None => METRICS.iter().filter_map(measure).collect(),
            Some(wanted) => match wanted.get(point) {
                Some(measures) => measures.iter().copied().collect(),
                None => return,
            },
        };
        if !self.columns.contains_key(point) {
            let column = Column { rank: self.columns.len(), ..Column::default() };
            self.columns.insert(point.to_owned(), column);
        }
        if let Some(column) = self.columns.get_mut(point) {
            column.add(case, verdict, &kept);
        }
    }

    /// Whether anything is known of the point.
    pub fn has(&self, point: &str) -> bool {
        self.columns.contains_key(point)
    }

    pub(super) fn column(&self, point: &str) -> Option<&Column> {
        self.columns.get(point)
    }

    /// Points by their SPECs, in the order in which they came.
    pub(super) fn points(&self) -> Vec<(&str, &Column)> {
        let mut points: Vec<_> = self.columns.iter().map(|(point, column)| (point.as_str(), column)).collect();
        points.sort_by_key(|(_, column)| column.rank);
        points
    }
}

/// The measure that a metric is compared by.
fn measure(known: &crate::metric::Known) -> Option<&'static str> {
    match known.paired {
        Some(Paired::Flag(name) | Paired::Measure(name)) => Some(name),
        Some(Paired::Held) | None => None,
    }
}

impl Column {
    fn add(&mut self, case: usize, verdict: &Verdict, kept: &[&'static str]) {
        if self.outcomes.len() <= case {
            self.outcomes.resize(case + 1, 0);
        }
        self.outcomes[case] = match verdict.held() {
            Some(true) => 1,
            Some(false) => 2,
            None => 3,
        };
        self.attacked |= verdict.is_attacked();
        for name in kept {
            let Some(value) = verdict.measures.get(*name) else { continue };
            let values = self.measures.entry(name).or_default();
            if values.len() <= case {
                values.resize(case + 1, f64::NAN);
            }
            values[case] = *value;
        }
    }

    /// What the share that held is called.
    pub(super) fn accuracy(&self) -> &'static str {
        if self.attacked { "robust_accuracy" } else { "accuracy" }
    }

    /// One more than the last case.
    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether there is any word on this case.
    pub(super) fn knows(&self, case: usize) -> bool {
        self.outcomes.get(case).is_some_and(|outcome| *outcome > 0)
    }

    /// Whether the case held; `None` if it was not judged.
    pub(super) fn held(&self, case: usize) -> Option<bool> {
        match self.outcomes.get(case) {
            Some(1) => Some(true),
            Some(2) => Some(false),
            _ => None,
        }
    }

    /// The value by which a metric is compared: 1 for held, or a measure.
    pub(super) fn value(&self, by: Paired, case: usize) -> Option<f64> {
        match by {
            Paired::Held => self.held(case).map(|held| f64::from(u8::from(held))),
            Paired::Flag(name) | Paired::Measure(name) => {
                self.measures.get(name).and_then(|values| values.get(case)).copied().filter(|v| !v.is_nan())
            }
        }
    }
}

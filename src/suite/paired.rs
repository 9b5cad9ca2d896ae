//! Two jobs on the same cases, point by point.

use serde::Serialize;

use super::sheet::Column;
use crate::metric::{Figure, Moments, Paired, difference};

/// How many cases two jobs have right at a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Four {
    pub both: u64,
    pub only_a: u64,
    pub only_b: u64,
    pub neither: u64,
}

impl Four {
    /// Counts the cases that both have judged.
    pub(super) fn count(by: Paired, a: &Column, b: &Column) -> Self {
        let mut four = Self::default();
        for case in 0..a.len().min(b.len()) {
            let (Some(a), Some(b)) = (a.value(by, case), b.value(by, case)) else { continue };
            match (a > 0.5, b > 0.5) {
                (true, true) => four.both += 1,
                (true, false) => four.only_a += 1,
                (false, true) => four.only_b += 1,
                (false, false) => four.neither += 1,
            }
        }
        four
    }

    /// Share right of B less that of A.
    pub(super) fn difference(self) -> Option<Figure> {
        difference(self.both, self.only_a, self.only_b, self.neither)
    }
}

/// A case's mean over the points that have a value for it; `None` if none has.
#[allow(clippy::cast_precision_loss)]
pub(super) fn mean(by: Paired, columns: &[&Column], case: usize) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0);
    for value in columns.iter().filter_map(|column| column.value(by, case)) {
        sum += value;
        n += 1;
    }
    (n > 0).then(|| sum / f64::from(n))
}

/// Differences B - A of what each case has, over cases that both have at all points.
pub(super) fn differences(by: Paired, a: &[&Column], b: &[&Column]) -> Moments {
    let mut moments = Moments::default();
    let cases = a.iter().chain(b).map(|column| column.len()).min().unwrap_or(0);
    for case in (0..cases).filter(|case| a.iter().chain(b).all(|column| column.value(by, *case).is_some())) {
        if let (Some(a), Some(b)) = (mean(by, a, case), mean(by, b, case)) {
            moments.add(b - a);
        }
    }
    moments
}

/// The mean of B less that of A, over cases that both have. Newcombe's interval for shares at one point, Student's on
/// the differences of cases otherwise. `None` without such cases.
pub(super) fn change(by: Paired, a: &[&Column], b: &[&Column]) -> Option<Figure> {
    match (by, a, b) {
        (Paired::Held | Paired::Flag(_), [a], [b]) => Four::count(by, a, b).difference(),
        _ => Some(differences(by, a, b)).filter(|m| m.n() > 0).map(|m| m.figure()),
    }
}

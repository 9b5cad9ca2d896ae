//! Findings: what a report says beyond its figures.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::check::Check;
use super::slices::Slicer;
use super::tally::{Part, Tally};
use crate::metric::{holm, less_often, mean_above};

/// Adjusted p below which a slice is called weak.
const ALPHA: f64 = 0.05;

/// A statement about a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of statement, such as `weak_slice`.
    pub kind: &'static str,
    /// The check's SPEC.
    pub check: String,
    /// A sentence with the figures.
    pub message: String,
    pub details: Map<String, Value>,
}

/// A slice at a point against the rest of the suite.
struct Contest {
    point: usize,
    slice: usize,
    p: f64,
    adjusted: f64,
}

/// Slices that are significantly worse than the rest of the suite, `weak_slice`: by a one-sided test (Fisher's exact,
/// or z for many cases; for values Welch's on absolute errors), adjusted by Holm for all slices and points of the
/// check. Of a slice that is weak at several points, the clearest is named.
pub(super) fn weak_slices(check: &Check, points: &[(Tally, Vec<Part>)], slices: &Slicer) -> Vec<Finding> {
    let mut contests = Vec::new();
    for (point, (tally, parts)) in points.iter().enumerate() {
        for (slice, part) in parts.iter().enumerate() {
            contests.extend(against_rest(part, &tally.all).map(|p| Contest { point, slice, p, adjusted: 1.0 }));
        }
    }
    let adjusted = holm(&contests.iter().map(|c| c.p).collect::<Vec<_>>());
    contests.iter_mut().zip(adjusted).for_each(|(contest, p)| contest.adjusted = p);
    contests.retain(|contest| contest.adjusted < ALPHA);
    contests.sort_by(|a, b| a.slice.cmp(&b.slice).then(a.p.total_cmp(&b.p)).then(a.point.cmp(&b.point)));
    contests.dedup_by_key(|contest| contest.slice);
    contests.sort_by(|a, b| a.p.total_cmp(&b.p));
    let names = slices.names();
    contests.iter().map(|contest| describe(check, points, contest, &names[contest.slice])).collect()
}

/// One-sided p that the part is no worse than the rest; `None` where there is nothing to compare.
fn against_rest(part: &Part, all: &Part) -> Option<f64> {
    let (judged, rest) = (part.judged, all.judged - part.judged);
    if judged > 0 && rest > 0 {
        return Some(less_often((part.held, judged), (all.held - part.held, rest)));
    }
    let (part, all) = (part.values.absolute(), all.values.absolute());
    (part.n() > 1 && all.n() > part.n() + 1).then(|| mean_above(part, &all.without(part)))
}

#[allow(clippy::cast_precision_loss)]
fn describe(check: &Check, points: &[(Tally, Vec<Part>)], contest: &Contest, slice: &str) -> Finding {
    let (all, part) = (&points[contest.point].0.all, &points[contest.point].1[contest.slice]);
    let point = check.canonical(contest.point);
    let (metric, value, rest, n) = if part.judged > 0 {
        let rest = (all.held - part.held) as f64 / (all.judged - part.judged) as f64;
        ("accuracy", part.held as f64 / part.judged as f64, rest, part.judged)
    } else {
        let (part, all) = (part.values.absolute(), all.values.absolute());
        ("mae", part.mean(), all.without(part).mean(), part.n())
    };
    let adjusted = contest.adjusted;
    let details = json!({
        "slice": slice, "metric": metric, "value": value, "rest": rest, "n": n, "point": point,
        "p": contest.p, "p_adjusted": adjusted,
    });
    Finding {
        kind: "weak_slice",
        check: check.spec.clone(),
        message: format!(
            "{slice} is worse than the rest: {metric} {value:.4} against {rest:.4} at {point} (n = {n}, adjusted p = \
             {adjusted:.2e})"
        ),
        details: details.as_object().cloned().unwrap_or_default(),
    }
}

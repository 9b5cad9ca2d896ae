//! Two jobs on the same cases: a pure fold over two sets of verdicts.

use serde::Serialize;

use super::paired::{Four, change, differences, mean};
use super::sheet::{Column, Sheet};
use super::{explain, spec};
use crate::metric::{Better, Figure, Known, Level, METRICS, Moments, Paired, holm, mcnemar};
use crate::probe::manual;

/// Adjusted p below which a difference is called one.
const ALPHA: f64 = 0.05;

/// What B has that A has not, and the other way round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By point, then by metric.
    pub rows: Vec<Row>,
    /// Points at which a case is right for one job only.
    pub flips: Vec<Flips>,
    /// Points that only one job has.
    pub points_only_a: Vec<String>,
    pub points_only_b: Vec<String>,
    pub cases: Overlap,
}

/// Cases of two jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overlap {
    pub both: usize,
    pub only_a: usize,
    pub only_b: usize,
}

/// One metric at one point, over the cases that have it in both jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub point: String,
    pub metric: &'static str,
    pub a: f64,
    pub b: f64,
    /// B - A with its 95 % interval: Newcombe's for rates, Student's for means.
    pub difference: f64,
    pub low: f64,
    pub high: f64,
    pub n: u64,
    /// For rates: how many cases are right in both, in one, in none.
    #[serde(flatten)]
    pub four: Option<Four>,
    /// Two-sided: McNemar's exact test for rates, the paired t test for means.
    pub p: f64,
    /// Adjusted by Holm for all rows.
    pub p_adjusted: f64,
    /// `better`, `worse`, or `same` where the difference is not significant.
    pub b_is: &'static str,
}

/// Cases by their numbers that one job has right and the other has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flips {
    pub point: String,
    /// Right in A, not in B.
    pub broken: Vec<usize>,
    /// Right in B, not in A.
    pub repaired: Vec<usize>,
}

impl Comparison {
    /// Whether B is significantly worse anywhere.
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.b_is == "worse")
    }
}

/// Compares B with A. A case has the same number in both sheets.
pub fn compare(a: &Sheet, b: &Sheet) -> Comparison {
    let common: Vec<(&str, &Column, &Column)> =
        a.points().into_iter().filter_map(|(point, column)| Some((point, column, b.column(point)?))).collect();
    let mut rows = Vec::new();
    let mut flips = Vec::new();
    for (point, a, b) in &common {
        let family = family(point);
        // What is of several points has the same measures as each of them. What explains is neither right nor wrong.
        let fits = |known: &Known| match family {
            "audit" => false,
            "explainer" => explain::has(known.name),
            _ => known.paired != Some(Paired::Held) || known.name == a.accuracy(),
        };
        let metrics = METRICS.iter().filter(|known| known.level == Level::Point && fits(known));
        rows.extend(metrics.filter_map(|known| row(point, known, a, b)));
        let judged = !matches!(family, "explainer" | "audit");
        flips.extend(judged.then(|| flipped(point, a, b)).filter(|f| !f.broken.is_empty() || !f.repaired.is_empty()));
    }
    let adjusted = holm(&rows.iter().map(|(row, _)| row.p).collect::<Vec<_>>());
    let judge = |((mut row, better), p_adjusted): ((Row, Better), f64)| {
        let rises = row.difference > 0.0;
        row.p_adjusted = p_adjusted;
        row.b_is = match (p_adjusted < ALPHA, rises == (better == Better::Higher)) {
            (false, _) => "same",
            (true, true) => "better",
            (true, false) => "worse",
        };
        row
    };
    let missing = |of: &Sheet, from: &Sheet| {
        let points = of.points().into_iter().filter(|(point, _)| from.column(point).is_none());
        points.map(|(point, _)| point.to_owned()).collect()
    };
    Comparison {
        rows: rows.into_iter().zip(adjusted).map(judge).collect(),
        flips,
        points_only_a: missing(a, b),
        points_only_b: missing(b, a),
        cases: overlap(a, b),
    }
}

/// The family of the probe of a point.
fn family(point: &str) -> &'static str {
    spec::read(point).ok().and_then(|(name, _)| manual(&name)).map_or("", |manual| manual.family)
}

/// A metric at a point; `None` if no case has it in both jobs.
fn row(point: &str, known: &'static Known, a: &Column, b: &Column) -> Option<(Row, Better)> {
    let by = known.paired?;
    let Figure { value, low, high, n, .. } = change(by, &[a], &[b])?;
    let (four, p) = match by {
        Paired::Held | Paired::Flag(_) => {
            let four = Four::count(by, a, b);
            (Some(four), mcnemar(four.only_a, four.only_b).exact)
        }
        Paired::Measure(_) => (None, differences(by, &[a], &[b]).p_zero()),
    };
    // Means over the cases that both have, whose difference is exactly what is tested.
    let mut own = Moments::default();
    (0..a.len()).filter(|case| b.value(by, *case).is_some()).for_each(|case| {
        mean(by, &[a], case).into_iter().for_each(|value| own.add(value));
    });
    let (a, point) = (own.mean(), point.to_owned());
    let row = Row {
        point,
        metric: known.name,
        a,
        b: a + value,
        difference: value,
        low,
        high,
        n,
        four,
        p,
        p_adjusted: 1.0,
        b_is: "same",
    };
    Some((row, known.better))
}

fn flipped(point: &str, a: &Column, b: &Column) -> Flips {
    let cases = 0..a.len().min(b.len());
    let those = |was, is| cases.clone().filter(|c| a.held(*c) == Some(was) && b.held(*c) == Some(is)).collect();
    Flips { point: point.to_owned(), broken: those(true, false), repaired: those(false, true) }
}

fn overlap(a: &Sheet, b: &Sheet) -> Overlap {
    let knows = |sheet: &Sheet, case| sheet.points().iter().any(|(_, column)| column.knows(case));
    let most = |sheet: &Sheet| sheet.points().iter().map(|(_, column)| column.len()).max().unwrap_or(0);
    let mut overlap = Overlap::default();
    for case in 0..most(a).max(most(b)) {
        match (knows(a, case), knows(b, case)) {
            (true, true) => overlap.both += 1,
            (true, false) => overlap.only_a += 1,
            (false, true) => overlap.only_b += 1,
            (false, false) => {}
        }
    }
    overlap
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Outcome, Verdict};

    /// `right` cases of `n` at `clean`, with a nll that grows by `more`.
    fn sheet(n: usize, broken: std::ops::Range<usize>, more: f64) -> Sheet {
        let mut sheet = Sheet::default();
        for case in 0..n {
            let mut verdict = Verdict::blank("", 0, 0, 0);
            verdict.outcome = if broken.contains(&case) { Outcome::Broken } else { Outcome::Held };
            verdict.measures.insert("nll".to_owned(), (case % 7) as f64 + more * (1.0 + (case % 3) as f64));
            sheet.add("clean", case, &verdict);
        }
        sheet
    }

    #[test]
    fn flips_and_differences_are_found() {
        let comparison = compare(&sheet(100, 0..10, 0.0), &sheet(120, 5..40, 0.5));
        let [accuracy, nll] = &comparison.rows[..] else { panic!("{comparison:?}") };
        let four = accuracy.four.unwrap();
        assert_eq!((four.both, four.only_a, four.only_b, four.neither), (60, 30, 5, 5));
        assert_eq!((accuracy.a, accuracy.n, accuracy.b_is), (0.9, 100, "worse"));
        assert!((accuracy.difference + 0.25).abs() < 1e-12 && accuracy.high < 0.0);
        assert_eq!((nll.metric, nll.b_is), ("nll", "worse"));
        assert!((nll.difference - 0.995).abs() < 1e-12, "{nll:?}");
        assert_eq!(comparison.flips[0].repaired, [0, 1, 2, 3, 4]);
        assert_eq!(comparison.flips[0].broken.len(), 30);
        assert_eq!(comparison.cases, Overlap { both: 100, only_a: 0, only_b: 20 });
        assert!(comparison.is_worse());
    }

    #[test]
    fn explanations_are_compared_by_their_measures_alone() {
        let sheet = |right: bool, infidelity: f64| {
            let mut sheet = Sheet::default();
            for (point, case) in
                ["occlusion", "global_shap"].into_iter().flat_map(|p| (0..9).map(move |case| (p, case)))
            {
                let mut verdict = Verdict::blank("", 0, 0, 0);
                verdict.outcome = if right { Outcome::Held } else { Outcome::Broken };
                verdict.measures = [("infidelity", infidelity), ("nll", 1.0)].map(|(m, v)| (m.to_owned(), v)).into();
                sheet.add(point, case, &verdict);
            }
            sheet
        };
        let Comparison { rows, flips, .. } = compare(&sheet(true, 1.0), &sheet(false, 2.0));
        let rows: Vec<_> = rows.iter().map(|row| (row.point.as_str(), row.metric, row.difference)).collect();
        assert_eq!((rows, flips.len()), (vec![("occlusion", "infidelity", 1.0)], 0));
    }

    #[test]
    fn a_job_against_itself_is_the_same_everywhere() {
        let comparison = compare(&sheet(50, 3..9, 0.0), &sheet(50, 3..9, 0.0));
        assert!(comparison.rows.iter().all(|row| row.b_is == "same" && row.p == 1.0 && row.difference == 0.0));
        assert!(comparison.flips.is_empty() && !comparison.is_worse());
    }

    #[test]
    fn what_is_not_common_is_named() {
        let mut more = sheet(5, 0..1, 0.0);
        more.add("fog:severity=1", 0, &Verdict::blank("", 0, 0, 0));
        let comparison = compare(&more, &sheet(5, 0..1, 0.0));
        assert_eq!(comparison.points_only_a, ["fog:severity=1"]);
        assert!(comparison.points_only_b.is_empty());
    }
}

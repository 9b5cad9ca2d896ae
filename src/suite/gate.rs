//! Gates: conditions on metrics, decided by confidence intervals.

use serde::Serialize;

use super::check::Check;
use super::report::{CheckReport, Metric};
use crate::error::{Error, Result, nearest};

/// Metrics that a gate can name so far, of single points and of whole checks.
const POINT_METRICS: [&str; 3] = ["accuracy", "top5_accuracy", "mae"];
const CURVE_METRICS: [&str; 1] = ["mean_accuracy"];

/// `check.metric >= number` or `<=`, with the policy for an inconclusive outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// As given.
    pub text: String,
    check: usize,
    /// `None` stands for the whole curve of a check with several points.
    point: Option<usize>,
    metric: String,
    at_least: bool,
    threshold: f64,
    or_inconclusive: bool,
}

/// By the metric's interval: passed if all of it is on the right side, failed if none of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum GateOutcome {
    Pass,
    Fail,
    Inconclusive,
}

/// What became of a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateReport {
    pub gate: String,
    pub outcome: GateOutcome,
    /// Whether it lets a release through, by its own policy.
    pub passed: bool,
    pub metric: Option<Metric>,
    /// A sentence with the figures.
    pub message: String,
}

impl Gate {
    /// Reads `text` against the checks of its job. Errors name what was found and the nearest known name.
    pub fn parse(text: &str, checks: &[Check]) -> Result<Self> {
        let (body, or_inconclusive) = match text.trim().strip_suffix("or inconclusive") {
            Some(body) => (body.trim_end(), true),
            None => (text.trim(), false),
        };
        let sides = body.split_once(">=").map(|s| (s, true)).or_else(|| body.split_once("<=").map(|s| (s, false)));
        let Some(((left, right), at_least)) = sides else {
            return Err(Error::invalid(
                "",
                format!("`{text}` was found, `check.metric >= number` or `<=` was expected"),
            ));
        };
        let threshold = right.trim().parse::<f64>().ok().filter(|t| t.is_finite());
        let Some(threshold) = threshold else {
            return Err(Error::invalid("", format!("`{}` was found, a number was expected", right.trim())));
        };
        let Some((name, metric)) = left.trim().rsplit_once('.') else {
            return Err(Error::invalid("", format!("`{}` was found, `check.metric` was expected", left.trim())));
        };
        let (check, point) = locate(name, checks)?;
        let point = which(metric, &checks[check], point)?;
        let metric = metric.to_owned();
        Ok(Self { text: text.to_owned(), check, point, metric, at_least, threshold, or_inconclusive })
    }

    /// Decides the gate on a report's entries.
    pub fn decide(&self, entries: &[CheckReport]) -> GateReport {
        let entry = entries.iter().find(|e| e.check_index == self.check && e.point == self.point);
        let metric = entry.and_then(|e| e.metrics.iter().find(|m| m.name == self.metric && m.slice.is_empty()));
        let sign = if self.at_least { ">=" } else { "<=" };
        let (outcome, message) = match metric {
            Some(m) if m.n > 0 => {
                let (clears, misses) = if self.at_least {
                    (m.low >= self.threshold, m.high < self.threshold)
                } else {
                    (m.high <= self.threshold, m.low > self.threshold)
                };
                let outcome = match (clears, misses) {
                    (true, _) => GateOutcome::Pass,
                    (_, true) => GateOutcome::Fail,
                    _ => GateOutcome::Inconclusive,
                };
                let figures = format!("{:.4} [{:.4}, {:.4}], n = {}", m.value, m.low, m.high, m.n);
                (outcome, format!("{figures}; {sign} {} was asked", self.threshold))
            }
            _ => (GateOutcome::Inconclusive, "no case has been judged for this metric".to_owned()),
        };
        let passed = outcome == GateOutcome::Pass || (self.or_inconclusive && outcome == GateOutcome::Inconclusive);
        GateReport { gate: self.text.clone(), outcome, passed, metric: metric.cloned(), message }
    }
}

/// The check (and point) that a gate names: by SPEC, by a point's own SPEC, or by a name that is unique.
fn locate(name: &str, checks: &[Check]) -> Result<(usize, Option<usize>)> {
    if let Some(check) = checks.iter().position(|c| c.spec == name) {
        return Ok((check, None));
    }
    for (i, check) in checks.iter().enumerate() {
        if let Some(point) = (0..check.len()).find(|p| check.len() > 1 && check.canonical(*p) == name) {
            return Ok((i, Some(point)));
        }
    }
    let named: Vec<usize> = (0..checks.len()).filter(|i| checks[*i].manual.name == name).collect();
    match named.as_slice() {
        [one] => Ok((*one, None)),
        [] => {
            let hint = nearest(name, checks.iter().flat_map(|c| [c.spec.as_str(), c.manual.name]));
            let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
            Err(Error::invalid("", format!("the job has no check `{name}`{hint}")))
        }
        several => {
            let specs: Vec<&str> = several.iter().map(|i| checks[*i].spec.as_str()).collect();
            Err(Error::invalid("", format!("`{name}` could be {}; write the whole SPEC", specs.join(" or "))))
        }
    }
}

/// The entry of the report that holds a metric.
fn which(metric: &str, check: &Check, point: Option<usize>) -> Result<Option<usize>> {
    let curve = check.len() > 1;
    if CURVE_METRICS.contains(&metric) {
        return match (curve, point) {
            (true, None) => Ok(None),
            _ => Err(Error::invalid(
                "",
                format!("`{metric}` stands for several points; `accuracy` is the one point's metric"),
            )),
        };
    }
    if POINT_METRICS.contains(&metric) {
        return match (curve, point) {
            (true, None) => {
                let advice = format!("name one such as `{}`, or ask for `mean_accuracy`", check.canonical(0));
                Err(Error::invalid("", format!("`{}` has {} points; {advice}", check.spec, check.len())))
            }
            _ => Ok(Some(point.unwrap_or(0))),
        };
    }
    let hint = nearest(metric, POINT_METRICS.into_iter().chain(CURVE_METRICS));
    let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
    Err(Error::invalid("", format!("there is no metric `{metric}`{hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::rate;

    fn checks() -> Vec<Check> {
        ["clean", "gaussian_noise", "jpeg_compression:severity=2"].map(|s| Check::parse(s).unwrap()).into()
    }

    fn outcome(gate: &str, count: u64, n: u64) -> (GateOutcome, bool) {
        let entry = CheckReport::point(&checks(), 0, 0, vec![Metric::rate("accuracy", rate(count, n))]);
        let report = Gate::parse(gate, &checks()).unwrap().decide(&[entry]);
        (report.outcome, report.passed)
    }

    #[test]
    fn the_interval_decides() {
        assert_eq!(outcome("clean.accuracy >= 0.8", 900, 1000), (GateOutcome::Pass, true));
        assert_eq!(outcome("clean.accuracy >= 0.95", 900, 1000), (GateOutcome::Fail, false));
        assert_eq!(outcome("clean.accuracy >= 0.9", 900, 1000), (GateOutcome::Inconclusive, false));
        assert_eq!(outcome("clean.accuracy >= 0.9 or inconclusive", 900, 1000), (GateOutcome::Inconclusive, true));
        assert_eq!(outcome("clean.accuracy <= 0.95", 900, 1000), (GateOutcome::Pass, true));
        assert_eq!(outcome("clean.accuracy >= 0.5", 0, 0), (GateOutcome::Inconclusive, false));
    }

    #[test]
    fn names_are_found_and_mistakes_hinted_at() {
        for good in [
            "gaussian_noise.mean_accuracy >= 0",
            "gaussian_noise:severity=3.accuracy >= 0",
            "jpeg_compression.accuracy <= 1",
        ] {
            Gate::parse(good, &checks()).unwrap();
        }
        for (gate, expect) in [
            ("gaussian_noise.accuracy >= 0.5", "mean_accuracy"),
            ("claen.accuracy >= 0.5", "did you mean clean?"),
            ("clean.acuracy >= 0.5", "did you mean accuracy?"),
            ("clean.accuracy > 0.5", "`check.metric >= number`"),
            ("clean.accuracy >= much", "a number was expected"),
            ("clean.mean_accuracy >= 0.5", "several points"),
        ] {
            let error = Gate::parse(gate, &checks()).unwrap_err().to_string();
            assert!(error.contains(expect), "{gate}: {error}");
        }
    }
}

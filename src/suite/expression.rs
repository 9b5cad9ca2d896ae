//! The text form of a gate: `check.metric >= number`, `check.metric[tag=value] <= number`, `mce <= number`, or against
//! another job `check.metric >= baseline - number`; `or inconclusive` behind it lets an open outcome pass.

use super::check::Check;
use super::explain;
use super::gate::Gate;
use super::report::{Place, place};
use crate::error::{Error, Result, nearest};
use crate::metric::{Known, Level, METRICS, known};

/// What a metric is held against.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bound {
    Number(f64),
    /// The baseline's metric and so much more.
    Baseline(f64),
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::invalid("", message))
}

/// Reads a gate against the checks of its job.
pub(super) fn parse(text: &str, checks: &[Check]) -> Result<Gate> {
    let (body, or_inconclusive) = match text.trim().strip_suffix("or inconclusive") {
        Some(body) => (body.trim_end(), true),
        None => (text.trim(), false),
    };
    // The last sign counts: a slice's value may hold one, a number does not.
    let at = body.rfind(">=").max(body.rfind("<="));
    let Some(at) = at else {
        return refuse(format!("`{text}` was found, `check.metric >= number` or `<=` was expected"));
    };
    let (left, at_least) = (body[..at].trim(), body[at..].starts_with('>'));
    let bound = bound(body[at + 2..].trim())?;
    let (name, metric, slice) = sides(left)?;
    let metric = metric_of(metric)?;
    if !slice.is_empty() && !matches!(metric.level, Level::Point | Level::Class | Level::Feature) {
        return refuse(format!("`{}` has no slices", metric.name));
    }
    if metric.level == Level::Class && !slice.starts_with("class=") {
        let advice = format!("write `{}[class=NAME]`, or `{}_macro`", metric.name, metric.name);
        return refuse(format!("`{}` is of one class; {advice}", metric.name));
    }
    if metric.level == Level::Feature && !slice.starts_with("feature=") {
        return refuse(format!("`{0}` is of one feature; write `{0}[feature=NAME]`", metric.name));
    }
    let (place, points) = find(name, metric, checks)?;
    if matches!(bound, Bound::Baseline(_)) {
        comparable(metric, slice)?;
    }
    let (text, slice) = (text.to_owned(), slice.to_owned());
    Ok(Gate { text, place, points, metric, slice, at_least, bound, or_inconclusive })
}

/// `number`, `baseline`, `baseline + number` or `baseline - number`.
fn bound(text: &str) -> Result<Bound> {
    let number = |text: &str| match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => refuse(format!("`{}` was found, a number was expected", text.trim())),
    };
    let Some(rest) = text.strip_prefix("baseline") else { return number(text).map(Bound::Number) };
    let offset = match rest.trim_start().split_at_checked(1) {
        None => 0.0,
        Some(("+", rest)) => number(rest)?,
        Some(("-", rest)) => -number(rest)?,
        Some(_) => return refuse(format!("`{text}` was found, `baseline - number` or `+` was expected")),
    };
    Ok(Bound::Baseline(offset))
}

/// Check, metric and slice of `check.metric[slice]`. A check's parameters may hold dots and brackets too: the slice
/// begins at the first bracket that follows a dot and a word.
fn sides(left: &str) -> Result<(&str, &str, &str)> {
    let word = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains([':', '=', '[', ',']);
    let mut brackets = left.match_indices('[').map(|(at, _)| at);
    let open = brackets.find(|at| left.ends_with(']') && left[..*at].rsplit_once('.').is_some_and(|(_, m)| word(m)));
    let (path, slice) = open.map_or((left, ""), |at| (&left[..at], &left[at + 1..left.len() - 1]));
    match path.rsplit_once('.') {
        Some((check, metric)) => Ok((check, metric, slice)),
        None if known(path).is_some_and(|k| k.level == Level::Job) => Ok(("all", path, slice)),
        None => refuse(format!("`{left}` was found, `check.metric` was expected")),
    }
}

fn metric_of(name: &str) -> Result<&'static Known> {
    known(name).ok_or_else(|| {
        let hint = nearest(name, METRICS.iter().map(|m| m.name));
        let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
        Error::invalid("", format!("there is no metric `{name}`{hint}"))
    })
}

/// Refuses what has no value for each case.
fn comparable(metric: &Known, slice: &str) -> Result<()> {
    if !slice.is_empty() {
        return refuse("a slice is not compared with a baseline; leave out either".to_owned());
    }
    if metric.paired.is_none() {
        let names: Vec<&str> = METRICS.iter().filter(|m| m.paired.is_some()).map(|m| m.name).collect();
        let message = format!("`{}` is not a mean over cases, so it has no paired difference", metric.name);
        return refuse(format!("{message}; these have: {}", names.join(", ")));
    }
    Ok(())
}

/// The entry of the report that holds the metric, and the points behind it.
fn find(name: &str, metric: &Known, checks: &[Check]) -> Result<(Place, Vec<String>)> {
    if metric.level == Level::Job {
        return match name {
            "all" => Ok((Place::Job, Vec::new())),
            _ => refuse(format!("`{}` is of the whole job: write `{} <= number`", metric.name, metric.name)),
        };
    }
    let (at, point) = locate(name, checks)?;
    let check = &checks[at];
    decidable(metric, check)?;
    let all = || (0..check.len()).map(|p| check.canonical(p).to_owned()).collect();
    match (metric.level, point, check.len()) {
        (Level::Curve, None, 2..) => Ok((place(metric.level, at, check.len()), all())),
        (Level::Curve, ..) => {
            refuse(format!("`{}` stands for several points; `accuracy` is the one point's metric", metric.name))
        }
        (Level::Corruption, None, points) if super::corruption_error::applies(check) => {
            Ok((place(metric.level, at, points), all()))
        }
        (Level::Corruption, ..) => refuse(format!("`{}` is of a whole corruption, `{name}` is none", metric.name)),
        (_, None, 2..) => {
            let advice = format!("name one such as `{}`, or ask for `mean_accuracy`", check.canonical(0));
            refuse(format!("`{}` has {} points; {advice}", check.spec, check.len()))
        }
        (_, point, _) => {
            let point = point.unwrap_or(0);
            Ok((Place::Point(at, point), vec![check.canonical(point).to_owned()]))
        }
    }
}

/// Refuses a metric that no report of such a check has.
fn decidable(metric: &Known, check: &Check) -> Result<()> {
    let (name, wanted) = (check.manual.name, metric.name);
    match (check.manual.family, check.auditor(0)) {
        (_, Some(auditor)) if auditor.metric() != wanted => {
            refuse(format!("{name} has no `{wanted}`; it has `{}[feature=NAME]`", auditor.metric()))
        }
        (_, None) if metric.level == Level::Feature => refuse(format!("{name} has no `{wanted}`, which is of audits")),
        ("explainer", _) if metric.level == Level::Point && !explain::has(wanted) => {
            refuse(format!("{name} has no `{wanted}`: an explanation is neither right nor wrong"))
        }
        ("explainer" | "attack" | "audit", _) => Ok(()),
        _ if explain::has(wanted) => refuse(format!("{name} has no `{wanted}`, which is of explainers")),
        _ => Ok(()),
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
            refuse(format!("the job has no check `{name}`{hint}"))
        }
        several => {
            let specs: Vec<&str> = several.iter().map(|i| checks[*i].spec.as_str()).collect();
            refuse(format!("`{name}` could be {}; write the whole SPEC", specs.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        ["clean", "gaussian_noise", "jpeg_compression:severity=2"].map(|s| Check::parse(s).unwrap()).into()
    }

    #[test]
    fn checks_metrics_slices_and_bounds_are_read() {
        for (text, metric, slice, bound) in [
            ("gaussian_noise.mean_accuracy >= 0", "mean_accuracy", "", Bound::Number(0.0)),
            ("gaussian_noise:severity=3.accuracy >= 0", "accuracy", "", Bound::Number(0.0)),
            ("jpeg_compression.accuracy<=1", "accuracy", "", Bound::Number(1.0)),
            ("clean.accuracy[age>=3] >= 0.5", "accuracy", "age>=3", Bound::Number(0.5)),
            ("clean.recall[class=a.b[0]] >= .5", "recall", "class=a.b[0]", Bound::Number(0.5)),
            ("mce <= 0.8", "mce", "", Bound::Number(0.8)),
            ("all.relative_mce <= 0.8", "relative_mce", "", Bound::Number(0.8)),
            ("gaussian_noise.corruption_error <= 1", "corruption_error", "", Bound::Number(1.0)),
            ("clean.nll <= baseline + 0.1", "nll", "", Bound::Baseline(0.1)),
            ("clean.accuracy >= baseline -0.01 or inconclusive", "accuracy", "", Bound::Baseline(-0.01)),
            ("gaussian_noise.mean_accuracy >= baseline", "mean_accuracy", "", Bound::Baseline(0.0)),
        ] {
            let gate = parse(text, &checks()).unwrap();
            assert_eq!((gate.metric.name, gate.slice.as_str(), &gate.bound), (metric, slice, &bound), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_and_hinted_at() {
        for (gate, expect) in [
            ("gaussian_noise.accuracy >= 0.5", "mean_accuracy"),
            ("claen.accuracy >= 0.5", "did you mean clean?"),
            ("clean.acuracy >= 0.5", "did you mean accuracy?"),
            ("clean.accuracy > 0.5", "`check.metric >= number`"),
            ("clean.accuracy >= much", "a number was expected"),
            ("clean.accuracy >= baseline * 2", "`baseline - number`"),
            ("clean.mean_accuracy >= 0.5", "several points"),
            ("clean.recall >= 0.5", "recall_macro"),
            ("clean.f1_macro >= baseline", "not a mean over cases"),
            ("clean.mce <= 1", "whole job"),
            ("clean.corruption_error <= 1", "whole corruption"),
            ("accuracy >= 1", "`check.metric` was expected"),
        ] {
            let error = parse(gate, &checks()).unwrap_err().to_string();
            assert!(error.contains(expect), "{gate}: {error}");
        }
    }
}

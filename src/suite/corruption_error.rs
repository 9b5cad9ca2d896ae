//! `corruption_error`, `mce` and `relative_mce`: errors over those of a reference.

use serde_json::Value;

use super::check::Check;
use super::report::{CheckReport, Metric, Place, Scope, place};
use super::sheet::{Column, Sheet};
use crate::metric::{ALEXNET, ALEXNET_CLEAN, Level, Ratio, Reference, mean_ratio};

/// The extra corruptions of the benchmark, which its mean leaves out.
const EXTRA: [&str; 4] = ["gaussian_blur", "saturate", "spatter", "speckle_noise"];

/// Whether the check is a corruption.
pub(super) fn applies(check: &Check) -> bool {
    check.manual.family == "corruption"
}

/// Whether the model tells the 1000 classes of ImageNet apart. Without names, their number decides.
fn is_imagenet(scope: &Scope<'_>) -> bool {
    let first = scope.classes.first().map(|name| name.to_lowercase());
    scope.outputs == 1000 && first.is_none_or(|name| name.contains("tench") || name.contains("n01440764"))
}

/// AlexNet's mean error on the check, if it is one of the benchmark's at all five severities.
fn alexnet(check: &Check) -> Option<f64> {
    let mut levels: Vec<u64> = (0..check.len()).filter_map(|p| check.params(p).get("severity")?.as_u64()).collect();
    levels.sort_unstable();
    let (_, error) = ALEXNET.iter().find(|(name, _)| *name == check.manual.name)?;
    (levels == [1, 2, 3, 4, 5]).then_some(*error)
}

/// Entries with nothing but corruption errors against a baseline, for a report that was made without one.
pub fn corruption_errors(scope: &Scope<'_>, own: &Sheet, baseline: &Sheet) -> Vec<CheckReport> {
    let places = scope.checks.iter().enumerate().map(|(i, check)| place(Level::Corruption, i, check.len()));
    let mut entries = places.map(|place| CheckReport::new(scope.checks, place, Vec::new())).collect();
    add(&mut entries, scope, own, Some(baseline));
    entries.retain(|entry| !entry.metrics.is_empty());
    entries
}

/// A check's columns in this job, and in the reference unless that is AlexNet.
struct Corrupted<'a> {
    check: usize,
    own: Vec<&'a Column>,
    reference: Vec<&'a Column>,
}

/// Adds the metrics to the entries of the checks, and an entry `all` for the job, where there is a reference: AlexNet
/// where the model has ImageNet's classes and all 15 corruptions are asked for at five severities (or there is no
/// baseline), else the baseline.
pub(super) fn add(entries: &mut Vec<CheckReport>, scope: &Scope<'_>, own: &Sheet, baseline: Option<&Sheet>) {
    let checks = scope.checks;
    let benchmark =
        ALEXNET.iter().all(|(name, _)| checks.iter().any(|c| c.manual.name == *name && alexnet(c).is_some()));
    let against_alexnet = is_imagenet(scope) && (benchmark || baseline.is_none());
    if !against_alexnet && baseline.is_none() {
        return;
    }
    let mut corrupted = Vec::new();
    for (i, check) in checks.iter().enumerate().filter(|(_, check)| applies(check)) {
        let reference = if against_alexnet { alexnet(check).map(|_| Vec::new()) } else { columns(baseline, check) };
        if let (Some(own), Some(reference)) = (columns(Some(own), check), reference) {
            corrupted.push(Corrupted { check: i, own, reference });
        }
    }
    for one in &corrupted {
        let figure = mean_ratio(&cases(&[&one.own, &one.reference]), &[ratio(checks, one, None)]);
        let place = place(Level::Corruption, one.check, checks[one.check].len());
        let entry = entries.iter_mut().find(|entry| entry.place == place);
        if let (Some(figure), Some(entry)) = (figure, entry) {
            // Overall metrics stand before those of slices.
            let at = entry.metrics.iter().position(|m| !m.slice.is_empty()).unwrap_or(entry.metrics.len());
            entry.metrics.insert(at, Metric::new("corruption_error", figure, ""));
        }
    }
    corrupted.retain(|one| !EXTRA.contains(&checks[one.check].manual.name));
    if against_alexnet && !benchmark {
        return;
    }
    let clean = checks.iter().find(|check| check.manual.name == "clean");
    let clean = clean.and_then(|check| {
        let reference = if against_alexnet { Some(Vec::new()) } else { columns(baseline, check) };
        Some((columns(Some(own), check)?, reference?))
    });
    let metrics = means(checks, &corrupted, clean.as_ref());
    if !metrics.is_empty() {
        let mut entry = CheckReport::new(checks, Place::Job, metrics);
        let reference = if against_alexnet { "alexnet" } else { "baseline" };
        entry.params.insert("reference".to_owned(), Value::from(reference));
        entries.push(entry);
    }
}

type Clean<'a> = (Vec<&'a Column>, Vec<&'a Column>);

fn means(checks: &[Check], corrupted: &[Corrupted<'_>], clean: Option<&Clean<'_>>) -> Vec<Metric> {
    let mut all: Vec<&[&Column]> = corrupted.iter().flat_map(|one| [&one.own[..], &one.reference[..]]).collect();
    let plain: Vec<_> = corrupted.iter().map(|one| ratio(checks, one, None)).collect();
    let mce = mean_ratio(&cases(&all), &plain).map(|figure| Metric::new("mce", figure, ""));
    let relative = clean.and_then(|clean| {
        all.extend([&clean.0[..], &clean.1[..]]);
        let added: Vec<_> = corrupted.iter().map(|one| ratio(checks, one, Some(clean))).collect();
        mean_ratio(&cases(&all), &added)
    });
    mce.into_iter().chain(relative.map(|figure| Metric::new("relative_mce", figure, ""))).collect()
}

/// All of a check's columns; `None` if one is missing.
fn columns<'a>(sheet: Option<&'a Sheet>, check: &Check) -> Option<Vec<&'a Column>> {
    (0..check.len()).map(|p| sheet?.column(check.canonical(p))).collect()
}

/// Cases that are judged in every column.
fn cases(columns: &[&[&Column]]) -> Vec<usize> {
    let all: Vec<&Column> = columns.iter().flat_map(|columns| columns.iter().copied()).collect();
    let most = all.iter().map(|column| column.len()).min().unwrap_or(0);
    (0..most).filter(|case| all.iter().all(|column| column.held(*case).is_some())).collect()
}

/// Errors under a corruption over the reference's, less those on clean cases if these are given.
fn ratio<'a>(checks: &[Check], one: &'a Corrupted<'a>, clean: Option<&'a Clean<'a>>) -> Ratio<'a> {
    let own = clean.map(|(own, _)| &own[..]);
    let reference = if let Some(mean) = alexnet(&checks[one.check]).filter(|_| one.reference.is_empty()) {
        Reference::Mean(if clean.is_some() { mean - ALEXNET_CLEAN } else { mean })
    } else {
        let clean = clean.map(|(_, reference)| &reference[..]);
        Reference::Cases(Box::new(move |case| errors(&one.reference, case) - clean.map_or(0.0, |c| errors(c, case))))
    };
    Ratio { model: Box::new(move |case| errors(&one.own, case) - own.map_or(0.0, |c| errors(c, case))), reference }
}

/// A case's share of points that are broken.
#[allow(clippy::cast_precision_loss)]
fn errors(columns: &[&Column], case: usize) -> f64 {
    columns.iter().filter(|column| column.held(case) == Some(false)).count() as f64 / columns.len() as f64
}

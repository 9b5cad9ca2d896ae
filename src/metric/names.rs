//! The one table of metrics: what gates, reports and the documentation call them.

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// What a metric is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One point of a check.
    Point,
    /// One class at one point: always the slice `class=NAME`.
    Class,
    /// One feature, or some together, at one point: always the slice `feature=NAME`.
    Feature,
    /// All points of a check with several.
    Curve,
    /// A corruption at all of its severities, be it one.
    Corruption,
    /// The whole job.
    Job,
}

/// The value that a case has, where the metric is the mean over cases: two jobs can be compared case by case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paired {
    /// 1 if it held, 0 if it is broken.
    Held,
    /// A measure of its verdict that is 0 or 1.
    Flag(&'static str),
    /// A measure of its verdict.
    Measure(&'static str),
}

/// A metric.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub what: &'static str,
    pub better: Better,
    pub level: Level,
    pub paired: Option<Paired>,
    /// How its 95 % interval is made.
    pub interval: &'static str,
}

const fn row(
    name: &'static str,
    level: Level,
    better: Better,
    paired: Option<Paired>,
    interval: &'static str,
    what: &'static str,
) -> Known {
    Known { name, what, better, level, paired, interval }
}

use Better::{Higher, Lower};
use Level::{Class, Corruption, Curve, Feature, Job, Point};

const WILSON: &str = "Wilson";
const STUDENT: &str = "Student";
const EFFECTIVE: &str = "Wilson on the effective number of cases (delta method)";
const DELTA: &str = "delta method";

/// All metrics, in the order of a report.
pub static METRICS: &[Known] = &[
    row("accuracy", Point, Higher, Some(Paired::Held), WILSON, "share of judged cases that are right"),
    row(
        "top5_accuracy",
        Point,
        Higher,
        Some(Paired::Flag("top5")),
        WILSON,
        "share of cases with a right class among the five highest",
    ),
    row(
        "precision_micro",
        Point,
        Higher,
        None,
        WILSON,
        "over all predictions; the accuracy, one class being predicted",
    ),
    row("precision_macro", Point, Higher, None, EFFECTIVE, "mean over classes of the precision"),
    row("precision_weighted", Point, Higher, None, EFFECTIVE, "the same, weighted by the number of cases of the class"),
    row("recall_micro", Point, Higher, None, WILSON, "over all cases; the accuracy, one class being predicted"),
    row("recall_macro", Point, Higher, None, EFFECTIVE, "mean over classes of the recall (balanced accuracy)"),
    row("recall_weighted", Point, Higher, None, EFFECTIVE, "the same, weighted by the number of cases: the accuracy"),
    row("f1_micro", Point, Higher, None, WILSON, "over all cases; the accuracy, one class being predicted"),
    row("f1_macro", Point, Higher, None, EFFECTIVE, "mean over classes of F1"),
    row("f1_weighted", Point, Higher, None, EFFECTIVE, "the same, weighted by the number of cases of the class"),
    row("ece", Point, Lower, None, DELTA, "expected calibration error: 15 equal bins of the top confidence"),
    row(
        "brier",
        Point,
        Lower,
        Some(Paired::Measure("brier")),
        STUDENT,
        "squared error of the probabilities, all classes",
    ),
    row("nll", Point, Lower, Some(Paired::Measure("nll")), STUDENT, "-ln of the label's probability, in nats"),
    row("r2", Point, Higher, None, DELTA, "coefficient of determination"),
    row(
        "mae",
        Point,
        Lower,
        Some(Paired::Measure("absolute_error")),
        STUDENT,
        "mean absolute error, in the label's unit",
    ),
    row("rmse", Point, Lower, None, "root of Student's for the mean square", "root of the mean squared error"),
    row(
        "robust_accuracy",
        Point,
        Higher,
        Some(Paired::Held),
        WILSON,
        "share of attacked cases that hold; those wrong when clean do not",
    ),
    row(
        "robust_accuracy_quantized",
        Point,
        Higher,
        Some(Paired::Flag("robust_quantized")),
        WILSON,
        "the same with witnesses rounded to the input's own grid",
    ),
    row(
        "residual",
        Point,
        Lower,
        Some(Paired::Measure("residual")),
        STUDENT,
        "error of an explanation in units of the score: how far from adding up, from the model, or from sure (its manual says)",
    ),
    row(
        "residual_relative",
        Point,
        Lower,
        Some(Paired::Measure("residual_relative")),
        STUDENT,
        "the residual as a share of what is explained",
    ),
    row(
        "counterfactual_rate",
        Point,
        Higher,
        Some(Paired::Flag("found")),
        WILSON,
        "share of cases to which a row with the wanted answer was found",
    ),
    row(
        "changed_mean",
        Point,
        Lower,
        Some(Paired::Measure("changed")),
        STUDENT,
        "features that a counterfactual changes",
    ),
    row(
        "distance_mean",
        Point,
        Lower,
        Some(Paired::Measure("counterfactual_distance")),
        STUDENT,
        "sum of a counterfactual's changes, each in median absolute deviations of its feature",
    ),
    row(
        "anchor_precision",
        Point,
        Higher,
        Some(Paired::Measure("anchor_precision")),
        STUDENT,
        "share of the rows drawn under an anchor to which the model gives the same answer",
    ),
    row(
        "anchor_coverage",
        Point,
        Higher,
        Some(Paired::Measure("anchor_coverage")),
        STUDENT,
        "share of the background's rows that keep an anchor's rule",
    ),
    row(
        "anchor_size",
        Point,
        Lower,
        Some(Paired::Measure("anchor_size")),
        STUDENT,
        "features that an anchor's rule speaks of",
    ),
    row(
        "infidelity",
        Point,
        Lower,
        Some(Paired::Measure("infidelity")),
        STUDENT,
        "how badly attributions foretell what removing values does: 0 always right, 1 no better than nothing",
    ),
    row(
        "sensitivity_max",
        Point,
        Lower,
        Some(Paired::Measure("sensitivity_max")),
        STUDENT,
        "largest change of an explanation when the case hardly changes, as a share of its size",
    ),
    row(
        "insertion_auc",
        Point,
        Higher,
        Some(Paired::Measure("insertion_auc")),
        STUDENT,
        "mean probability of the class while values come in, the most important first",
    ),
    row(
        "deletion_auc",
        Point,
        Lower,
        Some(Paired::Measure("deletion_auc")),
        STUDENT,
        "mean probability of the class while values go, the most important first",
    ),
    row(
        "model_randomisation",
        Point,
        Lower,
        Some(Paired::Measure("model_randomisation")),
        STUDENT,
        "rank correlation of an explanation with that of shuffled weights: near 1 it ignores the model",
    ),
    row(
        "pointing_game",
        Point,
        Higher,
        Some(Paired::Measure("pointing_game")),
        STUDENT,
        "share of cases whose most important pixel lies in their mask",
    ),
    row(
        "mask_share",
        Point,
        Higher,
        Some(Paired::Measure("mask_share")),
        STUDENT,
        "share of positive attribution inside the case's mask",
    ),
    row(
        "protected_share",
        Point,
        Lower,
        Some(Paired::Measure("protected_share")),
        STUDENT,
        "share of attribution, whichever way, on protected features",
    ),
    row(
        "agreement",
        Point,
        Higher,
        Some(Paired::Measure("agreement")),
        STUDENT,
        "rank correlation of the sizes of attributions with another explainer's",
    ),
    row(
        "top_overlap",
        Point,
        Higher,
        Some(Paired::Measure("top_overlap")),
        STUDENT,
        "share of the five most important values that are another explainer's too",
    ),
    row("attack_success_rate", Point, Lower, None, WILSON, "share of the cases right when clean that are broken"),
    row(
        "queries_mean",
        Point,
        Higher,
        Some(Paired::Measure("queries")),
        STUDENT,
        "rows that an attack asked of the model about a case, forward and gradient",
    ),
    row(
        "median_eps",
        Point,
        Higher,
        None,
        "order statistics",
        "median distance of the nearest witness, 0 for cases wrong when clean",
    ),
    row(
        "importance",
        Feature,
        Lower,
        None,
        STUDENT,
        "what a metric loses when the feature's values are dealt out anew among the cases",
    ),
    row(
        "effect_range",
        Feature,
        Lower,
        None,
        STUDENT,
        "how far the mean answer moves over the values of the feature, from its lowest to its highest",
    ),
    row(
        "mean_attribution",
        Feature,
        Lower,
        None,
        STUDENT,
        "mean size of the feature's Shapley value over all cases, in units of the score",
    ),
    row(
        "h_statistic",
        Feature,
        Lower,
        None,
        DELTA,
        "Friedman's H: the share of what a pair of features does together that neither does alone",
    ),
    row("precision", Class, Higher, None, WILSON, "share of the cases predicted as a class that are it"),
    row("recall", Class, Higher, None, WILSON, "share of a class's cases that are found"),
    row("f1", Class, Higher, None, "Wilson, indirect", "harmonic mean of a class's precision and recall"),
    row(
        "mean_accuracy",
        Curve,
        Higher,
        Some(Paired::Held),
        "Wilson on the number of cases",
        "mean of the accuracy over the points of a check",
    ),
    row("corruption_error", Corruption, Lower, None, DELTA, "sum of errors over severities, over the reference's sum"),
    row(
        "mce",
        Job,
        Lower,
        None,
        DELTA,
        "mean corruption error over the job's corruptions, the four extra ones left out",
    ),
    row("relative_mce", Job, Lower, None, DELTA, "the same for errors added to the clean error"),
];

/// The metric of this name.
pub fn known(name: &str) -> Option<&'static Known> {
    METRICS.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_words() {
        for (i, metric) in METRICS.iter().enumerate() {
            assert!(metric.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            assert!(METRICS[..i].iter().all(|other| other.name != metric.name), "{} twice", metric.name);
        }
    }
}

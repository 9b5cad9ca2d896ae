//! The only place that says held or broken, and the measures that metrics are folded from.

use super::attack::Attacked;
use super::verdict::{Outcome, Verdict};
use crate::engine::{Answer, OutputKind};
use crate::metric::Likelihood;
use crate::tensor::{Norm, argmax};

/// Judges a case by the model's `scores`; `clean` are its scores before the probe.
///
/// Measures of classifiers: `confidence` (of the predicted class), `nll` (nats), `brier` (squared error of the
/// probabilities, summed over all classes: 0 to 2) and, with more than five classes, `top5` (0 or 1). Probabilities
/// are a float64 softmax of logits. Where several classes are acceptable, the effective label is the prediction if it
/// is one of them, else the first. Of models that give values: `absolute_error`.
#[allow(clippy::cast_precision_loss)]
pub fn judge(answer: &Answer, clean: &[f32], scores: &[f32], kind: OutputKind, verdict: &mut Verdict) {
    if scores.is_empty() || scores.iter().any(|s| !s.is_finite()) {
        verdict.reason = "the model's answer is not finite".to_owned();
        return;
    }
    if kind == OutputKind::Value {
        return judge_value(answer, clean, f64::from(scores[0]), verdict);
    }
    let predicted = argmax(scores);
    verdict.predicted = Some(predicted as f64);
    verdict.predicted_clean = Some(argmax(clean) as f64);
    let probabilities = Likelihood::new(scores, kind == OutputKind::Probabilities);
    let mut measure = |name: &str, value: f64| verdict.measures.insert(name.to_owned(), value);
    measure("confidence", probabilities.of(predicted));
    let Answer::Classes(right) = answer else {
        (verdict.outcome, verdict.reason) = (Outcome::Skipped, "no answer is expected".to_owned());
        return;
    };
    let held = right.contains(&predicted);
    if let Some(label) = if held { Some(&predicted) } else { right.first() } {
        measure("nll", probabilities.nll(*label));
        measure("brier", probabilities.brier(*label));
    }
    if scores.len() > 5 {
        let top5 = right.iter().any(|&class| probabilities.rank(class) < 5);
        measure("top5", f64::from(u8::from(top5)));
    }
    verdict.label = right.first().map(|l| *l as f64);
    verdict.outcome = if held { Outcome::Held } else { Outcome::Broken };
}

/// Judges a case that was attacked, after [`judge`] has judged its witness like any input.
///
/// A case that is wrong when clean is broken whatever the witness, and one with a target only by the target. Measures
/// beside those of the attack: `robust_quantized` (0 or 1: whether it holds on the input's own grid, to which only
/// witnesses are rounded) and, where the nearest witness was looked for, its `distance`.
pub(super) fn judge_attack(answer: &Answer, attacked: Attacked, verdict: &mut Verdict) {
    let Attacked { target, allowed, quantized, unbounded, nearest, measures } = attacked;
    let right = measures.get("right_clean").is_some_and(|right| *right > 0.5);
    verdict.measures.extend(measures);
    let (Some(predicted), Answer::Classes(classes)) = (verdict.predicted, answer) else { return };
    if target.is_some_and(|target| classes.contains(&target)) {
        (verdict.outcome, verdict.reason) = (Outcome::Skipped, "the attack's target is its own label".to_owned());
        return;
    }
    if !allowed {
        let reason = "a defect of the attack: its witness lies outside of its ball or bounds";
        (verdict.outcome, verdict.reason) = (Outcome::Failed, reason.to_owned());
        return;
    }
    #[allow(clippy::cast_precision_loss)]
    let reached = |predicted: f64| match target {
        Some(target) => predicted == target as f64,
        None => !classes.iter().any(|class| *class as f64 == predicted),
    };
    let broken = !right || reached(predicted);
    verdict.outcome = if broken { Outcome::Broken } else { Outcome::Held };
    let mut measure = |name: &str, value: f64| verdict.measures.insert(name.to_owned(), value);
    if let Some(scores) = quantized {
        #[allow(clippy::cast_precision_loss)]
        let holds = !broken || (right && !reached(argmax(&scores) as f64));
        measure("robust_quantized", f64::from(u8::from(holds)));
    }
    if !broken && unbounded {
        measure("unbounded", 1.0);
    }
    if let (Some(norm), true) = (nearest, broken) {
        let name = match norm {
            Norm::Linf => "linf",
            Norm::L2 => "l2",
            Norm::L1 => "l1",
        };
        let distance = verdict.measures.get(name).copied().filter(|_| right).unwrap_or(0.0);
        verdict.measures.insert("distance".to_owned(), distance);
    }
}

fn judge_value(answer: &Answer, clean: &[f32], value: f64, verdict: &mut Verdict) {
    verdict.predicted = Some(value);
    verdict.predicted_clean = clean.first().map(|v| f64::from(*v));
    verdict.outcome = Outcome::Skipped;
    if let Answer::Value(expected) = answer {
        verdict.label = Some(*expected);
        verdict.measures.insert("absolute_error".to_owned(), (value - expected).abs());
        verdict.reason = "a value has no right or wrong".to_owned();
    } else {
        verdict.reason = "no answer is expected".to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(right: &[usize], scores: &[f32], kind: OutputKind) -> Verdict {
        let mut verdict = Verdict::blank("a", 0, 0, 0);
        judge(&Answer::Classes(right.to_vec()), scores, scores, kind, &mut verdict);
        verdict
    }

    #[test]
    fn the_effective_label_is_the_prediction_if_it_is_acceptable() {
        let scores = [0.1, 0.6, 0.3];
        let held = judged(&[2, 1], &scores, OutputKind::Probabilities);
        assert_eq!((held.outcome, held.label), (Outcome::Held, Some(2.0)));
        assert!((held.measures["nll"] - -0.6f64.ln()).abs() < 1e-7);
        let broken = judged(&[2, 0], &scores, OutputKind::Probabilities);
        assert_eq!(broken.outcome, Outcome::Broken);
        assert!((broken.measures["nll"] - -0.3f64.ln()).abs() < 1e-7);
        assert!((broken.measures["brier"] - (0.01 + 0.36 + 0.49)).abs() < 1e-6);
    }

    #[test]
    fn far_logits_stay_finite() {
        let verdict = judged(&[1], &[900.0, -900.0], OutputKind::Logits);
        assert_eq!((verdict.measures["nll"], verdict.measures["confidence"]), (1800.0, 1.0));
        assert_eq!(judged(&[1], &[1.0, 0.0], OutputKind::Probabilities).measures["nll"], -f64::EPSILON.ln());
        assert_eq!(judged(&[1], &[f32::NAN, 0.0], OutputKind::Logits).outcome, Outcome::Failed);
    }
}

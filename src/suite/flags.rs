//! Signs that an evaluation with attacks says less than its figures: findings that keep gates from passing.

use serde_json::{Value, json};

use super::check::Check;
use super::finding::Finding;
use super::gate::{Gate, GateOutcome, GateReport};
use super::paired::Four;
use super::report::Place;
use super::robust::{HINDERED, Robust};
use super::sheet::{Column, Sheet};
use crate::metric::{Paired, mcnemar};
use crate::probe::Access;
use crate::probe::attack::find;

/// Kinds of findings that another attack did better. These and [`HINDERED`] take a point's robustness for unproven.
const BEATEN: [&str; 3] = ["black_box_stronger", "one_step_stronger", "outdone"];

/// Share of the cases that held whose loss may not have grown before it is a sign.
const STUCK: f64 = 0.05;

/// Share of all cases by which a black box or a single step may be ahead, as AutoAttack has it.
const AHEAD: f64 = 0.002;

/// Share of all cases by which another attack with gradients may be ahead before a figure is called untrue.
const OUTDONE: f64 = 0.1;

/// p below which being ahead is no chance.
const ALPHA: f64 = 0.05;

/// One point of an attack.
#[derive(Clone, Copy)]
pub(super) struct Attacked<'a> {
    pub(super) check: &'a Check,
    pub(super) point: usize,
    pub(super) robust: &'a Robust,
}

/// What is known of an attack that counts when it is compared with others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    BlackBox,
    OneStep,
    WhiteBox,
}

impl Attacked<'_> {
    fn role(&self) -> Role {
        let one_step = find(self.check.manual.name).is_some_and(|entry| entry.one_step);
        match self.check.manual.accesses.contains(&Access::Gradient) {
            false => Role::BlackBox,
            true if one_step => Role::OneStep,
            true => Role::WhiteBox,
        }
    }

    fn finding(&self, kind: &'static str, message: String, details: &Value) -> Finding {
        let mut details = details.as_object().cloned().unwrap_or_default();
        details.insert("point".to_owned(), Value::from(self.check.canonical(self.point)));
        let message = format!("{}: {message}", self.check.canonical(self.point));
        Finding { kind, check: self.check.spec.clone(), message, details }
    }

    /// What the verdicts of this point alone show.
    #[allow(clippy::cast_precision_loss)]
    fn alone(&self) -> Vec<Finding> {
        let n = self.robust.judged();
        let one_step = self.role() == Role::OneStep;
        let say = |sign: &'static str| match (sign, self.robust.sign(sign)) {
            (_, (0, _)) => None,
            ("unbounded", (seen, _)) if !one_step => Some((
                seen,
                format!(
                    "{seen} of {n} cases hold though the ball has every input in it: the search fails, not the model"
                ),
            )),
            ("zero_gradient", (seen, _)) => {
                Some((seen, format!("the gradient is zero at the start of {seen} of {n} cases: it is masked")))
            }
            ("not_finite", (seen, _)) => {
                Some((seen, format!("scores or gradients of {seen} of {n} cases were not finite numbers")))
            }
            ("loss_stuck", (seen, held)) if held as f64 > STUCK * self.robust.held() as f64 && !one_step => Some((
                seen,
                format!("the loss of {held} of {} cases that held never rose above its start", self.robust.held()),
            )),
            ("straight_through", (seen, _)) => Some((
                seen,
                "the graph rounds; the gradient is that of the straight-through estimator, not the model's own"
                    .to_owned(),
            )),
            ("unstable", (seen, _)) => {
                Some((seen, "the model answers the same input differently when it is asked again".to_owned()))
            }
            _ => None,
        };
        let signs = HINDERED.into_iter().filter_map(|sign| Some((sign, say(sign)?)));
        let mut findings: Vec<Finding> = signs
            .map(|(sign, (seen, message))| self.finding(sign, message, &json!({ "cases": seen, "n": n })))
            .collect();
        let (by_scores, _) = self.robust.sign("black_box");
        if by_scores as f64 > AHEAD * n as f64 {
            let message = format!("its part without gradients broke {by_scores} of {n} cases that the others left");
            findings.push(self.finding("black_box_stronger", message, &json!({ "cases": by_scores, "n": n })));
        }
        if self.robust.sign("simpler_loss").0 > 0 {
            let message = "the difference of logits ratio takes more classes than there are: of three the untargeted \
                           one stood in for the targeted, of two the margin for both";
            findings.push(self.finding("few_classes", message.to_owned(), &json!({ "n": n })));
        }
        if self.robust.sign("probabilities").0 > 0 {
            let message = "the model gives probabilities; losses were taken of their logarithms".to_owned();
            findings.push(self.finding("probabilities", message, &json!({ "n": n })));
        }
        findings
    }

    /// What another attack with the same threat shows of this one.
    #[allow(clippy::cast_precision_loss)]
    fn against(&self, other: &Self, sheet: &Sheet) -> Option<Finding> {
        let column = |attacked: &Self| sheet.column(attacked.check.canonical(attacked.point));
        let (own, others): (&Column, &Column) = (column(self)?, column(other)?);
        let four = Four::count(Paired::Held, own, others);
        let n = four.both + four.only_a + four.only_b + four.neither;
        let ahead = (four.only_a as f64 - four.only_b as f64) / (n.max(1) as f64);
        let (kind, limit, what) = match other.role() {
            Role::BlackBox => ("black_box_stronger", AHEAD, "a black box"),
            Role::OneStep => ("one_step_stronger", AHEAD, "a single step"),
            Role::WhiteBox => ("outdone", OUTDONE, "another attack"),
        };
        if ahead <= limit || mcnemar(four.only_a, four.only_b).mid >= ALPHA {
            return None;
        }
        let share = |count: u64| count as f64 / n as f64;
        let (by, own, rest) =
            (other.check.canonical(other.point), share(four.both + four.only_a), share(four.both + four.only_b));
        let message = format!(
            "its robust accuracy {own:.4} is not to be trusted: {what}, {by}, leaves {rest:.4} of the same {n} cases"
        );
        Some(self.finding(kind, message, &json!({ "other": by, "robust_accuracy": own, "others": rest, "n": n })))
    }

    /// Whether both may do the same.
    fn comparable(&self, other: &Self) -> bool {
        let threat = |a: &Self| a.check.attacker(a.point).map(|attacker| attacker.threat);
        match (threat(self), threat(other)) {
            (Some(a), Some(b)) => a.norm == b.norm && a.eps.is_some() && a.eps == b.eps && a.goal == b.goal,
            _ => false,
        }
    }
}

/// The findings on a job's attacks.
pub(super) fn findings(attacked: &[Attacked<'_>], sheet: &Sheet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in attacked {
        findings.extend(one.alone());
        if one.role() == Role::WhiteBox {
            let others = attacked.iter().filter(|other| !std::ptr::eq(*other, one) && one.comparable(other));
            findings.extend(others.filter_map(|other| one.against(other, sheet)));
        }
    }
    findings
}

/// A gate that a finding speaks against is inconclusive where it would have passed.
pub(super) fn doubt(gate: &Gate, mut report: GateReport, checks: &[Check], findings: &[Finding]) -> GateReport {
    let (Place::Point(check, _) | Place::Curve(check)) = gate.place else { return report };
    let about = |finding: &&Finding| {
        let point = finding.details.get("point").and_then(Value::as_str);
        (HINDERED.contains(&finding.kind) || BEATEN.contains(&finding.kind))
            && finding.check == checks[check].spec
            && gate.points.iter().any(|p| Some(p.as_str()) == point)
    };
    // Where breaking more makes the gate pass, a weak attack does not help it.
    let doubted = report.outcome == GateOutcome::Pass && gate.flattered();
    let mut kinds: Vec<&str> = findings.iter().filter(about).map(|finding| finding.kind).collect();
    kinds.dedup();
    if doubted && !kinds.is_empty() {
        report.outcome = GateOutcome::Inconclusive;
        report.passed = gate.or_inconclusive;
        report.message = format!("{}; but findings speak against the figure: {}", report.message, kinds.join(", "));
    }
    report
}

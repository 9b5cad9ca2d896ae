//! What one point of an attack adds up to.

use std::collections::BTreeMap;

use super::verdict::Verdict;
use crate::metric::{Figure, Moments, median, rate};

/// Signs that a search was hindered, as measures of verdicts and kinds of findings.
pub(super) const HINDERED: [&str; 6] =
    ["zero_gradient", "not_finite", "loss_stuck", "straight_through", "unbounded", "unstable"];

/// Further measures of verdicts that a report tells of.
const TOLD: [&str; 3] = ["probabilities", "simpler_loss", "black_box"];

/// Attacked cases at a point.
#[derive(Clone, Debug, Default)]
pub(super) struct Robust {
    judged: u64,
    held: u64,
    /// Right when clean, and broken of these.
    right: u64,
    broken: u64,
    /// Cases with a grid of their own, and held on it.
    gridded: u64,
    held_on_grid: u64,
    queries: Moments,
    /// Distances of the nearest witnesses, where these were looked for.
    distances: Vec<f64>,
    /// Cases that show each sign, and of these the ones that held.
    signs: BTreeMap<&'static str, (u64, u64)>,
}

impl Robust {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        let measure = |name: &str| verdict.measures.get(name).copied();
        let (Some(held), Some(right)) = (verdict.held(), measure("right_clean")) else { return };
        self.judged += 1;
        self.held += u64::from(held);
        if right > 0.5 {
            self.right += 1;
            self.broken += u64::from(!held);
        }
        if let Some(holds) = measure("robust_quantized") {
            self.gridded += 1;
            self.held_on_grid += u64::from(holds > 0.5);
        }
        measure("queries").into_iter().for_each(|queries| self.queries.add(queries));
        self.distances.extend(measure("distance"));
        for sign in HINDERED.into_iter().chain(TOLD) {
            if measure(sign).is_some() {
                let (seen, standing) = self.signs.entry(sign).or_default();
                *seen += 1;
                *standing += u64::from(held);
            }
        }
    }

    /// Cases that were judged.
    pub(super) fn judged(&self) -> u64 {
        self.judged
    }

    /// Cases that held.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Cases that show a sign, and of these the ones that held.
    pub(super) fn sign(&self, name: &str) -> (u64, u64) {
        self.signs.get(name).copied().unwrap_or_default()
    }

    /// Figures by name; none if nothing was attacked.
    pub(super) fn figures(&self) -> [(&'static str, Option<Figure>); 5] {
        let some = |count: u64, n: u64| (n > 0).then(|| rate(count, n));
        let nearest = || median(&self.distances, self.held);
        [
            ("robust_accuracy", some(self.held, self.judged)),
            ("robust_accuracy_quantized", some(self.held_on_grid, self.gridded)),
            ("attack_success_rate", some(self.broken, self.right)),
            ("queries_mean", (self.queries.n() > 0).then(|| self.queries.figure())),
            ("median_eps", if self.distances.is_empty() { None } else { nearest() }),
        ]
    }
}

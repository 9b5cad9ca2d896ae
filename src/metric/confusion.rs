//! The confusion matrix and what follows from it: precision, recall, F1.

use std::collections::BTreeMap;

use super::interval::{Figure, rate, wilson};

/// Cases by label and predicted class; cells without a case take no memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confusion {
    cells: BTreeMap<(u32, u32), u64>,
}

/// One class: cases that are right, that carry the label, and that are predicted as it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Margin {
    pub right: u64,
    pub labelled: u64,
    pub predicted: u64,
}

/// How the figures of classes become one: each class alike, or by its number of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    Macro,
    Weighted,
}

impl Margin {
    /// Share of the cases predicted as this class that are it; `None` if there is none.
    pub fn precision(&self) -> Option<Figure> {
        (self.predicted > 0).then(|| rate(self.right, self.predicted))
    }

    /// Share of the class's cases that are found; `None` if there is none.
    pub fn recall(&self) -> Option<Figure> {
        (self.labelled > 0).then(|| rate(self.right, self.labelled))
    }

    /// Harmonic mean of both. Its interval is Wilson's for right / (labelled or predicted), carried over by
    /// F = 2 q / (1 + q), which grows with q (Flores, Gomez-Ruiz et al., 2022: the indirect Wilson interval).
    pub fn f1(&self) -> Option<Figure> {
        let either = self.labelled + self.predicted - self.right;
        let q = rate(self.right, either);
        let f = |q: f64| 2.0 * q / (1.0 + q);
        (either > 0).then(|| Figure { value: f(q.value), low: f(q.low), high: f(q.high), n: either, count: None })
    }
}

/// The parts of a figure that is a mean of ratios over classes: `top / bottom` for each, and its weight.
struct Class {
    ratio: f64,
    bottom: f64,
    weight: f64,
}

impl Confusion {
    /// Takes in a case.
    pub fn add(&mut self, label: u32, predicted: u32) {
        *self.cells.entry((label, predicted)).or_default() += 1;
    }

    /// Cells with cases: (label, predicted) and their number.
    pub fn cells(&self) -> impl Iterator<Item = ((u32, u32), u64)> {
        self.cells.iter().map(|(cell, n)| (*cell, *n))
    }

    /// Number of cases.
    pub fn n(&self) -> u64 {
        self.cells.values().sum()
    }

    /// Classes that are a label or predicted.
    pub fn margins(&self) -> BTreeMap<u32, Margin> {
        let mut margins: BTreeMap<u32, Margin> = BTreeMap::new();
        for ((label, predicted), n) in self.cells() {
            margins.entry(label).or_default().labelled += n;
            margins.entry(predicted).or_default().predicted += n;
            margins.entry(label).or_default().right += if label == predicted { n } else { 0 };
        }
        margins
    }

    /// Mean over classes of right / predicted.
    pub fn precision(&self, average: Average) -> Option<Figure> {
        self.average(average, |m| (m.right, m.predicted), [0.0, 1.0])
    }

    /// Mean over classes of right / labelled; weighted it is the accuracy.
    pub fn recall(&self, average: Average) -> Option<Figure> {
        self.average(average, |m| (m.right, m.labelled), [1.0, 0.0])
    }

    /// Mean over classes of 2 right / (labelled + predicted).
    pub fn f1(&self, average: Average) -> Option<Figure> {
        self.average(average, |m| (2 * m.right, m.labelled + m.predicted), [1.0, 1.0])
    }

    /// As scikit-learn with `zero_division=0`: the mean is over all classes that are a label or predicted, and a ratio
    /// without denominator is 0. `None` without cases.
    ///
    /// Interval: the variance by the delta method (Takahashi et al., 2022) makes an effective number of cases
    /// v (1 - v) / variance, with which Wilson's interval is taken. It is never more than what equal ratios would
    /// give, so that an average of 1 from few cases stays wide.
    ///
    /// `share` says how a case counts in the denominators of its label and of its prediction.
    #[allow(clippy::cast_precision_loss)]
    fn average(&self, average: Average, parts: impl Fn(&Margin) -> (u64, u64), share: [f64; 2]) -> Option<Figure> {
        let (margins, n) = (self.margins(), self.n() as f64);
        let all = margins.len() as f64;
        let class = |m: &Margin| {
            let (top, bottom) = parts(m);
            let weight = if average == Average::Macro { 1.0 / all } else { m.labelled as f64 / n };
            Class { ratio: if bottom == 0 { 0.0 } else { top as f64 / bottom as f64 }, bottom: bottom as f64, weight }
        };
        let classes: BTreeMap<u32, Class> = margins.iter().map(|(name, m)| (*name, class(m))).collect();
        let value = classes.values().map(|c| c.weight * c.ratio).sum::<f64>();
        let mut squares = 0.0;
        for ((label, predicted), count) in self.cells() {
            let of = |class: &Class, hit: f64, in_bottom: f64| {
                if in_bottom == 0.0 { 0.0 } else { n * class.weight * (hit - class.ratio * in_bottom) / class.bottom }
            };
            let (l, p) = (&classes[&label], &classes[&predicted]);
            let mut influence = if label == predicted {
                of(l, share[0] + share[1], share[0] + share[1])
            } else {
                of(l, 0.0, share[0]) + of(p, 0.0, share[1])
            };
            if average == Average::Weighted {
                // The weights move with the labels.
                influence += l.ratio - value;
            }
            squares += count as f64 * influence * influence;
        }
        let variance = squares / (n * n);
        let halves = share[0] + share[1];
        let even = classes.values().filter(|c| c.bottom > 0.0).map(|c| c.weight * c.weight * halves / c.bottom);
        let most = if average == Average::Macro { 1.0 / even.sum::<f64>() } else { n };
        let effective = if variance > 0.0 { (value * (1.0 - value) / variance).min(most) } else { most };
        let (low, high) = wilson(value, effective);
        (n > 0.0).then_some(Figure { value, low, high, n: self.n(), count: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_average_of_few_cases_stays_wide() {
        let mut confusion = Confusion::default();
        [0, 0, 1, 1].iter().for_each(|class| confusion.add(*class, *class));
        for figure in [confusion.f1(Average::Macro), confusion.recall(Average::Weighted)] {
            let figure = figure.unwrap();
            assert_eq!((figure.value, figure.high), (1.0, 1.0));
            assert_eq!(figure.low, rate(4, 4).low);
        }
        assert_eq!(Confusion::default().f1(Average::Macro), None);
    }

    #[test]
    fn weighted_recall_is_the_accuracy() {
        let mut confusion = Confusion::default();
        [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1)].iter().for_each(|(l, p)| confusion.add(*l, *p));
        let (recall, accuracy) = (confusion.recall(Average::Weighted).unwrap(), rate(3, 5));
        assert!((recall.value - accuracy.value).abs() < 1e-15);
        assert!((recall.low - accuracy.low).abs() < 1e-12 && (recall.high - accuracy.high).abs() < 1e-12);
    }
}

//! The part of each feature's range that a case lies in, by quarters of the background.

use super::super::words::number;
use crate::engine::Input;
use crate::metric::quantile;
use crate::tensor::Rng;

/// Above the first and no more than the second, where there is a bound.
type Bin = [Option<f32>; 2];

/// The bins of one case, and the background's rows that lie in them.
pub(super) struct Bins<'a> {
    background: &'a [Vec<f32>],
    own: &'a [f32],
    bins: Vec<Bin>,
    /// By feature, the rows in its bin.
    rows: Vec<Vec<usize>>,
}

impl<'a> Bins<'a> {
    /// `edges` are those of each feature, see [`edges`].
    pub(super) fn new(own: &'a [f32], background: &'a [Vec<f32>], edges: &[Vec<f32>]) -> Self {
        let bin = |(own, edges): (&f32, &Vec<f32>)| {
            let above = edges.iter().position(|edge| own <= edge).unwrap_or(edges.len());
            [above.checked_sub(1).and_then(|below| edges.get(below)).copied(), edges.get(above).copied()]
        };
        let bins: Vec<Bin> = own.iter().zip(edges).map(bin).collect();
        let rows = bins.iter().enumerate().map(|(feature, bin)| {
            (0..background.len()).filter(|row| within(background[*row].get(feature).copied(), *bin)).collect()
        });
        Self { background, own, rows: rows.collect(), bins }
    }

    /// Features whose bin is not the whole range.
    pub(super) fn features(&self) -> Vec<usize> {
        (0..self.bins.len()).filter(|feature| self.bins[*feature] != [None, None]).collect()
    }

    fn holds(&self, row: usize, feature: usize) -> bool {
        self.rows[feature].binary_search(&row).is_ok()
    }

    /// The share of the background's rows that lie in the bins of all of these features.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn coverage(&self, rule: &[usize]) -> f64 {
        let all = (0..self.background.len()).filter(|row| rule.iter().all(|feature| self.holds(*row, *feature)));
        all.count() as f64 / self.background.len().max(1) as f64
    }

    /// A row of the background, in which a feature of the rule that is not in its bin has the value of another row that
    /// is; the case's own, where no row is.
    pub(super) fn draw(&self, rule: &[usize], rng: &mut Rng) -> Vec<f32> {
        let row = rng.below(self.background.len());
        let Some(drawn) = self.background.get(row) else { return self.own.to_vec() };
        let mut x = drawn.clone();
        for feature in rule.iter().copied().filter(|feature| !self.holds(row, *feature)) {
            let known = &self.rows[feature];
            x[feature] = match known.get(rng.below(known.len().max(1))) {
                Some(other) => self.background[*other][feature],
                None => self.own[feature],
            };
        }
        x
    }

    /// Such as `bmi <= 0.02 and 1 < age <= 2`.
    pub(super) fn words(&self, rule: &[usize], input: &Input) -> String {
        let value = |x: f32| number(f64::from(x));
        let part = |feature: &usize| {
            let name = input.feature(*feature);
            match self.bins[*feature] {
                [Some(low), Some(high)] => format!("{} < {name} <= {}", value(low), value(high)),
                [Some(low), None] => format!("{name} > {}", value(low)),
                [None, Some(high)] => format!("{name} <= {}", value(high)),
                [None, None] => name,
            }
        };
        rule.iter().map(part).collect::<Vec<_>>().join(" and ")
    }
}

fn within(value: Option<f32>, [low, high]: Bin) -> bool {
    value.is_some_and(|v| low.is_none_or(|low| v > low) && high.is_none_or(|high| v <= high))
}

/// The quartiles of each feature, once each; without those that no row is above.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn edges(background: &[Vec<f32>], width: usize) -> Vec<Vec<f32>> {
    let of = |feature: usize| {
        let column = background.iter().filter_map(|row| row.get(feature));
        let mut column: Vec<f64> = column.map(|value| f64::from(*value)).collect();
        column.sort_by(f64::total_cmp);
        let quartiles = [0.25, 0.5, 0.75].map(|share| quantile(&column, share) as f32);
        let last = column.last().copied().unwrap_or(f64::NEG_INFINITY);
        let mut edges: Vec<f32> = quartiles.into_iter().filter(|edge| f64::from(*edge) < last).collect();
        edges.dedup();
        edges
    };
    (0..width).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_for_what_is_drawn_and_their_coverage_is_counted() {
        let background: Vec<Vec<f32>> = (0..100).map(|i| vec![i as f32, (i % 2) as f32, 7.0]).collect();
        let edges = edges(&background, 3);
        assert_eq!(edges, [vec![24.75, 49.5, 74.25], vec![0.0, 0.5], vec![]]);
        let own = [30.0, 1.0, 7.0];
        let bins = Bins::new(&own, &background, &edges);
        assert_eq!(bins.features(), [0, 1]);
        assert_eq!((bins.coverage(&[]), bins.coverage(&[0]), bins.coverage(&[0, 1])), (1.0, 0.25, 0.13));
        let mut rng = Rng::new(0, "anchors", "0", 0);
        for _ in 0..200 {
            let x = bins.draw(&[0, 1], &mut rng);
            assert!(x[0] > 24.75 && x[0] <= 49.5 && x[1] == 1.0, "{x:?}");
        }
        // What the rule does not speak of is drawn from all rows.
        let free = (0..2000).filter(|_| bins.draw(&[1], &mut rng)[0] > 49.5).count();
        assert!((900..1100).contains(&free), "{free}");
    }
}

//! What reference rows say of each feature, and rows drawn from it.

use super::surrogate::Neighbour;
use crate::metric::{mean_and_deviation, quantile};
use crate::tensor::Rng;

/// The features of the reference rows.
pub(super) struct Table(Vec<Column>);

struct Column {
    mean: f64,
    /// Standard deviation; 1 where all values are the same, as in sklearn's `StandardScaler`.
    scale: f64,
    /// Quartiles, each of several equal ones once.
    bounds: Vec<f64>,
    /// One more than bounds: the values up to each, and those beyond the last.
    bins: Vec<Bin>,
}

/// The values between two bounds.
#[derive(Default)]
struct Bin {
    /// Of all values.
    share: f64,
    mean: f64,
    deviation: f64,
    low: f64,
    high: f64,
}

/// Draws before the mean is taken: each is inside with a probability of about a half at the least, because values
/// between two bounds deviate from their mean by no more than the way to these allows.
const TRIES: usize = 64;

impl Bin {
    #[allow(clippy::cast_precision_loss)]
    fn new(sorted: &[f64], of: usize) -> Self {
        let (Some(low), Some(high)) = (sorted.first(), sorted.last()) else { return Self::default() };
        let (mean, deviation) = mean_and_deviation(sorted);
        // Rounding may take the mean of equal values beyond them.
        let mean = mean.max(*low).min(*high);
        Self { share: sorted.len() as f64 / of as f64, mean, deviation, low: *low, high: *high }
    }

    /// A value between the bounds, from the normal distribution with the bin's mean and deviation.
    fn draw(&self, rng: &mut Rng) -> f64 {
        let mut tries = (0..TRIES).map(|_| self.mean + self.deviation * rng.normal());
        tries.find(|value| (self.low..=self.high).contains(value)).unwrap_or(self.mean)
    }
}

impl Column {
    fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (mean, deviation) = mean_and_deviation(&values);
        let mut bounds: Vec<f64> = [0.25, 0.5, 0.75].map(|share| quantile(&values, share)).into();
        bounds.dedup();
        let ends = bounds.iter().map(|bound| values.partition_point(|v| v <= bound)).chain([values.len()]);
        let (mut bins, mut from) = (Vec::new(), 0);
        for end in ends {
            let mut bin = Bin::new(&values[from..end.max(from)], values.len());
            // The bounds themselves can be drawn, also where no value lies on them.
            if bin.share > 0.0 {
                bin.low = if from == 0 { bin.low } else { bounds[bins.len() - 1] };
                bin.high = bounds.get(bins.len()).copied().unwrap_or(bin.high);
            }
            bins.push(bin);
            from = end.max(from);
        }
        let scale = if values.first() == values.last() { 1.0 } else { deviation };
        Self { mean, scale, bounds, bins }
    }

    fn bin(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let mut at = rng.uniform();
        let chosen = self.bins.iter().position(|bin| {
            at -= bin.share;
            at < 0.0
        });
        let last = || self.bins.iter().rposition(|bin| bin.share > 0.0).unwrap_or(0);
        chosen.unwrap_or_else(last)
    }
}

impl Table {
    pub(super) fn new(rows: &[Vec<f32>]) -> Self {
        let width = rows.iter().map(Vec::len).min().unwrap_or(0);
        Self((0..width).map(|i| Column::new(rows.iter().map(|row| f64::from(row[i])).collect())).collect())
    }

    /// The case itself.
    pub(super) fn own(&self, x: &[f32], discretize: bool) -> Neighbour {
        let scaled = |(x, column): (&f32, &Column)| (f64::from(*x) - column.mean) / column.scale;
        let features = x.iter().zip(&self.0).map(|pair| if discretize { 1.0 } else { scaled(pair) });
        Neighbour { x: x.to_vec(), features: features.collect(), distance: 0.0 }
    }

    /// A row with each feature from the normal distribution of its mean and deviation, which it is scaled by.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn normal(&self, own: &Neighbour, rng: &mut Rng) -> Neighbour {
        let features: Vec<f64> = self.0.iter().map(|_| rng.normal()).collect();
        let x = features.iter().zip(&self.0).map(|(z, column)| (column.mean + z * column.scale) as f32).collect();
        let squares = features.iter().zip(&own.features).map(|(z, own)| (z - own).powi(2));
        Neighbour { x, distance: squares.sum::<f64>().sqrt(), features }
    }

    /// A row with each feature from one of its bins: 1 where that is the case's own, 0 elsewhere.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn binned(&self, own: &Neighbour, rng: &mut Rng) -> Neighbour {
        let (mut x, mut features) = (Vec::with_capacity(self.0.len()), Vec::with_capacity(self.0.len()));
        for (column, own) in self.0.iter().zip(&own.x) {
            let bin = column.draw(rng);
            x.push(column.bins[bin].draw(rng) as f32);
            features.push(f64::from(u8::from(bin == column.bin(f64::from(*own)))));
        }
        let others: f64 = features.iter().map(|same| 1.0 - same).sum();
        Neighbour { x, features, distance: others.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f64]) -> Column {
        Column::new(values.to_vec())
    }

    #[test]
    fn quartiles_are_those_of_numpy_and_values_at_them_are_below() {
        let some = column(&[4.0, 1.0, 3.0, 2.0, 10.0, 7.0]);
        assert_eq!(some.bounds, [2.25, 3.5, 6.25]);
        assert_eq!([1.0, 2.25, 2.3, 6.25, 99.0].map(|v| some.bin(v)), [0, 0, 1, 2, 3]);
        assert_eq!(some.bins.iter().map(|bin| bin.share * 6.0).collect::<Vec<_>>(), [2.0, 1.0, 1.0, 2.0]);
        assert!((some.mean - 4.5).abs() < 1e-12 && (some.scale - 9.583_333_333f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn drawn_values_stay_in_their_bins() {
        for values in
            [vec![0.0; 5], vec![0.0, 0.0, 0.0, 0.0, 1.0], vec![-3.0, 0.0, 0.1, 0.2, 0.3, 0.4, 50.0], vec![2.0]]
        {
            let column = column(&values);
            let mut rng = Rng::new(0, "lime", "0", 0);
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            let mut counts = vec![0.0; column.bins.len()];
            for _ in 0..2000 {
                let bin = column.draw(&mut rng);
                let value = column.bins[bin].draw(&mut rng);
                counts[bin] += 1.0 / 2000.0;
                assert!((low..=high).contains(&value), "{value} of {values:?}");
                assert!(column.bin(value) == bin || column.bounds.contains(&value), "{value} of {values:?}");
            }
            let near = counts.iter().zip(&column.bins).all(|(count, bin)| (count - bin.share).abs() < 0.05);
            assert!(near, "{counts:?} of {values:?}");
        }
    }

    #[test]
    fn rows_are_drawn_around_the_mean_and_scaled() {
        let table = Table::new(&[vec![1.0, 5.0], vec![3.0, 5.0]]);
        let own = table.own(&[4.0, 6.0], false);
        assert_eq!(own.features, [2.0, 1.0]);
        let drawn = table.normal(&own, &mut Rng::new(0, "lime", "0", 0));
        assert!((f64::from(drawn.x[0]) - 2.0 - drawn.features[0]).abs() < 1e-6);
        let [a, b] = [drawn.features[0] - 2.0, drawn.features[1] - 1.0];
        assert!((drawn.distance - a.hypot(b)).abs() < 1e-12);
        let drawn = table.binned(&table.own(&[4.0, 5.0], true), &mut Rng::new(0, "lime", "0", 0));
        assert!((1.0..=3.0).contains(&drawn.x[0]) && drawn.x[1].to_bits() == 5.0f32.to_bits());
        assert!(drawn.features[1] == 1.0 && drawn.distance == (1.0 - drawn.features[0]).sqrt());
        assert!(Table::new(&[]).own(&[1.0], true).features.is_empty());
    }
}

//! A case of which parts are hidden.

use super::coalition::{Coalition, some};
use super::partition::Partition;
use super::study::Grid;
use super::surrogate::Neighbour;
use crate::tensor::Rng;

/// A case, what hides its parts, and those parts that look different when they are hidden.
pub(super) struct Parts<'a> {
    x: &'a [f32],
    hidden: Vec<f32>,
    partition: Partition,
    seen: Vec<usize>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(x: &'a [f32], hidden: Vec<f32>, partition: Partition) -> Self {
        let mut differs = vec![false; partition.count];
        for ((x, hidden), part) in x.iter().zip(&hidden).zip(&partition.of) {
            differs[*part] |= x.to_bits() != hidden.to_bits();
        }
        let seen = (0..partition.count).filter(|part| differs[*part]).collect();
        Self { x, hidden, partition, seen }
    }

    /// The case itself.
    pub(super) fn own(&self) -> Neighbour {
        Neighbour { x: self.x.to_vec(), features: vec![1.0; self.seen.len()], distance: 0.0 }
    }

    /// Each part hidden or not by a coin, as lime does to pictures.
    pub(super) fn coins(&self, rng: &mut Rng) -> Neighbour {
        self.with(&self.seen.iter().map(|_| rng.bits() & 1 == 1).collect())
    }

    /// At least one part hidden and at most all, each number alike, as lime does to texts.
    pub(super) fn some(&self, rng: &mut Rng) -> Neighbour {
        let known = rng.below(self.seen.len().max(1));
        self.with(&some(self.seen.len(), known, rng))
    }

    /// These of the parts that can be seen. The distance is one less the cosine.
    #[allow(clippy::cast_precision_loss)]
    fn with(&self, seen: &Coalition) -> Neighbour {
        let mut known = vec![true; self.partition.count];
        self.seen.iter().zip(seen).for_each(|(part, seen)| known[*part] = *seen);
        let features: Vec<f64> = seen.iter().map(|seen| f64::from(u8::from(*seen))).collect();
        let share = features.iter().sum::<f64>() / features.len().max(1) as f64;
        Neighbour { x: self.partition.mixed(self.x, &self.hidden, &known), features, distance: 1.0 - share.sqrt() }
    }

    /// What each value gets of the weights of the parts that can be seen.
    pub(super) fn spread(&self, weights: &[f64]) -> Vec<f32> {
        let mut all = vec![0.0; self.partition.count];
        self.seen.iter().zip(weights).for_each(|(part, weight)| all[*part] = *weight);
        self.partition.spread(&all)
    }
}

/// A picture in which each part has its mean colour.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn mean_colours(x: &[f32], partition: &Partition, ([channels, ..], [stride, ..]): Grid) -> Vec<f32> {
    let place = |(at, part): (usize, &usize)| part * channels + at / stride.max(1) % channels;
    let mut sums = vec![(0.0, 0.0); partition.count * channels];
    for (x, place) in x.iter().zip(partition.of.iter().enumerate().map(place)) {
        let (sum, count) = &mut sums[place];
        (*sum, *count) = (*sum + f64::from(*x), *count + 1.0);
    }
    partition.of.iter().enumerate().map(place).map(|place| (sums[place].0 / sums[place].1) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_can_be_seen_are_hidden_and_the_distance_is_that_of_the_cosine() {
        // The third part looks the same when it is hidden.
        let parts = Parts::new(&[1.0, 2.0, 0.0, 3.0], vec![0.0; 4], Partition::new(vec![0, 1, 2, 0]));
        assert_eq!((parts.own().features, parts.own().distance), (vec![1.0; 2], 0.0));
        let one = parts.with(&vec![true, false]);
        assert_eq!((one.x, one.features), (vec![1.0, 0.0, 0.0, 3.0], vec![1.0, 0.0]));
        assert!((one.distance - (1.0 - 0.5f64.sqrt())).abs() < 1e-12);
        let none = parts.with(&vec![false, false]);
        assert_eq!((none.x, none.distance), (vec![0.0; 4], 1.0));
        assert_eq!(parts.spread(&[4.0, 5.0]), [2.0, 5.0, 0.0, 2.0]);
    }

    #[test]
    fn coins_hide_half_and_texts_lose_any_number() {
        let parts = Parts::new(&[1.0; 4], vec![0.0; 4], Partition::new(vec![0, 1, 2, 3]));
        let mut rng = Rng::new(0, "lime", "0", 0);
        let (mut seen, mut counts) = (0.0, [0; 5]);
        for _ in 0..4000 {
            seen += parts.coins(&mut rng).features.iter().sum::<f64>() / 16_000.0;
            counts[parts.some(&mut rng).features.iter().sum::<f64>() as usize] += 1;
        }
        assert!((seen - 0.5).abs() < 0.02, "{seen}");
        assert!(counts[4] == 0 && counts[..4].iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn hidden_parts_have_their_mean_colour() {
        // Two channels in the order of planes, then of pixels.
        let (parts, planes) = (Partition::new(vec![0, 0, 1, 0, 0, 1]), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!(mean_colours(&planes, &parts, ([2, 1, 3], [3, 3, 1])), [2.0, 2.0, 5.0, 3.0, 3.0, 6.0]);
        let (parts, pixels) = (Partition::new(vec![0, 0, 0, 0, 1, 1]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(mean_colours(&pixels, &parts, ([2, 1, 3], [1, 6, 2])), [2.0, 3.0, 2.0, 3.0, 5.0, 6.0]);
    }
}

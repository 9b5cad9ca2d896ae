//! What a person would point at: pixels of a picture, values of another input.

use super::super::study::{Study, one_row};

/// Places of a case, each with its values: a pixel's channels, or one value.
#[derive(Clone, Copy)]
pub(super) struct Places {
    size: [usize; 3],
    strides: [usize; 3],
}

impl Places {
    pub(super) fn of(study: &Study<'_>, values: usize) -> Self {
        let (size, strides) = study.grid().unwrap_or_else(|| one_row(values));
        Self { size, strides }
    }

    /// Rows and columns; one row where the input is no picture.
    pub(super) fn sides(self) -> [usize; 2] {
        [self.size[1], self.size[2]]
    }

    pub(super) fn count(self) -> usize {
        self.size[1] * self.size[2]
    }

    /// The values of a place, counted row by row.
    pub(super) fn values(self, place: usize) -> impl Iterator<Item = usize> {
        let [channel, row, column] = self.strides;
        let at = place / self.size[2] * row + place % self.size[2] * column;
        (0..self.size[0]).map(move |c| c * channel + at)
    }

    /// What each place gets of what its values get: the sum.
    pub(super) fn sums(self, attribution: &[f32]) -> Vec<f64> {
        let sum = |place| self.values(place).map(|i| f64::from(attribution[i])).sum();
        (0..self.count()).map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_has_its_channels() {
        let planes = Places { size: [3, 2, 2], strides: [4, 2, 1] };
        assert_eq!(planes.values(3).collect::<Vec<_>>(), [3, 7, 11]);
        let pixels = Places { size: [3, 2, 2], strides: [1, 6, 3] };
        assert_eq!(pixels.values(3).collect::<Vec<_>>(), [9, 10, 11]);
        assert_eq!(pixels.sums(&[1.0; 12]), [3.0; 4]);
    }
}

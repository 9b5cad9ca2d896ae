//! Floats that begin where a cache line does: vectors of a block then never cross from one line into the next.

use std::ops::{Deref, DerefMut};

use super::simd::LANES;

/// Bytes of a cache line, and of a vector.
const LINE: usize = LANES * size_of::<f32>();

#[derive(Debug)]
pub(super) struct Aligned {
    values: Vec<f32>,
    start: usize,
    length: usize,
}

impl Aligned {
    #[must_use]
    pub(super) fn zeros(length: usize) -> Self {
        let values = vec![0.0; length + LANES];
        // The allocation stays where it is, for it neither grows nor is copied.
        let start = values.as_ptr().align_offset(LINE).min(LANES);
        Self { values, start, length }
    }
}

impl From<&[f32]> for Aligned {
    fn from(values: &[f32]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.length]
    }
}

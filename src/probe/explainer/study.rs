//! What an explainer may ask.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView1};

use super::view::View;
use crate::engine::{Input, Local, Row, Target};
use crate::error::Result;
use crate::tensor::Rng;

/// Floats of the rows that are asked about at once.
const AT_ONCE: usize = 1 << 22;

/// Rows that are made at once, at most.
const ROWS: usize = 4096;

/// A case to be explained.
#[derive(Clone, Debug)]
pub struct Case {
    pub id: String,
    /// The probed input in row-major order.
    pub x: Vec<f32>,
    /// The class whose score is explained.
    pub class: usize,
    /// By pixel of a picture, or by value: whether it is part of what the case shows, where someone has said so.
    pub mask: Option<Vec<bool>>,
}

/// An explanation of a case.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Of each value of the probed input, signed, in units of what is explained.
    pub attribution: Vec<f32>,
    /// How far the attributions are from what they should add up to, in the same units.
    pub residual: f64,
    /// The residual as a share of what they should add up to; 1 if that is nothing and they add up to something.
    pub relative: f64,
    /// By name: its own, and how good it is by [`MEASURES`](super::MEASURES), as far as that was asked for.
    pub measures: BTreeMap<&'static str, f64>,
    /// What it says in words; empty if the attributions say it all.
    pub words: String,
}

impl Explanation {
    /// One whose attributions should add up to `whole`.
    pub(super) fn adding_up_to(whole: f64, attribution: Vec<f32>) -> Self {
        let sum: f64 = attribution.iter().map(|a| f64::from(*a)).sum();
        Self::new(attribution, sum - whole, whole)
    }

    pub(super) fn new(attribution: Vec<f32>, residual: f64, whole: f64) -> Self {
        let relative = match (residual, whole) {
            (0.0, _) => 0.0,
            (_, 0.0) => 1.0,
            _ => (residual / whole).abs().min(f64::MAX),
        };
        Self { attribution, residual, relative, measures: BTreeMap::new(), words: String::new() }
    }

    /// The same with words and measures of its own.
    pub(super) fn saying<const N: usize>(self, words: String, measures: [(&'static str, f64); N]) -> Self {
        Self { words, measures: measures.into(), ..self }
    }
}

/// Channels, rows and columns, and their strides.
pub(super) type Grid = ([usize; 3], [usize; 3]);

/// Values that are no picture, as one row of pixels.
pub(super) fn one_row(values: usize) -> Grid {
    ([1, 1, values], [values, values, 1])
}

/// Cases, and the function of the probed input that is explained.
#[derive(Clone, Copy)]
pub(in crate::probe) struct Study<'a> {
    pub(in crate::probe) target: &'a Target<'a>,
    pub(in crate::probe) cases: &'a [Case],
    /// Rows that stand for values that are not there.
    pub(in crate::probe) background: &'a [Vec<f32>],
    pub(in crate::probe) view: View,
    pub(in crate::probe) seed: u64,
    pub(in crate::probe) check: &'a str,
}

impl Study<'_> {
    /// The random numbers of a case.
    pub(in crate::probe) fn rng(&self, case: usize) -> Rng {
        Rng::new(self.seed, self.check, &self.cases[case].id, 0)
    }

    /// The cases as they are, or each as `change` makes it.
    pub(in crate::probe) fn rows(&self, mut change: impl FnMut(&Case) -> Vec<f32>) -> Vec<Row> {
        self.cases.iter().enumerate().map(|(case, c)| Row { case, x: change(c) }).collect()
    }

    /// Rows that should be made at once, so that they do not take much memory.
    pub(super) fn batch(&self) -> usize {
        (AT_ONCE / self.input().len().max(1)).clamp(1, ROWS)
    }

    /// The mean of the reference rows; `None` without any.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn mean_row(&self) -> Option<Vec<f32>> {
        let rows = self.background;
        let mean = |i: usize| (rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / rows.len() as f64) as f32;
        (!rows.is_empty()).then(|| (0..self.input().len()).map(mean).collect())
    }

    /// What is explained, at each case as it is.
    pub(super) fn clean(&self) -> Result<Vec<f64>> {
        self.values(&self.rows(|case| case.x.clone()))
    }

    /// What is explained, at each row.
    pub(in crate::probe) fn values(&self, rows: &[Row]) -> Result<Vec<f64>> {
        let mut values = Vec::with_capacity(rows.len());
        for rows in rows.chunks(self.batch()) {
            let scores = self.target.scores(&rows.iter().collect::<Vec<_>>())?;
            values.extend(rows.iter().zip(scores.rows()).map(|(row, scores)| self.value(row.case, scores)));
        }
        Ok(values)
    }

    /// What is explained at `count` rows about one case, of which some exist at a time; `row` appends the values of one.
    pub(in crate::probe) fn values_at(
        &self,
        case: usize,
        count: usize,
        row: impl FnMut(usize, &mut Vec<f32>),
    ) -> Result<Vec<f64>> {
        self.scores_at(case, count, row, |scores| self.value(case, scores))
    }

    /// The same of what is made of all scores of a row.
    pub(in crate::probe) fn scores_at<T>(
        &self,
        case: usize,
        count: usize,
        mut row: impl FnMut(usize, &mut Vec<f32>),
        mut make: impl FnMut(ArrayView1<'_, f64>) -> T,
    ) -> Result<Vec<T>> {
        let mut made = Vec::new();
        for start in (0..count).step_by(self.batch()) {
            let some = start..count.min(start + self.batch());
            let mut rows = Vec::with_capacity(some.len() * self.input().len());
            some.for_each(|i| row(i, &mut rows));
            made.extend(self.target.scores_of(case, rows)?.rows().into_iter().map(&mut make));
        }
        Ok(made)
    }

    /// What is explained and its gradient at each row, one after the other.
    pub(in crate::probe) fn gradients(&self, rows: &[Row], mut visit: impl FnMut(&Row, f64, Vec<f32>)) -> Result<()> {
        for rows in rows.chunks(self.target.gradient_batch()) {
            let local = self.target.linearize(&rows.iter().collect::<Vec<_>>())?;
            let (values, cotangents) = self.cotangents(rows, &local);
            let gradients = local.pull(cotangents)?;
            rows.iter().zip(values).zip(gradients).for_each(|((row, value), gradient)| visit(row, value, gradient));
        }
        Ok(())
    }

    /// What is explained at each row, and the derivatives of it by the scores.
    pub(in crate::probe) fn cotangents(&self, rows: &[Row], local: &Local<'_>) -> (Vec<f64>, Array2<f64>) {
        let mut cotangents = Array2::zeros(local.scores().raw_dim());
        let mut values = Vec::new();
        for ((row, scores), mut cotangent) in rows.iter().zip(local.scores().rows()).zip(cotangents.rows_mut()) {
            let class = self.cases[row.case].class;
            let (value, derivative) = self.view.of(&scores.to_vec(), class, self.target.kind());
            cotangent.iter_mut().zip(derivative).for_each(|(c, d)| *c = d);
            values.push(value);
        }
        (values, cotangents)
    }

    /// The probed input.
    pub(in crate::probe) fn input(&self) -> &Input {
        self.target.input()
    }

    /// Channels, height and width of a picture, with their strides.
    pub(in crate::probe) fn grid(&self) -> Option<Grid> {
        self.target.grid()
    }

    fn value(&self, case: usize, scores: ArrayView1<'_, f64>) -> f64 {
        self.view.value(scores, self.cases[case].class, self.target.kind())
    }
}

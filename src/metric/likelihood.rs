//! What a classifier's scores say of each class.

use crate::tensor::argmax;

/// Probabilities behind a row of scores, in float64.
pub struct Likelihood<'a> {
    scores: &'a [f32],
    /// Of logits: the largest, and the logarithm of the sum of exponentials of what the others lie below it.
    logits: Option<(f64, f64)>,
}

impl<'a> Likelihood<'a> {
    /// Of probabilities, or of logits: then a softmax of them.
    pub fn new(scores: &'a [f32], probabilities: bool) -> Self {
        let top = scores.get(argmax(scores)).map_or(0.0, |top| f64::from(*top));
        let sum = || scores.iter().map(|s| (f64::from(*s) - top).exp()).sum::<f64>();
        Self { scores, logits: (!probabilities).then(|| (top, sum().ln())) }
    }

    /// The probability of a class.
    pub fn of(&self, class: usize) -> f64 {
        let score = f64::from(self.scores[class]);
        self.logits.map_or(score, |(top, sum)| (score - top - sum).exp())
    }

    /// -ln p. Probabilities below the float's spacing at 1 count as that, as in scikit-learn's `log_loss`; logits need
    /// no such bound.
    pub fn nll(&self, class: usize) -> f64 {
        let score = f64::from(self.scores[class]);
        self.logits.map_or_else(|| -score.max(f64::EPSILON).ln(), |(top, sum)| sum - (score - top))
    }

    /// Squared error of the probabilities, summed over all classes: 0 to 2.
    pub fn brier(&self, label: usize) -> f64 {
        let miss = |class: usize| self.of(class) - f64::from(u8::from(class == label));
        (0..self.scores.len()).map(|class| miss(class).powi(2)).sum()
    }

    /// Number of classes that stand before `class`; ties go to the lower index.
    pub fn rank(&self, class: usize) -> usize {
        let own = self.scores[class];
        self.scores.iter().enumerate().filter(|&(i, s)| *s > own || (*s == own && i < class)).count()
    }
}

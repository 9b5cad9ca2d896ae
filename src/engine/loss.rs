//! Losses over scores: a value that an attack increases, and the way there.
//!
//! All in float64: from float32 scores of a model that is sure, most of a cross-entropy's gradient would be rounding.

use super::signature::OutputKind;

/// What an attack increases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// -ln of the right classes' probability; targeted: ln of the target's.
    CrossEntropy,
    /// The best wrong score less the best right one; targeted: the target's less the best other one.
    Margin,
    /// The difference of logits ratio (Croce and Hein, 2020, arXiv:2003.01690), which does not change when all scores are
    /// scaled or shifted. It takes three classes, the targeted one four; with fewer, the next simpler loss stands in:
    /// untargeted, then the margin.
    Dlr,
    /// The margin up to this one, then flat (Carlini and Wagner, 2017, arXiv:1608.04644).
    Cw { confidence: f64 },
}

/// What counts as success.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    /// Classes that are right.
    pub right: &'a [usize],
    /// The class to be predicted; any that is not right if there is none.
    pub target: Option<usize>,
}

impl Aim<'_> {
    /// Whether a prediction is what the attack wants.
    pub fn reached(&self, predicted: usize) -> bool {
        self.target.map_or_else(|| !self.right.contains(&predicted), |target| target == predicted)
    }
}

/// A loss at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    pub value: f64,
    /// Over the scores; its largest entry is 1 or -1 (all are 0 where the loss is flat), so that what a sure model has
    /// of gradient is not lost in float32.
    pub cotangent: Vec<f64>,
    /// The loss's own derivative is this times the cotangent.
    pub scale: f64,
}

impl Pull {
    /// With the derivative brought to size 1. `scale` is what was left out of it already.
    fn new(value: f64, mut derivative: Vec<f64>, scale: f64) -> Self {
        let size = derivative.iter().fold(0.0, |size, d| f64::max(size, d.abs()));
        if size > 0.0 && size.is_finite() {
            derivative.iter_mut().for_each(|d| *d /= size);
            return Self { value, cotangent: derivative, scale: scale * size };
        }
        Self { value, cotangent: vec![0.0; derivative.len()], scale: 0.0 }
    }
}

impl Loss {
    /// Whether a simpler loss stands in, because there are too few classes.
    pub fn is_simplified(self, classes: usize, targeted: bool) -> bool {
        self == Self::Dlr && classes < if targeted { 4 } else { 3 }
    }

    /// The loss of one row of scores. Of probabilities it is that of their logarithms, which are logits up to a shift.
    pub fn pull(self, scores: &[f64], kind: OutputKind, aim: &Aim<'_>) -> Pull {
        let z = logits(scores, kind);
        let (value, derivative, scale) = match (self, aim.target) {
            (Self::CrossEntropy, None) => cross_entropy(&z, aim.right),
            (Self::CrossEntropy, Some(target)) => {
                let (value, mut derivative, scale) = cross_entropy(&z, &[target]);
                derivative.iter_mut().for_each(|d| *d = -*d);
                (-value, derivative, scale)
            }
            (Self::Margin, _) => margin(&z, aim),
            (Self::Dlr, _) => dlr(&z, aim),
            (Self::Cw { confidence }, _) => match margin(&z, aim) {
                (value, derivative, _) if value >= confidence => (confidence, vec![0.0; derivative.len()], 1.0),
                below => below,
            },
        };
        through(Pull::new(value, derivative, scale), scores, kind)
    }
}

/// The score of class `over` less that of class `under`, as logits.
pub fn difference(scores: &[f64], kind: OutputKind, over: usize, under: usize) -> Pull {
    let z = logits(scores, kind);
    let mut derivative = vec![0.0; z.len()];
    derivative[over] += 1.0;
    derivative[under] -= 1.0;
    through(Pull::new(z[over] - z[under], derivative, 1.0), scores, kind)
}

/// The scores, or the logarithms of probabilities: those that underflowed count as the smallest normal float32.
pub fn logits(scores: &[f64], kind: OutputKind) -> Vec<f64> {
    let ln = |p: &f64| p.max(f64::from(f32::MIN_POSITIVE)).ln();
    if kind == OutputKind::Probabilities { scores.iter().map(ln).collect() } else { scores.to_vec() }
}

/// From the derivative over logits to that over the scores.
fn through(pull: Pull, scores: &[f64], kind: OutputKind) -> Pull {
    if kind != OutputKind::Probabilities {
        return pull;
    }
    let over = |(d, p): (&f64, &f64)| d / p.max(f64::from(f32::MIN_POSITIVE));
    Pull::new(pull.value, pull.cotangent.iter().zip(scores).map(over).collect(), pull.scale)
}

/// Index of the largest score of a class that `of` accepts; the first of equals.
fn best(z: &[f64], of: impl Fn(usize) -> bool) -> Option<usize> {
    (0..z.len()).filter(|i| of(*i)).max_by(|a, b| z[*a].total_cmp(&z[*b]).then(b.cmp(a)))
}

/// ln of the sum of exponentials over the classes that `of` accepts, and their shares of it.
fn share(z: &[f64], of: impl Fn(usize) -> bool + Copy) -> (f64, Vec<f64>) {
    let Some(top) = best(z, of) else { return (f64::NEG_INFINITY, vec![0.0; z.len()]) };
    let terms: Vec<f64> = (0..z.len()).map(|i| if of(i) { (z[i] - z[top]).exp() } else { 0.0 }).collect();
    let sum: f64 = terms.iter().sum();
    (z[top] + sum.ln(), terms.into_iter().map(|t| t / sum).collect())
}

/// -ln of the probability of the classes `right`. Its derivative is the share among the others less the share among
/// `right`, times the others' probability, which is given apart: it may be too small for any float.
fn cross_entropy(z: &[f64], right: &[usize]) -> (f64, Vec<f64>, f64) {
    let (inside, own) = share(z, |i| right.contains(&i));
    let (outside, others) = share(z, |i| !right.contains(&i));
    let gap = outside - inside;
    let value = if gap > 0.0 { gap + (-gap).exp().ln_1p() } else { gap.exp().ln_1p() };
    let wrong = 1.0 / (1.0 + (-gap).exp());
    (value, others.iter().zip(own).map(|(o, s)| o - s).collect(), wrong)
}

/// The class that should win and the one that does, of those that count.
fn rivals(z: &[f64], aim: &Aim<'_>) -> Option<(usize, usize)> {
    match aim.target {
        Some(target) => Some((target, best(z, |i| i != target)?)),
        None => Some((best(z, |i| !aim.right.contains(&i))?, best(z, |i| aim.right.contains(&i))?)),
    }
}

fn margin(z: &[f64], aim: &Aim<'_>) -> (f64, Vec<f64>, f64) {
    let mut derivative = vec![0.0; z.len()];
    let Some((over, under)) = rivals(z, aim) else { return (0.0, derivative, 1.0) };
    derivative[over] += 1.0;
    derivative[under] -= 1.0;
    (z[over] - z[under], derivative, 1.0)
}

/// What keeps the ratio finite where all scores are equal.
const TINY: f64 = 1e-12;

fn dlr(z: &[f64], aim: &Aim<'_>) -> (f64, Vec<f64>, f64) {
    let right = best(z, |i| aim.right.contains(&i));
    let wrong = best(z, |i| !aim.right.contains(&i));
    let (Some(right), Some(wrong), 3..) = (right, wrong, z.len()) else { return margin(z, aim) };
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|a, b| z[*b].total_cmp(&z[*a]).then(a.cmp(b)));
    let mut span = vec![0.0; z.len()];
    span[order[0]] += 1.0;
    let over = match aim.target.filter(|_| z.len() > 3) {
        Some(target) => {
            span[order[2]] -= 0.5;
            span[order[3]] -= 0.5;
            target
        }
        None => {
            span[order[2]] -= 1.0;
            aim.target.unwrap_or(wrong)
        }
    };
    let below = z.iter().zip(&span).map(|(z, s)| z * s).sum::<f64>() + TINY;
    let value = (z[over] - z[right]) / below;
    let mut derivative: Vec<f64> = span.iter().map(|s| -value * s / below).collect();
    derivative[over] += 1.0 / below;
    derivative[right] -= 1.0 / below;
    (value, derivative, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [Loss; 4] = [Loss::CrossEntropy, Loss::Margin, Loss::Dlr, Loss::Cw { confidence: 5.0 }];

    fn softmax(z: &[f64]) -> Vec<f64> {
        share(z, |_| true).1
    }

    #[test]
    fn cotangents_are_the_derivatives() {
        let z = [0.3, 2.0, -1.0, 1.1, 0.8];
        for (loss, target) in LOSSES.into_iter().flat_map(|l| [(l, None), (l, Some(2))]) {
            for (scores, kind) in [(z.to_vec(), OutputKind::Logits), (softmax(&z), OutputKind::Probabilities)] {
                let aim = Aim { right: &[1, 4], target };
                let pull = loss.pull(&scores, kind, &aim);
                for i in 0..scores.len() {
                    let at = |h: f64| {
                        let mut moved = scores.clone();
                        moved[i] += h;
                        loss.pull(&moved, kind, &aim).value
                    };
                    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                    let found = pull.scale * pull.cotangent[i];
                    assert!(
                        (slope - found).abs() < 1e-5 * (1.0 + slope.abs()),
                        "{loss:?} {kind:?} {i}: {found} {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn probabilities_give_the_losses_of_their_logits() {
        let z = [3.0, -1.0, 0.5, 0.2];
        let aim = Aim { right: &[0], target: None };
        for loss in LOSSES {
            let of_logits = loss.pull(&z, OutputKind::Logits, &aim).value;
            let of_probabilities = loss.pull(&softmax(&z), OutputKind::Probabilities, &aim).value;
            assert!((of_logits - of_probabilities).abs() < 1e-9, "{loss:?}");
        }
    }

    #[test]
    fn a_model_that_is_sure_still_has_a_way_out() {
        let pull = Loss::CrossEntropy.pull(&[900.0, 1.0, 0.0], OutputKind::Logits, &Aim { right: &[0], target: None });
        assert_eq!(pull.cotangent[0], -1.0);
        assert!(pull.cotangent[1] > pull.cotangent[2] && pull.cotangent[2] > 0.0, "{pull:?}");
    }

    #[test]
    fn few_classes_have_the_simpler_losses() {
        let two = |loss: Loss| loss.pull(&[1.0, 0.5], OutputKind::Logits, &Aim { right: &[0], target: None });
        assert_eq!(two(Loss::Dlr), two(Loss::Margin));
        let aim = Aim { right: &[0], target: Some(2) };
        let three = Loss::Dlr.pull(&[1.0, 0.5, 0.0], OutputKind::Logits, &aim);
        assert!((three.value - -1.0).abs() < 1e-9);
    }
}

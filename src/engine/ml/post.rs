//! What becomes of raw scores: onnxruntime's post transforms.

use anyhow::bail;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::TractResult;

use super::node::text;

/// A function of one row of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    None,
    Logistic,
    Softmax,
    /// Softmax over the scores that are not 0.
    SoftmaxZero,
    Probit,
}

impl Post {
    pub(super) fn read(node: &NodeProto) -> TractResult<Self> {
        Ok(match text(node, "post_transform", "NONE")?.as_str() {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => bail!("{}: the post transform {other} is not known", node.op_type),
        })
    }

    /// As v5 of `ai.onnx.ml` numbers them.
    pub(super) fn of(code: i64) -> TractResult<Self> {
        Ok(match code {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => bail!("the post transform {other} is not known"),
        })
    }

    /// Whether [`Self::pull`] knows it.
    pub(super) fn has_gradient(self) -> bool {
        matches!(self, Self::None | Self::Logistic | Self::Softmax)
    }

    /// The cotangent of raw scores from that of what [`Self::apply`] made of them.
    pub(super) fn pull(self, raw: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let mut p = raw.to_vec();
        self.apply(&mut p);
        let mean: f32 = p.iter().zip(cotangent).map(|(p, g)| p * g).sum();
        let slope = |(p, g): (&f32, &f32)| match self {
            Self::Logistic => g * p * (1.0 - p),
            Self::Softmax => p * (g - mean),
            _ => *g,
        };
        p.iter().zip(cotangent).map(slope).collect()
    }

    /// Applies to a row of several scores.
    pub(super) fn apply(self, row: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => row.iter_mut().for_each(|v| *v = logistic(*v)),
            Self::Probit => row.iter_mut().for_each(|v| *v = probit(*v)),
            Self::Softmax => softmax(row, |_| true),
            Self::SoftmaxZero => softmax(row, |v| v.abs() > 1e-7),
        }
    }
}

/// exp(v - max) of what is `in_play`, divided by its sum; the rest stays 0.
fn softmax(row: &mut [f32], in_play: impl Fn(f32) -> bool) {
    let top = row.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = if in_play(*v) { (*v - top).exp() } else { 0.0 };
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
}

pub(super) fn logistic(v: f32) -> f32 {
    let p = 1.0 / (1.0 + (-v.abs()).exp());
    if v < 0.0 { 1.0 - p } else { p }
}

/// The normal quantile by Winitzki's approximation of the inverse error function, with onnxruntime's constants.
#[allow(clippy::approx_constant)]
pub(super) fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (3.14159 * 0.147) + 0.5 * log;
    let root = (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * root.copysign(x)
}

/// How one raw score stands for two classes where no logistic is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// `[1 - s, s]`: the score is a probability.
    Complement,
    /// `[-s, s]`: the score is a margin.
    Opposite,
}

/// The scores of both classes from one raw score. PROBIT has none in onnxruntime; models with it are refused.
pub(super) fn fold(score: f32, post: Post, second: Second) -> [f32; 2] {
    match (post, second) {
        (Post::Logistic, _) => [logistic(-score), logistic(score)],
        (_, Second::Complement) => [1.0 - score, score],
        (_, Second::Opposite) => [-score, score],
    }
}

/// Index of the largest value, the first of equals.
pub(super) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}

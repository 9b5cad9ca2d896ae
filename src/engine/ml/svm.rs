//! SVMClassifier and SVMRegressor.

use anyhow::{bail, ensure};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{Kind, Labels, Operator, columns, floats, ints, own, table, text};
use super::post::{Post, Second, argmax, fold, logistic};

/// Most classes: pairs of them make scores.
const CLASSES_MAX: usize = 4096;

/// Support vectors (or, without any, rows of coefficients) and what a row is to each.
#[derive(Debug)]
struct Machine {
    kernel: Kernel,
    /// [vectors, features]
    vectors: Vec<f32>,
    features: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kernel {
    Linear,
    Poly { gamma: f32, coef0: f32, degree: f32 },
    Rbf { gamma: f32 },
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Machine {
    fn new(node: &NodeProto, vectors: Vec<f32>, count: usize, kernel: Kernel) -> TractResult<Self> {
        let found = vectors.len();
        let fits = found > 0 && count > 0 && found.is_multiple_of(count);
        ensure!(fits, "{}: {found} numbers do not make {count} vectors", node.op_type);
        Ok(Self { kernel, features: found / count, vectors })
    }

    /// The kernel between a row and every vector.
    fn similarities(&self, row: &[f32]) -> Vec<f32> {
        let dot = |v: &[f32]| row.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
        let one = |v: &[f32]| match self.kernel {
            Kernel::Linear => dot(v),
            Kernel::Poly { gamma, coef0, degree } => (gamma * dot(v) + coef0).powf(degree),
            Kernel::Rbf { gamma } => {
                let squares = row.iter().zip(v).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
                (-gamma * squares).exp()
            }
            Kernel::Sigmoid { gamma, coef0 } => (gamma * dot(v) + coef0).tanh(),
        };
        self.vectors.chunks_exact(self.features).map(one).collect()
    }

    /// The cotangent of a row from those of its similarities.
    fn pull(&self, row: &[f32], cotangents: &[f32]) -> Vec<f32> {
        let mut pulled = vec![0f32; row.len()];
        for (v, (k, g)) in
            self.vectors.chunks_exact(self.features).zip(self.similarities(row).into_iter().zip(cotangents))
        {
            let dot = || row.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
            let (scale, towards) = match self.kernel {
                Kernel::Linear => (1.0, 0.0),
                Kernel::Poly { gamma, coef0, degree } => {
                    (gamma * degree * (gamma * dot() + coef0).powf(degree - 1.0), 0.0)
                }
                Kernel::Rbf { gamma } => (2.0 * gamma * k, 1.0),
                Kernel::Sigmoid { gamma, .. } => (gamma * (1.0 - k * k), 0.0),
            };
            let each = pulled.iter_mut().zip(row.iter().zip(v));
            each.for_each(|(p, (x, v))| *p += g * scale * (v - towards * x));
        }
        pulled
    }

    fn rows(&self, input: &Kind) -> TractResult<TDim> {
        let (rows, columns) = table(input)?;
        let (expected, found) = (self.features, columns.to_usize().unwrap_or(self.features));
        ensure!(found == expected, "an SVM of {expected} features, rows of {found} were found");
        Ok(rows)
    }
}

impl Kernel {
    fn read(node: &NodeProto) -> TractResult<Self> {
        let params = floats(node, "kernel_params")?;
        let [gamma, coef0, degree] = match params.as_slice() {
            [] => [0.0; 3],
            [gamma, coef0, degree] => [*gamma, *coef0, *degree],
            other => bail!("{}: 3 kernel parameters were expected, {} were found", node.op_type, other.len()),
        };
        Ok(match text(node, "kernel_type", "LINEAR")?.as_str() {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            other => bail!("{}: the kernel {other} is not known", node.op_type),
        })
    }
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let (coefficients, rho) = (floats(node, "coefficients")?, floats(node, "rho")?);
    let count = node.get_attr_opt::<usize>("n_supports")?.unwrap_or(0);
    let rho = *rho.first().context("SVMRegressor: rho is missing")?;
    let one_class = node.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0;
    // Without support vectors the coefficients are the only one, with the linear kernel.
    let (machine, coefficients) = if count == 0 {
        (Machine::new(node, coefficients, 1, Kernel::Linear)?, vec![1.0])
    } else {
        let (found, vectors) = (coefficients.len(), floats(node, "support_vectors")?);
        ensure!(found == count, "SVMRegressor: {found} coefficients for {count} support vectors were found");
        (Machine::new(node, vectors, count, Kernel::read(node)?)?, coefficients)
    };
    Ok(own(Regressor { machine, coefficients, rho, one_class }, node))
}

/// One value a row; onnxruntime passes it through no post transform.
#[derive(Debug)]
struct Regressor {
    machine: Machine,
    coefficients: Vec<f32>,
    rho: f32,
    /// 1 above 0, else -1.
    one_class: bool,
}

impl Operator for Regressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        Ok(tvec![(DatumType::F32, tvec![self.machine.rows(&inputs[0])?, 1.to_dim()])])
    }

    fn differentiable(&self) -> Option<usize> {
        (!self.one_class).then_some(0)
    }

    fn pull(&self, row: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let cotangents: Vec<f32> = self.coefficients.iter().map(|c| c * cotangent[0]).collect();
        self.machine.pull(row, &cotangents)
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let value = |row: &[f32]| {
            let sum: f32 = self.machine.similarities(row).iter().zip(&self.coefficients).map(|(k, c)| k * c).sum();
            let value = sum + self.rho;
            if self.one_class { if value > 0.0 { 1.0 } else { -1.0 } } else { value }
        };
        let x = inputs[0].cast_to::<f32>()?;
        let values: Vec<f32> = x.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(columns(&x)).map(value).collect();
        Ok(tvec![Tensor::from_shape(&[values.len(), 1], &values)?])
    }
}

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let (labels, post) = (Labels::read(node, "classlabels_ints")?, Post::read(node)?);
    let (coefficients, rho) = (floats(node, "coefficients")?, floats(node, "rho")?);
    let (classes, pairs) = (labels.len(), labels.len() * labels.len().saturating_sub(1) / 2);
    ensure!((2..=CLASSES_MAX).contains(&classes), "SVMClassifier: {classes} classes; 2 to {CLASSES_MAX} were expected");
    let counts: Vec<usize> =
        ints(node, "vectors_per_class")?.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    let vectors = counts.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)).context("too many support vectors")?;
    if vectors == 0 {
        let machine = Machine::new(node, coefficients, classes, Kernel::Linear)?;
        let rho = *rho.first().context("SVMClassifier: rho is missing")?;
        return Ok(own(Linear { machine, rho, labels, post }, node));
    }
    let (prob_a, prob_b) = (floats(node, "prob_a")?, floats(node, "prob_b")?);
    let machine = Machine::new(node, floats(node, "support_vectors")?, vectors, Kernel::read(node)?)?;
    let weights = (classes - 1).checked_mul(vectors).context("too many support vectors")?;
    let fits = counts.len() == classes && coefficients.len() == weights && rho.len() == pairs;
    ensure!(fits, "SVMClassifier: coefficients, rho or vectors_per_class do not fit {classes} classes");
    let platt = prob_a.len() == prob_b.len() && (prob_a.is_empty() || prob_a.len() == pairs);
    ensure!(platt, "SVMClassifier: prob_a and prob_b want {pairs} numbers each");
    ensure!(
        pairs > 1 || !prob_a.is_empty() || post != Post::Probit,
        "SVMClassifier: PROBIT of one score for two classes has no defined answer"
    );
    Ok(own(Pairs { machine, counts, coefficients, rho, prob_a, prob_b, labels, post }, node))
}

/// liblinear: one row of coefficients a class.
#[derive(Debug)]
struct Linear {
    machine: Machine,
    rho: f32,
    labels: Labels,
    post: Post,
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        let rows = self.machine.rows(&inputs[0])?;
        let scores = tvec![rows.clone(), self.labels.len().to_dim()];
        Ok(tvec![(self.labels.dtype(), tvec![rows]), (DatumType::F32, scores)])
    }

    fn differentiable(&self) -> Option<usize> {
        self.post.has_gradient().then_some(1)
    }

    fn pull(&self, row: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let raw: Vec<f32> = self.machine.similarities(row).iter().map(|s| s + self.rho).collect();
        self.machine.pull(row, &self.post.pull(&raw, cotangent))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].cast_to::<f32>()?;
        let (mut winners, mut all) = (Vec::new(), Vec::new());
        for row in x.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(columns(&x)) {
            let mut scores = self.machine.similarities(row);
            scores.iter_mut().for_each(|s| *s += self.rho);
            winners.push(argmax(&scores));
            self.post.apply(&mut scores);
            all.extend(scores);
        }
        let scores = Tensor::from_shape(&[winners.len(), self.labels.len()], &all)?;
        Ok(tvec![self.labels.pick(&winners)?, scores])
    }
}

/// libsvm: a decision for each pair of classes; Platt's probabilities where the file has them.
#[derive(Debug)]
struct Pairs {
    machine: Machine,
    /// Support vectors of each class.
    counts: Vec<usize>,
    /// [classes - 1, vectors]
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    prob_a: Vec<f32>,
    prob_b: Vec<f32>,
    labels: Labels,
    post: Post,
}

impl Pairs {
    /// Scores a row: one a class, or without probabilities one a pair (two classes: two).
    fn width(&self) -> usize {
        if self.prob_a.is_empty() { self.rho.len().max(2) } else { self.labels.len() }
    }

    /// The decision of every pair (i, j), i < j: above 0 for class i.
    fn decisions(&self, row: &[f32]) -> Vec<f32> {
        let similarities = self.machine.similarities(row);
        let vectors = similarities.len();
        let starts: Vec<usize> = self.counts.iter().scan(0, |s, n| Some(std::mem::replace(s, *s + n))).collect();
        // The vectors of one class, weighted against another; a class has no row against itself.
        let part = |class: usize, line: usize| -> f64 {
            let range = starts[class]..starts[class] + self.counts[class];
            let weights = &self.coefficients[line * vectors..][range.clone()];
            weights.iter().zip(&similarities[range]).map(|(w, k)| f64::from(w * k)).sum()
        };
        let pairs = (0..self.counts.len()).flat_map(|i| (i + 1..self.counts.len()).map(move |j| (i, j)));
        #[allow(clippy::cast_possible_truncation)]
        let decision = |((i, j), rho): ((usize, usize), &f32)| (part(i, j - 1) + part(j, i) + f64::from(*rho)) as f32;
        pairs.zip(&self.rho).map(decision).collect()
    }

    /// The cotangents of similarities from those of decisions.
    fn pull_decisions(&self, cotangents: &[f32]) -> Vec<f32> {
        let vectors: usize = self.counts.iter().sum();
        let starts: Vec<usize> = self.counts.iter().scan(0, |s, n| Some(std::mem::replace(s, *s + n))).collect();
        let mut pulled = vec![0f32; vectors];
        let pairs = (0..self.counts.len()).flat_map(|i| (i + 1..self.counts.len()).map(move |j| (i, j)));
        for ((i, j), g) in pairs.zip(cotangents) {
            for (class, line) in [(i, j - 1), (j, i)] {
                let range = starts[class]..starts[class] + self.counts[class];
                let weights = &self.coefficients[line * vectors..][range.clone()];
                pulled[range].iter_mut().zip(weights).for_each(|(p, w)| *p += g * w);
            }
        }
        pulled
    }

    /// The cotangents of decisions from those of the scores that became of them; of Platt's probabilities those of two
    /// classes, which need no coupling.
    fn pull_scores(&self, decisions: &[f32], cotangent: &[f32]) -> Vec<f32> {
        if let ([a], [b]) = (&*self.prob_a, &*self.prob_b) {
            let p = logistic(decisions[0] * a + b);
            let probabilities = [1.0 - p, p];
            let g = self.post.pull(&probabilities, cotangent);
            return vec![(g[1] - g[0]) * a * p * (1.0 - p)];
        }
        match (decisions, self.post) {
            ([score], Post::Logistic) => {
                let p = logistic(*score);
                vec![(cotangent[1] - cotangent[0]) * p * (1.0 - p)]
            }
            ([_], _) => vec![cotangent[1] - cotangent[0]],
            _ => self.post.pull(decisions, cotangent),
        }
    }

    /// The class with most pairs won, the first of equals.
    fn winner(&self, decisions: &[f32]) -> usize {
        let mut votes = vec![0usize; self.counts.len()];
        let pairs = (0..votes.len()).flat_map(|i| (i + 1..self.counts.len()).map(move |j| (i, j)));
        pairs.zip(decisions).for_each(|((i, j), d)| votes[if *d > 0.0 { i } else { j }] += 1);
        let most = votes.iter().copied().max().unwrap_or(0);
        votes.iter().position(|v| *v == most).unwrap_or(0)
    }

    /// Platt's probability of each pair, coupled into one a class.
    fn probabilities(&self, decisions: &[f32]) -> Vec<f32> {
        let n = self.counts.len();
        let mut pairwise = vec![0f32; n * n];
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        for ((i, j), ((d, a), b)) in pairs.zip(decisions.iter().zip(&self.prob_a).zip(&self.prob_b)) {
            let p = (1.0 - logistic(d * a + b)).clamp(1e-7, 1.0 - 1e-7);
            (pairwise[i * n + j], pairwise[j * n + i]) = (p, 1.0 - p);
        }
        couple(n, &pairwise)
    }
}

impl Operator for Pairs {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self, inputs: &[Kind]) -> TractResult<TVec<Kind>> {
        let rows = self.machine.rows(&inputs[0])?;
        let scores = tvec![rows.clone(), self.width().to_dim()];
        Ok(tvec![(self.labels.dtype(), tvec![rows]), (DatumType::F32, scores)])
    }

    fn differentiable(&self) -> Option<usize> {
        (self.post.has_gradient() && self.prob_a.len() <= 1).then_some(1)
    }

    fn pull(&self, row: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let cotangents = self.pull_scores(&self.decisions(row), cotangent);
        self.machine.pull(row, &self.pull_decisions(&cotangents))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = inputs[0].cast_to::<f32>()?;
        let (mut winners, mut all) = (Vec::new(), Vec::new());
        for row in x.try_as_plain_ram()?.as_slice::<f32>()?.chunks_exact(columns(&x)) {
            let mut scores = self.decisions(row);
            winners.push(self.winner(&scores));
            if !self.prob_a.is_empty() {
                scores = self.probabilities(&scores);
                self.post.apply(&mut scores);
            } else if let [score] = scores[..] {
                let second = if self.post == Post::None { Second::Opposite } else { Second::Complement };
                scores = fold(score, self.post, second).to_vec();
            } else {
                self.post.apply(&mut scores);
            }
            all.extend(scores);
        }
        let scores = Tensor::from_shape(&[winners.len(), self.width()], &all)?;
        Ok(tvec![self.labels.pick(&winners)?, scores])
    }
}

/// Probabilities of `n` classes from those of pairs `r[i * n + j]` = P(i | i or j): the second method of Wu, Lin and
/// Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling" (JMLR 2004), as libsvm runs it.
#[allow(clippy::cast_precision_loss)]
fn couple(n: usize, r: &[f32]) -> Vec<f32> {
    let mut q = vec![0f32; n * n];
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            q[i * n + i] += r[j * n + i] * r[j * n + i];
            q[i * n + j] = -r[j * n + i] * r[i * n + j];
        }
    }
    let mut p = vec![1.0 / n as f32; n];
    for _ in 0..100 {
        let mut qp: Vec<f32> = q.chunks_exact(n).map(|line| line.iter().zip(&p).map(|(q, p)| q * p).sum()).collect();
        let mut pqp: f32 = p.iter().zip(&qp).map(|(p, q)| p * q).sum();
        if qp.iter().all(|v| (v - pqp).abs() < 0.005 / n as f32) {
            break;
        }
        for i in 0..n {
            let diff = (pqp - qp[i]) / q[i * n + i];
            p[i] += diff;
            pqp = (pqp + diff * (diff * q[i * n + i] + 2.0 * qp[i])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..n {
                qp[j] = (qp[j] + diff * q[i * n + j]) / (1.0 + diff);
                p[j] /= 1.0 + diff;
            }
        }
    }
    p
}

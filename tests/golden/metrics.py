"""Makes metrics.json: predictions and what the peers say of them.

Values come from scikit-learn, intervals and tests from statsmodels and SciPy. Where no peer has an interval, it is built
here from the peer's own value: the influence of each case by a numerical derivative in its sample weight.

    pip install scikit-learn==1.9.1 statsmodels==0.15.0 scipy==1.17.1
    python tests/golden/metrics.py
"""

import json
import pathlib

import numpy as np
import sklearn.metrics as skm
from scipy import stats
from scipy.special import log_softmax
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

rng = np.random.default_rng(20260701)


def figure(value, low, high, n):
    return {"value": float(value), "low": float(low), "high": float(high), "n": int(n)}


def wilson(value, n):
    low, high = proportion_confint(value * n, n, method="wilson")
    return float(low), float(high)


def student(values):
    values = np.asarray(values, dtype=np.float64)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return figure(values.mean(), low, high, len(values))


def influences(score, n):
    """Derivative of score(weights) in each case's weight, times n: central differences, extrapolated once."""

    def central(i, h):
        up, down = np.ones(n), np.ones(n)
        up[i] += h
        down[i] -= h
        return (score(up) - score(down)) / (2 * h)

    return np.array([n * (4 * central(i, 1e-3) - central(i, 2e-3)) / 3 for i in range(n)])


def average(score, most, n):
    value = score(np.ones(n))
    variance = (influences(score, n) ** 2).sum() / n**2
    effective = min(value * (1 - value) / variance, most) if variance > 1e-12 else most
    return figure(value, *wilson(value, effective), n)


def classification(logits, labels):
    logits = logits.astype(np.float32)
    n, classes = logits.shape
    logp = log_softmax(logits.astype(np.float64), axis=1)
    p = np.exp(logp)
    predicted = logits.argmax(axis=1)
    confidence = p[np.arange(n), predicted]
    right = predicted == labels
    present = np.union1d(labels, predicted)
    metrics = {}
    metrics["accuracy"] = figure(right.mean(), *wilson(right.mean(), n), n)
    sizes = {
        "precision": np.array([(predicted == c).sum() for c in present]),
        "recall": np.array([(labels == c).sum() for c in present]),
        "f1": np.array([((predicted == c).sum() + (labels == c).sum()) / 2 for c in present]),
    }
    scores = {"precision": skm.precision_score, "recall": skm.recall_score, "f1": skm.f1_score}
    for name, function in scores.items():
        micro = function(labels, predicted, average="micro")
        metrics[f"{name}_micro"] = figure(micro, *wilson(micro, n), n)
        known = sizes[name][sizes[name] > 0]
        for kind, most in [("macro", len(present) ** 2 / (1 / known).sum()), ("weighted", n)]:

            def score(w, function=function, kind=kind):
                return function(labels, predicted, average=kind, sample_weight=w, zero_division=0)

            metrics[f"{name}_{kind}"] = average(score, most, n)
    per_class = []
    for c in present:
        one = dict(labels=[c], average=None, zero_division=0)
        tp, fp, fn = (right & (labels == c)).sum(), (~right & (predicted == c)).sum(), (~right & (labels == c)).sum()
        entry = {"class": int(c)}
        if tp + fp:
            v = skm.precision_score(labels, predicted, **one)[0]
            entry["precision"] = figure(v, *proportion_confint(tp, tp + fp, method="wilson"), tp + fp)
        if tp + fn:
            v = skm.recall_score(labels, predicted, **one)[0]
            entry["recall"] = figure(v, *proportion_confint(tp, tp + fn, method="wilson"), tp + fn)
        low, high = proportion_confint(tp, tp + fp + fn, method="wilson")
        v = skm.f1_score(labels, predicted, **one)[0]
        entry["f1"] = figure(v, 2 * low / (1 + low), 2 * high / (1 + high), tp + fp + fn)
        per_class.append(entry)
    onehot = np.eye(classes)[labels]
    metrics["brier"] = student(((p - onehot) ** 2).sum(axis=1))
    try:
        brier = skm.brier_score_loss(labels, p, labels=np.arange(classes), scale_by_half=False)
        assert abs(brier - metrics["brier"]["value"]) < 1e-12
    except TypeError:
        pass
    metrics["nll"] = student(-logp[np.arange(n), labels])
    assert abs(skm.log_loss(labels, p, labels=np.arange(classes)) - metrics["nll"]["value"]) < 1e-9

    def ece(w):
        bins = np.clip(np.ceil(confidence * 15).astype(int), 1, 15)
        gaps = [abs((w * (confidence - right))[bins == b].sum()) for b in range(1, 16)]
        return sum(gaps) / w.sum()

    value = ece(np.ones(n))
    half = stats.norm.ppf(0.975) * np.sqrt((influences(ece, n) ** 2).sum()) / n
    metrics["ece"] = figure(value, max(0, value - half), min(1, value + half), n)
    if classes > 5:
        top5 = skm.top_k_accuracy_score(labels, logits, k=5, labels=np.arange(classes))
        metrics["top5_accuracy"] = figure(top5, *wilson(top5, n), n)
    cells = skm.confusion_matrix(labels, predicted, labels=np.arange(classes)).tolist()
    rows = [[float(v) for v in row] for row in logits]
    return {"logits": rows, "labels": labels.tolist(), "metrics": metrics, "classes": per_class, "confusion": cells}


def regression(expected, predicted):
    # A model answers in float32.
    predicted = predicted.astype(np.float32).astype(np.float64)
    n = len(expected)
    errors = predicted - expected
    mse = student(errors**2)
    metrics = {
        "mae": student(np.abs(errors)),
        "rmse": figure(*(np.sqrt(max(0, mse[k])) for k in ("value", "low", "high")), n),
    }
    assert abs(metrics["rmse"]["value"] - skm.root_mean_squared_error(expected, predicted)) < 1e-9
    assert abs(metrics["mae"]["value"] - skm.mean_absolute_error(expected, predicted)) < 1e-9

    def r2(w):
        return skm.r2_score(expected, predicted, sample_weight=w)

    value = r2(np.ones(n))
    error = np.sqrt((influences(r2, n) ** 2).sum()) / n
    half = stats.t.ppf(0.975, n - 1) * error
    metrics["r2"] = figure(value, value - half, min(1, value + half), n)
    return {"expected": expected.tolist(), "predicted": predicted.tolist(), "metrics": metrics}


def scores(labels, classes, strength):
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += strength
    return logits


balanced = rng.permutation(np.repeat(np.arange(7), 20))
# Class 4 never occurs as a label, class 0 is most of it.
unbalanced = rng.choice(5, size=120, p=[0.7, 0.2, 0.08, 0.02, 0.0])
binary = rng.integers(0, 2, size=90)
perfect = np.arange(12) % 3
expected = rng.normal(300, 40, size=80)

tests = []
for b, c in [(0, 0), (3, 3), (1, 9), (12, 30), (250, 301), (0, 7), (4000, 4200)]:
    n = b + c
    mid = min(1.0, 2 * stats.binom.cdf(min(b, c), n, 0.5) - stats.binom.pmf(min(b, c), n, 0.5))
    exact = mcnemar([[10, b], [c, 5]], exact=True).pvalue
    tests.append({"only_a": b, "only_b": c, "exact": float(min(1.0, exact)), "mid": float(mid)})

rates = []
for a, m, b, r in [(3, 10, 40, 50), (0, 5, 90, 95), (70, 100, 900, 1000), (9, 9, 1, 9), (9000, 12000, 7000, 9000)]:
    if m + r <= 20000:
        p = stats.fisher_exact([[a, m - a], [b, r - b]], alternative="less").pvalue
    else:
        p = proportions_ztest([a, b], [m, r], alternative="smaller")[1]
    rates.append({"count": a, "n": m, "others": b, "rest": r, "p": float(p)})

part, rest = rng.gamma(2.0, 1.5, size=30), rng.gamma(2.0, 1.0, size=200)
welch = stats.ttest_ind(part, rest, equal_var=False, alternative="greater").pvalue
ps = rng.uniform(0, 0.2, size=9)

golden = {
    "classification": {
        "balanced": classification(scores(balanced, 7, 1.5), balanced),
        "unbalanced with an absent class": classification(scores(unbalanced, 5, 1.8), unbalanced),
        "binary": classification(scores(binary, 2, 1.2), binary),
        "perfect": classification(scores(perfect, 3, 30.0), perfect),
    },
    "regression": {
        "good": regression(expected, expected + rng.normal(0, 15, size=80)),
        "worse than the mean": regression(expected, rng.normal(300, 90, size=80)),
    },
    "mcnemar": tests,
    "rates": rates,
    "welch": {"part": part.tolist(), "rest": rest.tolist(), "p": float(welch)},
    "holm": {"p": ps.tolist(), "adjusted": multipletests(ps, method="holm")[1].tolist()},
}

path = pathlib.Path(__file__).with_name("metrics.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path.stat().st_size, "bytes")

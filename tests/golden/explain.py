"""Makes explain.npz: what the peers say of explanations and of whole models, for models of the development corpus.

Everything random that a figure rests on is in the file beside it, so that the same figure can be asked for again. Models are
run by onnxruntime, and by torch where captum needs gradients. Names of arrays and their shapes: see explain.md, which this
writes as well.

    pip install captum==0.9.0 torch==2.15.0 torchvision==0.29.2 onnx2torch onnxruntime==1.32.0 scikit-learn==1.9.1 \\
        PyALE==1.2.0 statsmodels
    python tests/golden/explain.py CORPUS
"""

import pathlib
import sys
import warnings

import numpy as np
import onnx2torch
import onnxruntime
import pandas as pd
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from captum.metrics import infidelity, sensitivity_max
from PyALE import ale
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import partial_dependence, permutation_importance

warnings.filterwarnings("ignore")
corpus = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(20260702)
golden, words = {}, {}
REPEATS, BMI, BP, S5 = 3, 2, 3, 8


def keep(name, values, text):
    values = np.atleast_1d(values)
    golden[name], words[name] = values, text


class Graph(BaseEstimator):
    """An ONNX file as a fitted estimator of scikit-learn. Keeps the last rows that it was asked."""

    def __init__(self, name):
        self.name = name
        self.session = onnxruntime.InferenceSession(str(corpus / f"models/{name}.onnx"))

    def fit(self, x, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def scores(self, x):
        self.seen = np.array(x, np.float32)
        output = self.session.get_outputs()[-1].name
        return self.session.run([output], {self.session.get_inputs()[0].name: self.seen})[0].astype(np.float64)


class Regression(RegressorMixin, Graph):
    def predict(self, x):
        return self.scores(x)[:, 0]


class Classification(ClassifierMixin, Graph):
    classes_ = np.array([0, 1])

    def predict(self, x):
        return self.scores(x).argmax(1)

    def predict_proba(self, x):
        p = self.scores(x)
        return p / p.sum(1, keepdims=True)


def table(name):
    """The test rows of a table, as its models take them."""
    data = np.load(corpus / f"data/{name}.npz")
    return data["x_test"].astype(np.float32).astype(np.float64), data["y_test"]


def given(model, x, offsets, steps):
    """captum's figures of explanations where the offsets (cases, n, ...) are known."""
    net = onnx2torch.convert(str(corpus / f"models/{model}.onnx")).eval().requires_grad_(False)
    x, flat = torch.from_numpy(x), torch.from_numpy(offsets.reshape(-1, *x.shape[1:]))
    n, scores = offsets.shape[1], net(x)
    target = scores.argmax(1)
    keep(f"{model}__target", target.int(), "the class explained, of the unchanged case, (cases)")
    keep(f"{model}__scores", scores, "logits, (cases, classes)")
    explainers = {
        "integrated_gradients": (IntegratedGradients(net), {"n_steps": steps}),
        "input_x_gradient": (InputXGradient(net), {}),
        "saliency": (Saliency(net), {"abs": False}),
    }
    for name, (explainer, options) in explainers.items():
        attribution = explainer.attribute(x, target=target, **options).detach()
        keep(f"{model}__{name}", attribution.float(), "attributions, in the shape of the cases")
        for scaled in (False, True):
            found = infidelity(
                net, lambda x: (flat, x - flat), x, attribution, target=target, n_perturb_samples=n, normalize=scaled
            )
            text = "mean over the offsets o of (o . attribution - (f(x) - f(x - o)))^2, (cases)"
            text += "; o . attribution first multiplied by the one number that makes this least" if scaled else ""
            keep(f"{model}__{name}__infidelity{'_normalized' * scaled}", found, text)
        found = sensitivity_max(
            explainer.attribute, x, lambda x: x + flat, n_perturb_samples=n, target=target, **options
        )
        text = "most of |attribution(x + o) - attribution(x)| / |attribution(x)| over the offsets, L2, (cases)"
        keep(f"{model}__{name}__sensitivity_max", found, text)


def judged_explanations():
    x, _ = table("breast_cancer")
    x = x[:8].astype(np.float32)
    spread = np.load(corpus / "data/breast_cancer.npz")["x_train"].std(0)
    offsets = (rng.normal(size=(8, 10, 30)) * 0.1 * spread).astype(np.float32)
    keep("bc_mlp__x", x, "the first cases of breast_cancer, (cases, 30)")
    keep("bc_mlp__offsets", offsets, "(cases, 10, 30): normal, a tenth of each column's deviation")
    given("bc_mlp", x, offsets, 50)
    digits = np.load(corpus / "data/mnist_test.npz")["x"][:8].reshape(8, 1, 28, 28).astype(np.float32) / 255
    # In steps of 1/64, so that they pack well.
    offsets = np.round(rng.normal(size=(8, 4, 1, 28, 28)) * 0.05 * 64).astype(np.int32)
    keep("mnist_mlp_overfit__offsets_64", offsets, "(cases, 4, 1, 28, 28), in 64ths; the first 8 digits of mnist_test / 255")
    given("mnist_mlp_overfit", digits, (offsets / 64).astype(np.float32), 50)


def effects():
    """Partial dependence in two dimensions and of each row, accumulated local effects, Friedman's H."""
    model, (x, _) = Regression("diabetes_gbr"), table("diabetes")
    keep("diabetes__x", x.astype(np.float32), "the test rows of diabetes, (133, 10)")
    found = partial_dependence(model, x, [(BMI, S5)], grid_resolution=8, kind="average", method="brute")
    for i, grid in enumerate(found["grid_values"]):
        keep(f"diabetes_gbr__pd_2_8_grid_{i}", grid, "8 places between the 5 % and 95 % quantiles")
    keep("diabetes_gbr__pd_2_8", found["average"][0], "(8 of bmi, 8 of s5), mean prediction over the 133 rows")
    found = partial_dependence(model, x[:30], [BMI], grid_resolution=10, kind="both", method="brute")
    keep("diabetes_gbr__ice_2_grid", found["grid_values"][0], "10 places between the 5 % and 95 % quantiles of 30 rows")
    keep("diabetes_gbr__ice_2", found["individual"][0], "(30, 10): each of the first 30 rows with bmi at each place")
    keep("diabetes_gbr__ice_2_mean", found["average"][0], "(10): their mean")
    names = [f"x{i}" for i in range(x.shape[1])]
    frame = pd.DataFrame(x, columns=names)
    for feature in (BMI, S5):
        found = ale(frame, model, [names[feature]], "continuous", 20, plot=False, include_CI=False)
        text = "bin edges: of 133 sorted rows the ends and those at 132 k / 20 rounded down, one before where it is whole"
        keep(f"diabetes_gbr__ale_{feature}_edges", found.index.to_numpy(np.float64), text)
        text = "accumulated local effect at the edges; centred so that its mean over the rows, a bin counted as the mean of "
        text += "its two edges, is 0 (PyALE)"
        keep(f"diabetes_gbr__ale_{feature}", found["eff"], text)
        text = "rows in the bin that ends at the edge, a row at an edge belonging to the bin below it; 0 for the first edge"
        keep(f"diabetes_gbr__ale_{feature}_size", found["size"].to_numpy(np.int32), text)
        assert np.abs(accumulated(model, x, feature, found.index.to_numpy()) - found["eff"]).max() < 1e-4
        edges = np.unique(np.quantile(x[:, feature], np.linspace(0, 1, 21)))
        text = "bin edges as numpy.quantile and alibi have them: between two rows in proportion"
        keep(f"diabetes_gbr__ale_{feature}_linear_edges", edges, text)
        keep(f"diabetes_gbr__ale_{feature}_linear", accumulated(model, x, feature, edges), "the same effect at these edges")
    interactions(model, x[:50])


def accumulated(model, x, feature, edges):
    """Apley and Zhu, Visualizing the Effects of Predictor Variables, 2020: the mean step of each bin, summed and centred."""
    bins = np.maximum(np.searchsorted(edges, x[:, feature], side="left") - 1, 0)
    low, high = x.copy(), x.copy()
    low[:, feature], high[:, feature] = edges[bins], edges[bins + 1]
    rows = np.bincount(bins, minlength=len(edges) - 1)
    steps = np.bincount(bins, model.predict(high) - model.predict(low), len(edges) - 1) / np.maximum(rows, 1)
    effect = np.append(0.0, np.cumsum(steps))
    return effect - ((effect[1:] + effect[:-1]) / 2 * rows).sum() / rows.sum()


def interactions(model, x):
    """Friedman and Popescu, Predictive Learning via Rule Ensembles, 2008, equations 44 and 45, over the rows themselves."""

    def mean(columns):
        """The centred partial dependence at each row's own values of the columns."""
        filled = np.repeat(x[None], len(x), axis=0)
        filled[:, :, columns] = x[:, None, columns]
        values = model.predict(filled.reshape(-1, x.shape[1])).reshape(len(x), len(x)).mean(1)
        return values - values.mean()

    for feature in (BMI, BP, S5):
        grid = {feature: np.sort(x[:, feature])}
        peer = partial_dependence(model, x, [feature], custom_values=grid, kind="average", method="brute")["average"][0]
        assert np.allclose(peer - peer.mean(), mean([feature])[np.argsort(x[:, feature])], atol=1e-4)
    for a, b in ((BMI, S5), (BMI, BP)):
        both = mean([a, b])
        h2 = ((both - mean([a]) - mean([b])) ** 2).sum() / (both**2).sum()
        keep(f"diabetes_gbr__h2_{a}_{b}", h2, "Friedman's H squared of two features over the first 50 rows")
    whole = model.predict(x) - model.predict(x).mean()
    for a in (BMI, S5):
        rest = mean([i for i in range(x.shape[1]) if i != a])
        h2 = ((whole - mean([a]) - rest) ** 2).sum() / (whole**2).sum()
        keep(f"diabetes_gbr__h2_{a}", h2, "Friedman's H squared of a feature with all others, same rows")


def importances(model, x, y, scoring):
    """scikit-learn's permutation importance; each feature with permutations of its own, which are kept."""
    drops, orders = {name: [] for name in scoring}, []
    for feature in range(x.shape[1]):
        found = permutation_importance(model, x, y, scoring=scoring, n_repeats=REPEATS, random_state=feature)
        for name in scoring:
            drops[name].append(found[name]["importances"][feature])
        orders.append(permutations(model, x, feature))
    orders = np.array(orders)
    name = model.name
    keep(f"{name}__permutations", orders.astype(np.int32), "(features, repeats, rows): row i takes the value of this row")
    for score, values in drops.items():
        keep(f"{name}__importance_{score}", values, "(features, repeats): the score less that with the feature permuted")
        keep(f"{name}__importance_{score}_std", np.std(values, axis=1), "(features): their deviation, divided by repeats")
    for feature, repeat in ((0, 0), (x.shape[1] - 1, REPEATS - 1)):
        moved = x.copy()
        moved[:, feature] = x[orders[feature, repeat], feature]
        for score in scoring:
            drop = SCORES[score](model, x, y) - SCORES[score](model, moved, y)
            assert abs(drop - drops[score][feature][repeat]) < 1e-9, (name, score)


def permutations(model, x, feature):
    """scikit-learn shuffles one list of rows again and again, and the column each time from where it was before."""
    seed = np.random.RandomState(feature).randint(np.iinfo(np.int32).max + 1)
    random, order, rows, found = np.random.RandomState(seed), np.arange(len(x)), np.arange(len(x)), []
    for _ in range(REPEATS):
        random.shuffle(order)
        rows = rows[order]
        found.append(rows)
    return found


def r2(model, x, y):
    return 1 - ((y - model.predict(x)) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def accuracy(model, x, y):
    return (model.predict(x) == y).mean()


def neg_log_loss(model, x, y):
    return np.log(model.predict_proba(x)[np.arange(len(y)), y]).mean()


SCORES = {"r2": r2, "accuracy": accuracy, "neg_log_loss": neg_log_loss}


def main():
    judged_explanations()
    effects()
    importances(Regression("diabetes_gbr"), *table("diabetes"), ["r2"])
    x, y = table("breast_cancer")
    keep("breast_cancer__x", x.astype(np.float32), "the test rows of breast_cancer, (171, 30)")
    importances(Classification("bc_logreg"), x, y, ["accuracy", "neg_log_loss"])
    keep("diabetes__y", table("diabetes")[1], "their values")
    keep("breast_cancer__y", y.astype(np.int32), "their classes")
    path = pathlib.Path(__file__).with_name("explain.npz")
    np.savez_compressed(path, **golden)
    lines = [f"- `{name}` {golden[name].dtype} {list(golden[name].shape)}: {words[name]}" for name in sorted(golden)]
    path.with_suffix(".md").write_text("What explain.npz holds, made by explain.py.\n\n" + "\n".join(lines) + "\n")
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()

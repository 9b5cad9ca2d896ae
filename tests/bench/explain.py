"""Explanations by assay beside shap, lime and captum: the same models and budgets, two threads each, in one run.

    cargo build --release
    pip install torch==2.15.0 captum==0.9.0 shap==0.51.0 lime==0.2.0.1 scikit-learn==1.9.1 onnxruntime==1.32.0 \\
        torchvision==0.29.2 onnx2torch joblib pillow
    python tests/bench/explain.py CORPUS [--assay PROGRAM] [--rounds N] [PART ...]

PARTs leave only the pairs whose name has one of them, such as `kernel_shap`, `lime/efficientnet` or `lime_image:torch`.
Prints a Markdown table of seconds a case, medians of rounds that alternate, and how many times faster assay is than asked:
20 times shap's samplers and lime on rows, 2 times lime on pictures, 3 times captum on small networks, as fast as captum on
a convolutional network of 224 pixels and as shap on trees.

assay's time is that of its whole command: program and slots started, model and cases read and sent, cases explained, verdicts
stored. `clean s` is what that takes if the only check is `clean`, so that one sees what is not explanation; it is not taken
off. A peer's time leaves out the imports and a first explanation, after which all that is compiled or set up lazily is so
(where it takes seconds a case there is no first one); it includes reading the model. Peers are given what makes them fast:
each setting in the first round, the best of them afterwards; one score to explain where they would explain both classes; no
selection of features; no check of their own sums. A peer is timed on fewer cases than assay: its cost is the same for each.
Without the program only the peers are timed, and an explainer that `assay catalog` does not know is left out with a line that
says so.
"""

import argparse
import csv
import functools
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "2"

import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
THREADS, KNOWN = 2, 20
# Up to so many cases a peer takes seconds for each, beside which its first call costs nothing.
LONG = 2
ROWS = ("bc_gb", "bc_rf", "bc_svm", "bc_logreg", "bc_skmlp", "diabetes_gbr")
TREES = ("bc_gb", "bc_rf", "diabetes_gbr")
PHOTOS = """input:
  range: [0, 1]
  geometry: [{resize: {shorter: 256, filter: bicubic}}, {crop: {center: 224}}]
  preprocess: [{normalize: {mean: 0.4980392156862745, std: 0.5019607843137255}}]
"""


class Pair(typing.NamedTuple):
    """An explainer of assay on a model, a peer's that does the same, cases of either, and the ratio that is asked."""

    spec: str
    model: str
    peer: str
    own_cases: int
    peer_cases: int
    asked: float

    @property
    def name(self):
        return f"{self.spec}/{self.model}/{self.peer}"


PAIRS = [
    *(Pair("kernel_shap:n_samples=2048", model, "kernel_shap", 512, 32, 20) for model in ROWS),
    *(Pair("permutation_shap", model, "permutation_shap", 1024, 64, 20) for model in ROWS),
    *(Pair("tree_shap", model, "tree_shap", 8192, 8192, 1) for model in TREES),
    *(Pair("tree_shap:perturbation=path_dependent", model, "tree_shap_path", 8192, 8192, 1) for model in TREES),
    *(Pair("lime:n_samples=5000", model, "lime_rows", 512, 16, 20) for model in ROWS),
    *(Pair("lime:n_samples=1000", "efficientnet_lite0", f"lime_image:{by}", 8, n, 2)
      for by, n in (("onnxruntime", 2), ("torch", 1))),
    Pair("integrated_gradients:n_steps=50", "efficientnet_lite0", "captum", 16, 2, 1),
    Pair("integrated_gradients:n_steps=50", "mnist_cnn", "captum", 1024, 256, 3),
    Pair("integrated_gradients:n_steps=50", "mnist_mlp_overfit", "captum", 4096, 1024, 3),
    Pair("integrated_gradients:n_steps=50", "digits_cnn", "captum", 4096, 1024, 3),
    Pair("integrated_gradients:n_steps=50", "bc_mlp", "captum", 16384, 4096, 3),
]


def rows(corpus, model, n):
    """`n` test cases as the model takes them, again from the first where there are fewer; answers; rows of background."""
    if model.startswith("mnist"):
        data = np.load(corpus / "data/mnist_test.npz")
        x, y, known = data["x"].astype(np.float32) / 255, data["y"], data["x"][:0]
    else:
        file = "digits" if model == "digits_cnn" else "diabetes" if model.startswith("diabetes") else "breast_cancer"
        data = np.load(corpus / f"data/{file}.npz")
        x, y, known = data["x_test"].astype(np.float32), data["y_test"], data["x_train"].astype(np.float32)
        x = x / 16 if file == "digits" else x
    again = np.arange(n) % len(x)
    return x[again], y[again], known


def photos(corpus, n):
    """The first `n` photographs, (n, 224, 224, 3) uint8: shorter side to 256, the middle of it."""
    from PIL import Image

    def read(file):
        image = Image.open(corpus / "data/photos" / file).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.BICUBIC)
        left, top = ((side - 224) // 2 for side in image.size)
        return np.asarray(image.crop((left, top, left + 224, top + 224)))

    with open(corpus / "data/photos/labels.csv") as lines:
        return np.stack([read(line["file"]) for line, _ in zip(csv.DictReader(lines), range(n))])


def normalized(pictures):
    """As efficientnet_lite0 takes them, (n, 3, 224, 224) float32."""
    return (np.asarray(pictures, np.float32).transpose(0, 3, 1, 2) / 255 - 0.49803922) / 0.50196078


def session(corpus, model):
    """The scores of a batch by onnxruntime: probabilities (n, classes), values (n, 1), logits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    run = onnxruntime.InferenceSession(str(corpus / f"models/{model}.onnx"), options, providers=["CPUExecutionProvider"])
    output = run.get_outputs()[-1].name
    return lambda x: run.run([output], {run.get_inputs()[0].name: np.asarray(x, np.float32)})[0]


def network(corpus, model):
    """The same as a module of torch. Channels last is two to four times faster than channels first for efficientnet_lite0."""
    import onnx2torch
    import torch

    torch.set_num_threads(THREADS)
    net = onnx2torch.convert(str(corpus / f"models/{model}.onnx")).eval().requires_grad_(False)
    return net.to(memory_format=torch.channels_last) if model == "efficientnet_lite0" else net


def last(x):
    import torch

    return x.contiguous(memory_format=torch.channels_last)


# A peer gives works of so many cases by the setting they are for. What it imports is not timed.


def kernel_shap(corpus, model):
    import onnxruntime  # noqa: F401
    import shap

    def work(l1_reg, n):
        x, _, known = rows(corpus, model, n)
        scores = session(corpus, model)
        explainer = shap.KernelExplainer(lambda x: scores(x)[:, -1], known[:KNOWN])
        return explainer.shap_values(x, nsamples=2048, l1_reg=l1_reg, silent=True)

    return {f"l1_reg={option}": functools.partial(work, option) for option in ("num_features(10)", False)}


def permutation_shap(corpus, model):
    import onnxruntime  # noqa: F401
    import shap

    def work(n):
        x, _, known = rows(corpus, model, n)
        scores = session(corpus, model)
        explainer = shap.PermutationExplainer(lambda x: scores(x)[:, -1], shap.maskers.Independent(known, KNOWN))
        return explainer(x, max_evals=10 * (2 * x.shape[1] + 1), silent=True).values

    return {"10 permutations": work}


def tree_shap(corpus, model, perturbation="interventional"):
    import joblib
    import shap
    import sklearn.ensemble  # noqa: F401

    def work(n):
        x, _, known = rows(corpus, model, n)
        known = known[:KNOWN] if perturbation == "interventional" else None
        trees = joblib.load(corpus / f"weights/{model}.joblib")
        explainer = shap.TreeExplainer(trees, known, feature_perturbation=perturbation)
        return explainer.shap_values(x, check_additivity=False)

    return {perturbation: work}


def lime_rows(corpus, model):
    import lime.lime_tabular
    import onnxruntime  # noqa: F401

    mode = "regression" if model.startswith("diabetes") else "classification"

    def work(options, n):
        x, _, known = rows(corpus, model, n)
        scores = session(corpus, model)
        predict = (lambda x: scores(x)[:, 0]) if mode == "regression" else scores
        explainer = lime.lime_tabular.LimeTabularExplainer(known, mode=mode, random_state=0, **options)
        return [explainer.explain_instance(row, predict, num_samples=5000, top_labels=1) for row in x.astype(np.float64)]

    plain = {"discretize_continuous": False, "feature_selection": "none"}
    return {"as it comes": functools.partial(work, {}), "continuous, all features": functools.partial(work, plain)}


def lime_image(corpus, model, by):
    import lime.lime_image

    if by == "torch":
        import onnx2torch  # noqa: F401
        import torch

        def scores():
            net = network(corpus, model)
            return torch.inference_mode()(lambda x: net(last(torch.from_numpy(x))).numpy())
    else:
        import onnxruntime  # noqa: F401

        scores = functools.partial(session, corpus, model)

    def work(batch, n):
        model_scores = scores()

        def probabilities(pictures):
            logits = model_scores(normalized(pictures))
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)

        explainer = lime.lime_image.LimeImageExplainer(random_state=0, feature_selection="none")
        options = {"top_labels": 1, "hide_color": 0, "num_samples": 1000, "batch_size": batch}
        return [explainer.explain_instance(picture, probabilities, **options) for picture in photos(corpus, n)]

    return {f"{by}, batches of {batch}": functools.partial(work, batch) for batch in (10, 50)}


def captum(corpus, model):
    import onnx2torch  # noqa: F401
    import torch
    from captum.attr import IntegratedGradients

    large = model.startswith("efficientnet")

    def work(cases, batch, n):
        net = network(corpus, model)
        x = last(torch.from_numpy(normalized(photos(corpus, n)))) if large else torch.from_numpy(rows(corpus, model, n)[0])
        explainer, done = IntegratedGradients(net), []
        for part in x.split(cases):
            with torch.no_grad():
                target = net(part).argmax(1)
            done.append(explainer.attribute(part, target=target, n_steps=50, internal_batch_size=batch))
        return torch.cat(done)

    settings = [(1, 10), (1, 25), (1, 50)] if large else [(1, 50), (16, None), (64, None), (64, 256), (256, None)]
    return {f"{a} cases, batches of {b or 50 * a}": functools.partial(work, a, b) for a, b in settings}


PEERS = {
    "kernel_shap": kernel_shap,
    "permutation_shap": permutation_shap,
    "tree_shap": tree_shap,
    "tree_shap_path": functools.partial(tree_shap, perturbation="tree_path_dependent"),
    "lime_rows": lime_rows,
    "lime_image:onnxruntime": functools.partial(lime_image, by="onnxruntime"),
    "lime_image:torch": functools.partial(lime_image, by="torch"),
    "captum": captum,
}


def child(corpus, peer, model, n, setting):
    """Times a peer in a process of its own: prints its best setting and the seconds that it takes."""
    warnings.filterwarnings("ignore")
    times = {}
    for name, work in PEERS[peer](corpus, model).items():
        if setting in ("", name):
            if n > LONG:
                work(1)
            start = time.perf_counter()
            work(n)
            times[name] = time.perf_counter() - start
    best = min(times, key=times.get)
    print(json.dumps({"setting": best, "seconds": times[best], "all": times}))


def theirs(corpus, pair, setting):
    command = [sys.executable, __file__, str(corpus), "--child", pair.peer, pair.model, str(pair.peer_cases), setting]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode != 0:
        raise RuntimeError(output.stderr.strip().splitlines()[-1])
    found = json.loads(output.stdout.splitlines()[-1])
    if not setting:
        print(f"# {pair.name}: " + "; ".join(f"{k}: {v:.2f} s" for k, v in found["all"].items()), file=sys.stderr)
    return found["setting"], found["seconds"] / pair.peer_cases


def own(assay, corpus, pair, spec):
    """Seconds of the whole command for one check."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [assay, "run", "--model", corpus / f"models/{pair.model}.onnx", "--limit", pair.own_cases]
        command += ["--slots", THREADS, "--output", "json", "--check", spec]
        if pair.model.startswith("efficientnet"):
            (folder / "photos.yaml").write_text(PHOTOS)
            command += ["--cases", corpus / "data/photos", "--signature", folder / "photos.yaml"]
        else:
            x, y, known = rows(corpus, pair.model, pair.own_cases)
            np.savez(folder / "cases.npz", x=x, y=y)
            np.savez(folder / "known.npz", x=known[:KNOWN])
            command += ["--cases", folder / "cases.npz"]
            command += ["--background", folder / "known.npz"] if len(known) else []
        start = time.perf_counter()
        output = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        seconds = time.perf_counter() - start
    if output.returncode != 0:
        raise RuntimeError(f"assay: {(output.stderr or output.stdout).strip().splitlines()[-1]}")
    return seconds


def measure(assay, corpus, pair, rounds):
    setting, peer, mine = "", [], []
    for _ in range(rounds):
        if assay:
            mine.append(own(assay, corpus, pair, pair.spec) / pair.own_cases)
        setting, seconds = theirs(corpus, pair, setting)
        peer.append(seconds)
    peer = statistics.median(peer)
    line = [f"`{pair.spec}`", pair.model, f"{pair.peer.split(':')[0]}, {setting}", f"{pair.own_cases}, {pair.peer_cases}"]
    if not assay:
        return [*line, f"{peer:.3g}", "", "", f"{pair.asked:g}", ""]
    mine, clean = statistics.median(mine), own(assay, corpus, pair, "clean")
    return [*line, f"{peer:.3g}", f"{mine:.3g}", f"{peer / mine:.1f}", f"{pair.asked:g}", f"{clean:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--assay", type=pathlib.Path, default=ROOT / "target/release/assay")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_intermixed_args()
    if arguments.child:
        peer, model, n, setting = arguments.child
        return child(arguments.corpus, peer, model, int(n), setting)
    assay = arguments.assay.resolve() if arguments.assay.exists() else None
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in (
        "shap", "lime", "captum", "torch", "onnxruntime", "scikit-learn", "numpy"))
    print(f"{versions}; {THREADS} threads, medians of {arguments.rounds} rounds", end="\n\n")
    print("| check | model | peer, its best setting | cases | peer s/case | assay s/case | ratio | asked | clean s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    left_out = [] if assay else [f"{arguments.assay} is not there: the peers alone"]
    for pair in PAIRS:
        if arguments.parts and not any(part in pair.name for part in arguments.parts):
            continue
        explainer = pair.spec.split(":")[0]
        if assay and subprocess.run([assay, "catalog", explainer], capture_output=True).returncode != 0:
            left_out.append(f"{pair.name}: this assay has no {explainer}")
            continue
        try:
            print("| " + " | ".join(measure(assay, arguments.corpus, pair, arguments.rounds)) + " |", flush=True)
        except RuntimeError as error:
            left_out.append(f"{pair.name}: {error}")
    print("".join(f"\n{line}" for line in left_out))


if __name__ == "__main__":
    main()

"""Writes zoo.zip: small models with onnxruntime's answers.

    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.9.1 skl2onnx==1.20.0
    python tests/models/make_zoo.py

Each model NAME is NAME.onnx beside NAME.npz with the arrays in_INPUT and out_OUTPUT, text in NAME.json. All weights are drawn or trained
here from fixed seeds; the data are scikit-learn's iris (public domain) and drawn numbers.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

ort.set_default_logger_severity(4)
TYPES = {"float32": T.FLOAT, "float64": T.DOUBLE, "int64": T.INT64, "float16": T.FLOAT16, "object": T.STRING, "int32": T.INT32}
zoo = {}


def add(name, model, inputs, fuse=True):
    """Asks onnxruntime and keeps the model with the answers. Maps (of a ZipMap) become tables.

    Without `fuse` the answers are those of the graph as it is written, operator by operator.
    """
    options = ort.SessionOptions()
    if not fuse:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = {f"in_{k}": v.astype(np.float32) if v.dtype == np.float16 else v for k, v in inputs.items()}
    for output, value in zip(session.get_outputs(), session.run(None, inputs)):
        if isinstance(value, list):
            value = np.array([list(row.values()) for row in value], np.float32)
        if value.dtype == np.float16:
            value = value.astype(np.float32)
        if value.dtype == np.int8:
            value = value.astype(np.float32)
        arrays[f"out_{output.name}"] = value
    zoo[name] = (model, arrays)


def ml(name, op, inputs, outputs, version=3, **attributes):
    """A graph of one operator of ai.onnx.ml."""
    node = h.make_node(op, list(inputs), list(outputs), domain="ai.onnx.ml", **attributes)
    ports = [h.make_tensor_value_info(k, TYPES[str(v.dtype)], [None, *v.shape[1:]]) for k, v in inputs.items()]
    results = [h.make_tensor_value_info(k, t, None) for k, t in outputs.items()]
    graph = h.make_graph([node], name, ports, results)
    opsets = [h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", version)]
    add(name, h.make_model(graph, opset_imports=opsets, ir_version=8), inputs)


rng = np.random.default_rng(7)
x = rng.normal(size=(37, 4)).astype(np.float32)
POSTS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
floats = lambda *shape: rng.normal(size=shape).astype(np.float32).ravel().tolist()
SCORE, BOTH = {"y": T.FLOAT}, {"label": T.INT64, "scores": T.FLOAT}
NAMED = {"label": T.STRING, "scores": T.FLOAT}

# Single values.
holes = x.copy()
holes[rng.random(x.shape) < 0.3] = np.nan
ml("scaler", "Scaler", {"x": x}, SCORE, offset=floats(4), scale=floats(4))
ml("scaler_one_int", "Scaler", {"x": (x * 5).astype(np.int64)}, SCORE, offset=[0.5], scale=[3.0])
ml("binarizer", "Binarizer", {"x": x}, SCORE, threshold=0.2)
for norm in ["MAX", "L1", "L2"]:
    ml(f"normalizer_{norm.lower()}", "Normalizer", {"x": x}, SCORE, norm=norm)
ml("imputer", "Imputer", {"x": holes}, SCORE, imputed_value_floats=floats(4), replaced_value_float=float("nan"))
ml("imputer_int", "Imputer", {"x": np.round(x).astype(np.int64)}, {"y": T.INT64}, imputed_value_int64s=[9], replaced_value_int64=0)
ml("feature_vectorizer", "FeatureVectorizer", {"a": x, "b": np.round(x[:, :2]).astype(np.float32)}, SCORE, inputdimensions=[3, 4])

# Linear models.
for post in POSTS:
    p = post.lower()
    ml(f"linear_two_{p}", "LinearClassifier", {"x": x}, BOTH, coefficients=floats(2, 4), intercepts=floats(2), classlabels_ints=[0, 1], post_transform=post)
    ml(f"linear_three_{p}", "LinearClassifier", {"x": x}, NAMED, coefficients=floats(3, 4), intercepts=floats(3), classlabels_strings=["ape", "bee", "cat"], post_transform=post)
    ml(f"linear_one_{p}", "LinearClassifier", {"x": x}, BOTH, coefficients=floats(1, 4), intercepts=floats(1), classlabels_ints=[3, 8], post_transform=post)
    ml(f"regressor_one_{p}", "LinearRegressor", {"x": x}, SCORE, coefficients=floats(1, 4), intercepts=floats(1), targets=1, post_transform=post)
    ml(f"regressor_two_{p}", "LinearRegressor", {"x": x}, SCORE, coefficients=floats(2, 4), targets=2, post_transform=post)
ml("linear_probit", "LinearRegressor", {"x": np.abs(x[:, :1]) % 1}, SCORE, coefficients=[0.9], intercepts=[0.05], targets=1, post_transform="PROBIT")

# Support vectors: five of them.
for kernel in ["LINEAR", "POLY", "RBF", "SIGMOID"]:
    k = kernel.lower()
    shared = dict(kernel_type=kernel, kernel_params=[0.4, 0.3, 3.0], support_vectors=floats(5, 4))
    ml(f"svr_{k}", "SVMRegressor", {"x": x}, SCORE, coefficients=floats(5), rho=[0.3], n_supports=5, **shared)
    for post in POSTS:
        p = post.lower()
        two = dict(vectors_per_class=[3, 2], coefficients=floats(5), rho=[0.1], classlabels_ints=[0, 1], post_transform=post, **shared)
        ml(f"svc_two_{k}_{p}", "SVMClassifier", {"x": x}, BOTH, **two)
        three = dict(vectors_per_class=[2, 2, 1], coefficients=floats(2, 5), rho=floats(3), classlabels_strings=["a", "b", "c"], post_transform=post, **shared)
        ml(f"svc_three_{k}_{p}", "SVMClassifier", {"x": x}, NAMED, **three)
        if kernel == "RBF":
            ml(f"svc_two_platt_{p}", "SVMClassifier", {"x": x}, BOTH, prob_a=[-1.3], prob_b=[0.2], **two)
            ml(f"svc_three_platt_{p}", "SVMClassifier", {"x": x}, NAMED, prob_a=[-1.3, -1, -2], prob_b=[0.2, 0.1, 0], **three)
ml("svr_one_class", "SVMRegressor", {"x": x}, SCORE, kernel_type="RBF", kernel_params=[0.4, 0, 3], support_vectors=floats(5, 4), coefficients=floats(5), rho=[0.1], n_supports=5, one_class=1)
ml("svr_liblinear", "SVMRegressor", {"x": x}, SCORE, kernel_type="LINEAR", kernel_params=[0.4, 0, 3], coefficients=floats(4), rho=[0.1], n_supports=0)
ml("svc_liblinear", "SVMClassifier", {"x": x}, BOTH, kernel_type="LINEAR", kernel_params=[0.4, 0, 3], coefficients=floats(3, 4), rho=[0.1], classlabels_ints=[4, 5, 6])


def forest(kind, ids, modes, missing=False, count=7, depth=4):
    """Random trees; every leaf carries a weight for each of its ids."""
    keys = ["treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true"]
    n, w = {k: [] for k in keys}, {k: [] for k in ["treeids", "nodeids", "ids", "weights"]}

    def grow(tree, level):
        i = sum(t == tree for t in n["treeids"])
        leaf = level == depth or (level > 1 and rng.random() < 0.25)
        place = len(n["treeids"])
        values = [tree, i, 0 if leaf else int(rng.integers(4)), 0.0 if leaf else float(np.float32(round(rng.normal(), 1))),
                  "LEAF" if leaf else modes[rng.integers(len(modes))], 0, 0, int(missing and not leaf and rng.random() < 0.5)]
        for k, v in zip(keys, values):
            n[k].append(v)
        if leaf:
            for id in ids(len(w["ids"])):
                for k, v in zip(w, [tree, i, id, float(np.float32(rng.normal() if kind != "positive" else rng.random() / count))]):
                    w[k].append(v)
        else:
            n["truenodeids"][place] = grow(tree, level + 1)
            n["falsenodeids"][place] = grow(tree, level + 1)
        return i

    for tree in range(count):
        grow(tree, 0)
    if not missing:
        del n["missing_value_tracks_true"]
    prefix = "target" if kind == "target" else "class"
    return {f"nodes_{k}": v for k, v in n.items()} | {f"{prefix}_{k}": v for k, v in w.items()}


LEQ = ["BRANCH_LEQ"]
ALL = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
grid = np.round(x, 1)
grid_holes = grid.copy()
grid_holes[np.isnan(holes)] = np.nan
for post in POSTS:
    p = post.lower()
    for sign in ["positive", "class"]:
        ml(f"trees_two_{sign}_{p}", "TreeEnsembleClassifier", {"x": x}, BOTH, classlabels_int64s=[0, 1], post_transform=post, **forest(sign, lambda i: [0], LEQ))
        ml(f"trees_two_base_{sign}_{p}", "TreeEnsembleClassifier", {"x": x}, NAMED, classlabels_strings=["no", "yes"], base_values=[0.3], post_transform=post, **forest(sign, lambda i: [0], LEQ))
        ml(f"trees_second_{sign}_{p}", "TreeEnsembleClassifier", {"x": x}, BOTH, classlabels_int64s=[0, 1], post_transform=post, **forest(sign, lambda i: [1], LEQ))
    ml(f"trees_three_{p}", "TreeEnsembleClassifier", {"x": x}, BOTH, classlabels_int64s=[5, 6, 9], post_transform=post, **forest("class", lambda i: [i % 3], LEQ))
    ml(f"trees_three_base_{p}", "TreeEnsembleClassifier", {"x": x}, BOTH, classlabels_int64s=[5, 6, 9], base_values=floats(3), post_transform=post, **forest("class", lambda i: [0, 1, 2], LEQ))
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
        a = aggregate.lower()
        ml(f"forest_{a}_{p}", "TreeEnsembleRegressor", {"x": x}, SCORE, n_targets=1, base_values=[0.7], aggregate_function=aggregate, post_transform=post, **forest("target", lambda i: [0], LEQ))
        ml(f"forest_two_{a}_{p}", "TreeEnsembleRegressor", {"x": x}, SCORE, n_targets=2, base_values=[0.7, -0.2], aggregate_function=aggregate, post_transform=post, **forest("target", lambda i: [i % 2], LEQ))
ml("trees_both", "TreeEnsembleClassifier", {"x": x}, {"unjudged": T.INT64, "scores": T.FLOAT}, classlabels_int64s=[0, 1], **forest("positive", lambda i: [0, 1], LEQ))
for mode in ALL:
    ml(f"mode_{mode.lower()}", "TreeEnsembleRegressor", {"x": grid}, SCORE, n_targets=1, **forest("target", lambda i: [0], [mode]))
    ml(f"mode_{mode.lower()}_missing", "TreeEnsembleRegressor", {"x": grid_holes}, SCORE, n_targets=1, **forest("target", lambda i: [0], [mode], True))
    ml(f"mode_{mode.lower()}_nan", "TreeEnsembleRegressor", {"x": grid_holes}, SCORE, n_targets=1, **forest("target", lambda i: [0], [mode]))
ml("mode_all", "TreeEnsembleRegressor", {"x": grid_holes}, SCORE, n_targets=1, **forest("target", lambda i: [0], ALL, True, 20, 6))
double = forest("target", lambda i: [0], LEQ)
for k in ["nodes_values", "target_weights"]:
    double[f"{k}_as_tensor"] = nh.from_array(np.array(double.pop(k), np.float64))
ml("forest_double", "TreeEnsembleRegressor", {"x": x.astype(np.float64)}, SCORE, n_targets=1, **double)
ml("trees_int", "TreeEnsembleClassifier", {"x": np.round(x * 3).astype(np.int64)}, BOTH, classlabels_int64s=[0, 1], **forest("class", lambda i: [0], LEQ))

# v5: one tree with a set of values and one plain one.
f32 = lambda values: nh.from_array(np.array(values, np.float32))
ml("ensemble_v5", "TreeEnsemble", {"x": np.abs(np.round(x * 2)).astype(np.float32)}, SCORE, version=5, n_targets=2, aggregate_function=1, post_transform=0,
   membership_values=f32([1.0, 3.0, np.nan]), nodes_featureids=[0, 1, 2], nodes_splits=f32([1.5, np.nan, 2.0]), nodes_modes=nh.from_array(np.array([0, 6, 3], np.uint8)),
   nodes_truenodeids=[1, 0, 2], nodes_falsenodeids=[0, 1, 3], nodes_trueleafs=[0, 1, 1], nodes_falseleafs=[1, 1, 1], tree_roots=[0, 2],
   leaf_targetids=[0, 1, 0, 1], leaf_weights=f32([5.0, 7.0, -2.0, 0.5]))

# Categories.
words = np.array([["red", "blue"], ["green", "grey"], ["red", "red"], ["", "blue"]], object)
codes = np.array([[1, 2], [3, 9], [1, 1], [2, 0]])
ml("label_strings", "LabelEncoder", {"x": words}, {"y": T.INT64}, version=2, keys_strings=["red", "blue", "green"], values_int64s=[4, 5, 6], default_int64=-7)
ml("label_ints", "LabelEncoder", {"x": codes}, {"y": T.STRING}, version=2, keys_int64s=[1, 2, 3], values_strings=["a", "b", "c"], default_string="?")
ml("label_floats", "LabelEncoder", {"x": np.array([[1.5, np.nan], [0.0, -0.0]], np.float32)}, {"y": T.FLOAT}, version=4, keys_floats=[1.5, float("nan"), 0.0], values_floats=[1.0, 2.0, 3.0], default_float=9.0)
ml("label_tensors", "LabelEncoder", {"x": words}, {"y": T.INT64}, version=4, keys_tensor=nh.from_array(np.array(["red", "blue"], object)), values_tensor=nh.from_array(np.array([10, 20])), default_tensor=nh.from_array(np.array([-3])))
ml("label_v1", "LabelEncoder", {"x": words}, {"y": T.INT64}, version=1, classes_strings=["red", "blue", "green"], default_int64=-1, default_string="?")
ml("category_mapper", "CategoryMapper", {"x": words}, {"y": T.INT64}, version=1, cats_strings=["red", "blue"], cats_int64s=[7, 8], default_int64=-1)
ml("category_mapper_back", "CategoryMapper", {"x": codes}, {"y": T.STRING}, version=1, cats_strings=["red", "blue"], cats_int64s=[1, 2], default_string="?")
ml("one_hot_strings", "OneHotEncoder", {"x": words}, SCORE, cats_strings=["red", "blue", "grey"], zeros=1)
ml("one_hot_ints", "OneHotEncoder", {"x": codes}, SCORE, cats_int64s=[1, 2, 3], zeros=1)
ml("one_hot_floats", "OneHotEncoder", {"x": codes.astype(np.float32)}, SCORE, cats_int64s=[1, 2, 3], zeros=1)

# What scikit-learn users export, maps and string labels among them.
from skl2onnx import to_onnx
from sklearn import calibration, compose, datasets, ensemble, impute, linear_model, multiclass, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree

iris = datasets.load_iris()
xs, ys = iris.data.astype(np.float32), iris.target
names = iris.target_names[ys]
two = ys < 2
SK = {
    "logistic": (linear_model.LogisticRegression(max_iter=500), ys),
    "logistic_strings": (linear_model.LogisticRegression(max_iter=500), names),
    "logistic_from_one": (linear_model.LogisticRegression(max_iter=500), ys + 1),
    "one_vs_rest": (multiclass.OneVsRestClassifier(linear_model.LogisticRegression(max_iter=500)), ys),
    "pipeline": (pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), preprocessing.Normalizer(), linear_model.LogisticRegression()), names),
    "tree": (tree.DecisionTreeClassifier(max_depth=4, random_state=0), ys),
    "tree_strings": (tree.DecisionTreeClassifier(max_depth=4, random_state=0), names),
    "forest": (ensemble.RandomForestClassifier(6, max_depth=4, random_state=0), ys),
    "extra_trees": (ensemble.ExtraTreesClassifier(5, max_depth=4, random_state=0), names),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0), ys),
    "adaboost": (ensemble.AdaBoostClassifier(n_estimators=4, random_state=0), ys),
    "svc": (svm.SVC(), ys),
    "svc_probability": (svm.SVC(probability=True, random_state=0), names),
    "linear_svc": (svm.LinearSVC(), ys),
    "mlp": (neural_network.MLPClassifier((8,), max_iter=200, random_state=0), names),
    "naive_bayes": (naive_bayes.GaussianNB(), ys),
    "neighbours": (neighbors.KNeighborsClassifier(3), ys),
    "voting": (ensemble.VotingClassifier([("a", linear_model.LogisticRegression(max_iter=500)), ("b", tree.DecisionTreeClassifier(max_depth=3, random_state=0))], voting="soft", flatten_transform=False), names),
    "calibrated": (calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), ys),
    "ridge": (linear_model.Ridge(), xs[:, 0] * 2 - xs[:, 1]),
    "svr": (svm.SVR(), xs[:, 0] * 2 - xs[:, 1]),
    "forest_regressor": (ensemble.RandomForestRegressor(6, max_depth=4, random_state=0), xs[:, 0] * 2 - xs[:, 1]),
    "forest_regressor_two": (ensemble.RandomForestRegressor(6, max_depth=4, random_state=0), xs[:, :2] * 2 - xs[:, 2:]),
}
for name, (estimator, target) in SK.items():
    for zipmap in [False, True]:
        if zipmap and name not in {"logistic", "forest", "logistic_strings", "logistic_from_one"}:
            continue
        try:
            estimator.fit(xs, target)
            options = {id(estimator): {"zipmap": zipmap}} if hasattr(estimator, "predict_proba") or name == "svc" else None
            model = to_onnx(estimator, xs[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
            add(f"sk_{name}{'_zipmap' if zipmap else ''}", model, {"X": xs[::4]})
        except Exception as error:
            print("left out:", name, str(error)[:150])
for name in ["logistic", "tree", "forest", "boosting", "svc", "svc_probability", "mlp"]:
    estimator, target = SK[name]
    estimator.fit(xs[two], target[two])
    model = to_onnx(estimator, xs[:1], options={id(estimator): {"zipmap": False}}, target_opset={"": 17, "ai.onnx.ml": 3})
    add(f"sk_two_{name}", model, {"X": xs[two][::4]})


def net(opset, half=False):
    """Convolution, normalisation, pooling, Gemm, softmax in the way of each opset."""
    draw = np.random.default_rng(3)
    w = lambda name, *shape: nh.from_array((draw.normal(size=shape) * 0.3).astype(np.float32), name)
    weights = [w("w", 4, 2, 3, 3), w("b", 4), w("scale", 4), w("bias", 4), w("mean", 4), nh.from_array(np.full(4, 0.8, np.float32), "var"),
               w("g", 16, 3), w("gb", 3), nh.from_array(np.array([0, 16]), "shape")]
    nodes = [h.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
             h.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"]),
             h.make_node("Relu", ["n"], ["r"]),
             h.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2])]
    if opset >= 11:
        weights += [nh.from_array(np.float32(0), "low"), nh.from_array(np.float32(6), "high")]
        nodes.append(h.make_node("Clip", ["p", "low", "high"], ["k"]))
    else:
        nodes.append(h.make_node("Clip", ["p"], ["k"], min=0.0, max=6.0))
    if opset >= 13:
        weights.append(nh.from_array(np.array([2, 3]), "axes"))
        nodes += [h.make_node("Split", ["k", "halves"], ["s0", "s1"], axis=1), h.make_node("ReduceSum", ["s1", "axes"], ["t"], keepdims=1)]
        weights.append(nh.from_array(np.array([2, 2]), "halves"))
    else:
        nodes += [h.make_node("Split", ["k"], ["s0", "s1"], axis=1, split=[2, 2]), h.make_node("ReduceSum", ["s1"], ["t"], axes=[2, 3], keepdims=1)]
    nodes += [h.make_node("Mul", ["s1", "t"], ["m"]), h.make_node("Concat", ["s0", "m"], ["cat"], axis=1),
              h.make_node("Reshape", ["cat", "shape"], ["flat"]), h.make_node("Gemm", ["flat", "g", "gb"], ["logits"]),
              h.make_node("Softmax", ["logits"], ["probabilities"], axis=1)]
    if opset >= 20:
        nodes.insert(2, h.make_node("Gelu", ["n"], ["gelu"]))
        nodes[3].input[0] = "gelu"
    graph = h.make_graph(nodes, "net", [h.make_tensor_value_info("x", T.FLOAT, ["batch", 2, 4, 4])],
                         [h.make_tensor_value_info("probabilities", T.FLOAT, ["batch", 3])], weights)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=min(10, max(3, opset - 9)))


pictures = rng.normal(size=(9, 2, 4, 4)).astype(np.float32)
for opset in range(7, 25):
    try:
        add(f"opset_{opset:02}", net(opset), {"x": pictures})
    except Exception as error:
        print("left out: opset", opset, str(error)[:200])

# The same network in float16 (all of it, and with float32 at the border) and quantised.
from onnxconverter_common import float16
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

add("half", float16.convert_float_to_float16(net(17)), {"x": pictures.astype(np.float16)})
add("half_inside", float16.convert_float_to_float16(net(17), keep_io_types=True), {"x": pictures})


class Reader(CalibrationDataReader):
    def __init__(self):
        self.rows = iter([{"x": pictures}])

    def get_next(self):
        return next(self.rows, None)


onnx.save(net(17), "/tmp/net.onnx")
for per_channel in [False, True]:
    for kind in [QuantType.QInt8, QuantType.QUInt8]:
        name = f"qdq_{'channels_' if per_channel else ''}{kind.name[1:].lower()}"
        quantize_static("/tmp/net.onnx", "/tmp/quantised.onnx", Reader(), QuantFormat.QDQ, per_channel=per_channel, activation_type=kind, weight_type=QuantType.QInt8)
        # Fused, onnxruntime computes in int8, which moves some of its own probabilities by a step of 1/255.
        add(name, onnx.load("/tmp/quantised.onnx"), {"x": pictures}, fuse=False)
quantize_static("/tmp/net.onnx", "/tmp/quantised.onnx", Reader(), QuantFormat.QOperator, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
add("qoperator", onnx.load("/tmp/quantised.onnx"), {"x": pictures})
quantize_dynamic("/tmp/net.onnx", "/tmp/quantised.onnx")
add("dynamic", onnx.load("/tmp/quantised.onnx"), {"x": pictures})

# Both ways through every type, on steps, half steps and beyond the ends; one scale for all or one for each place.
steps = np.concatenate([np.arange(-600, 600, dtype=np.float32) / 8, floats(36), [4e4, -4e4, 3e9, -3e9]]).astype(np.float32).reshape(-1, 4)
for kind in [np.uint8, np.int8, np.uint16, np.int16]:
    for axis, points in [(None, 3), (1, [0, 1, 2, 100]), (-1, None)]:
        scale = np.float32(0.25) if axis is None else np.array([0.25, 0.1, 3, 0.007], np.float32)
        constants = [nh.from_array(np.array(scale), "scale")]
        code = h.np_dtype_to_tensor_dtype(np.dtype(kind))
        attributes = {} if axis is None else {"axis": axis}
        to = dict(attributes)
        names = ["scale"]
        if points is None:
            to["output_dtype"] = code
        else:
            constants.append(nh.from_array(np.array(points, kind), "point"))
            names.append("point")
        nodes = [h.make_node("QuantizeLinear", ["x", *names], ["q"], **to), h.make_node("DequantizeLinear", ["q", *names], ["y"], **attributes)]
        graph = h.make_graph(nodes, "steps", [h.make_tensor_value_info("x", T.FLOAT, ["batch", 4])], [h.make_tensor_value_info("y", T.FLOAT, ["batch", 4])], constants)
        name = f"quantize_{kind.__name__}_{'one' if axis is None else 'stated' if points is None else 'each'}"
        add(name, h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10), {"x": steps}, fuse=False)

# Names that nodes share with tensors, one of them the output of a node without a name.
nodes = [h.make_node("Mul", ["x", "w"], ["a"], name="w"), h.make_node("Exp", ["a"], ["b"], name="y"),
         h.make_node("Neg", ["b"], ["y"]), h.make_node("Add", ["y", "b"], ["z"], name="x")]
graph = h.make_graph(nodes, "names", [h.make_tensor_value_info("x", T.FLOAT, ["batch", 4])], [h.make_tensor_value_info(k, T.FLOAT, ["batch", 4]) for k in "yz"], [nh.from_array(np.float32([1, 2, 3, 4]), "w")])
add("names", h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), {"x": x})

out = Path(__file__).with_name("zoo.zip")
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, (model, arrays) in zoo.items():
        buffer = io.BytesIO()
        np.savez(buffer, **{k: v for k, v in arrays.items() if v.dtype != object})
        texts = {k: {"shape": v.shape, "values": v.ravel().tolist()} for k, v in arrays.items() if v.dtype == object}
        for inner, content in [("onnx", model.SerializeToString()), ("npz", buffer.getvalue()), ("json", json.dumps(texts))]:
            # A fixed date, so that the same models make the same archive.
            archive.writestr(zipfile.ZipInfo(f"{name}.{inner}", (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
print(len(zoo), "models,", out.stat().st_size, "bytes")

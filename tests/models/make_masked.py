"""Writes masked.onnx: a linear classifier of digits behind an input that the graph rounds to quarters, so that its own
gradient is zero almost everywhere.

    pip install numpy==2.4.6 onnx==1.23.2
    python tests/models/make_masked.py

The weights are a softmax regression on tests/data/mnist_test.npz (CC BY-SA 3.0, see tests/data/NOTICE.md).
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

here = Path(__file__).parent
data = np.load(here.parent / "data" / "mnist_test.npz")
x, y = data["x"].reshape(-1, 784) / 255.0, np.eye(10)[data["y"]]
x = np.round(x * 4) / 4
w, b = np.zeros((784, 10)), np.zeros(10)
for _ in range(400):
    z = x @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    w -= 0.5 * (x.T @ (p - y) / len(x) + 1e-3 * w)
    b -= 0.5 * (p - y).mean(0)
print("accuracy", ((x @ w + b).argmax(1) == data["y"]).mean())

constants = {"four": np.float32(4), "w": w.astype(np.float32), "b": b.astype(np.float32)}
nodes = [
    h.make_node("Mul", ["input", "four"], ["scaled"]),
    h.make_node("Round", ["scaled"], ["rounded"]),
    h.make_node("Div", ["rounded", "four"], ["quarters"]),
    h.make_node("Flatten", ["quarters"], ["flat"]),
    h.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
]
ports = [h.make_tensor_value_info("input", T.FLOAT, ["batch", 1, 28, 28])]
results = [h.make_tensor_value_info("logits", T.FLOAT, ["batch", 10])]
initializers = [nh.from_array(np.asarray(v), k) for k, v in constants.items()]
graph = h.make_graph(nodes, "masked", ports, results, initializers)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
(here / "masked.onnx").write_bytes(model.SerializeToString())

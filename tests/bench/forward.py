"""Rows a second of `assay`'s forward pass beside onnxruntime's, two threads each, in one run.

    cargo build --release --bench forward   # or: cargo bench --bench forward --no-run
    ASSAY_CORPUS=... python tests/bench/forward.py PATH_OF_THE_BENCHMARK_BINARY
"""

import os
import subprocess
import sys
import time

import numpy as np
import onnxruntime as ort

corpus = os.environ["ASSAY_CORPUS"]
ROWS = {"efficientnet_lite0": (32, [3, 224, 224]), "mnist_cnn": (512, [1, 28, 28]), "mnist_mlp_overfit": (8192, [1, 28, 28]),
        "ppocr_angle_cls": (128, [3, 48, 192]), "bc_rf": (16384, [30]), "bc_gb": (16384, [30]), "bc_svm": (16384, [30]), "diabetes_gbr": (32768, [10])}
own = {}
for line in subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout.splitlines():
    name, batch, speed = line.split()
    own[name] = (int(batch), float(speed))
options = ort.SessionOptions()
options.intra_op_num_threads = 2
print("| model | batch | assay rows/s | onnxruntime rows/s (its best batch) | ratio |\n|---|---|---|---|---|")
for name, (rows, shape) in ROWS.items():
    session = ort.InferenceSession(f"{corpus}/models/{name}.onnx", options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((rows, *shape), dtype=np.float32)
    speeds = {}
    for batch in [1, 8, 32, 256, rows]:
        if batch > rows:
            continue
        parts = [x[i : i + batch] for i in range(0, min(rows, 512 * batch), batch)]
        run = lambda: [session.run(None, {session.get_inputs()[0].name: part}) for part in parts]
        run()
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        speeds[batch] = sum(map(len, parts)) / min(times)
    best = max(speeds, key=speeds.get)
    print(f"| {name} | {own[name][0]} | {own[name][1]:.0f} | {speeds[best]:.0f} ({best}) | {own[name][1] / speeds[best]:.2f} |")

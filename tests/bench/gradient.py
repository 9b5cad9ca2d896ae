"""Gradient evaluations a second of torch, for the models of tests/bench/gradient.rs, two threads, weights frozen.

    pip install torch torchvision onnx onnx2torch
    ASSAY_CORPUS=... [ASSAY_GRADIENTS=FOLDER] python tests/bench/gradient.py
"""

import math
import os
import pathlib
import sys
import time

import torch
import torchvision
from onnx2torch import convert

torch.set_num_threads(2)
corpus = pathlib.Path(os.environ["ASSAY_CORPUS"]) / "models"
files = [corpus / f"{name}.onnx" for name in ("mnist_cnn", "mnist_mlp_overfit", "efficientnet_lite0")]
if "ASSAY_GRADIENTS" in os.environ:
    folder = pathlib.Path(os.environ["ASSAY_GRADIENTS"])
    files += [folder / f"{name}.onnx" for name in ("resnet18", "mobilenet_v2", "vit_small")]
# A name on the command line is the only one that is measured.
files = [file for file in files if file.stem in sys.argv[1:] or not sys.argv[1:]]


def best(work):
    """Seconds of one piece of work: the best of several rounds of a twentieth of a second at least."""
    start = time.perf_counter()
    work()
    times = max(1, min(10_000, math.ceil(0.05 / (time.perf_counter() - start))))
    began, least, rounds = time.perf_counter(), float("inf"), 0
    while rounds < 3 or (rounds < 15 and time.perf_counter() - began < 8):
        start = time.perf_counter()
        for _ in range(times):
            work()
        least, rounds = min(least, (time.perf_counter() - start) / times), rounds + 1
    return least


print("model batch forward/s gradients/s")
for file in files:
    if file.stem in ("resnet18", "mobilenet_v2"):
        net = getattr(torchvision.models, file.stem)(weights=None).eval()
    else:
        net = convert(str(file)).eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    shape = (1, 28, 28) if "mnist" in file.stem else (3, 224, 224)
    for batch in (1, 8, 32):
        x = torch.rand(batch, *shape)
        with torch.no_grad():
            seed = torch.rand_like(net(x))

        def forward():
            with torch.no_grad():
                net(x)

        def both():
            leaf = x.clone().requires_grad_()
            net(leaf).backward(seed)

        print(file.stem, batch, f"{batch / best(forward):.1f} {batch / best(both):.1f}", flush=True)

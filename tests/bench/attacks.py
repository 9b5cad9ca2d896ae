"""Time to a verdict: PGD of assay, torchattacks and foolbox on the same digits, two threads each, in one run.

    cargo build --release
    pip install torch onnx onnx2torch numpy torchattacks foolbox
    python tests/bench/attacks.py CORPUS [ASSAY]

Each takes the whole way of a user: program or interpreter started, model and cases read, 1000 cases attacked. What it
takes Python to import torch is told apart and left out of the ratio."""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

corpus = pathlib.Path(sys.argv[1])
root = pathlib.Path(__file__).resolve().parent.parent.parent
assay = sys.argv[2] if len(sys.argv) > 2 else root / "target/release/assay"
model, cases = corpus / "models/mnist_cnn.onnx", corpus / "data/mnist_test.npz"
EPS, STEPS, LIMIT, ROUNDS = 0.3, 40, 1000, 3

PEER = f"""
import sys, time
start = time.perf_counter()
import numpy as np, torch
from onnx2torch import convert
import {{package}}
imported = time.perf_counter()
torch.set_num_threads(2)
torch.manual_seed(0)
net = convert({str(model)!r}).eval()
data = np.load({str(cases)!r})
x, y = torch.from_numpy(data["x"][:{LIMIT}]).float(), torch.from_numpy(data["y"][:{LIMIT}]).long()
x = x / 255 if x.max() > 1 else x
{{attack}}
with torch.no_grad():
    robust = (net(adversarial).argmax(1) == y).float().mean().item()
print("seconds", time.perf_counter() - imported, "import", imported - start, "robust", robust)
"""
STEP = 2.5 * EPS / STEPS
ATTACKS = {
    "torchattacks": f"adversarial = torchattacks.PGD(net, eps={EPS}, alpha={STEP}, steps={STEPS})(x, y)",
    "foolbox": f"adversarial = foolbox.attacks.LinfPGD(steps={STEPS}, abs_stepsize={STEP})("
               f"foolbox.PyTorchModel(net, bounds=(0, 1), device='cpu'), x, y, epsilons={EPS})[1]",
}


def peer(package):
    script = PEER.format(package=package, attack=ATTACKS[package])
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    found = re.search(r"seconds (\S+) import (\S+) robust (\S+)", output)
    return [float(value) for value in found.groups()]


def own():
    command = [assay, "run", "--model", model, "--cases", cases, "--limit", str(LIMIT), "--output", "json",
               "--slots", "2", "--check", f"pgd:norm=linf,eps={EPS},steps={STEPS}"]
    start = time.perf_counter()
    output = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    metrics = json.loads(output)["report"]["checks"][0]["metrics"]
    return time.perf_counter() - start, next(m["value"] for m in metrics if m["name"] == "robust_accuracy")


rounds = {name: [] for name in ("assay", *ATTACKS)}
for _ in range(ROUNDS):
    seconds, robust = own()
    rounds["assay"].append((seconds, 0.0, robust))
    for name in ATTACKS:
        rounds[name].append(tuple(peer(name)))
base = statistics.median(r[0] for r in rounds["assay"])
for name, all_rounds in rounds.items():
    seconds = statistics.median(r[0] for r in all_rounds)
    print(f"{name:13} {seconds:7.2f} s, {seconds / base:5.1f} times assay's; imports {all_rounds[0][1]:.1f} s; "
          f"robust accuracy {all_rounds[0][2]:.3f}")

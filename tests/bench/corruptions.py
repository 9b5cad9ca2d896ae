"""Corruptions of assay against the Python package imagecorruptions: the same picture, severity 3, one thread, one run.

usage: corruptions.py CORPUS PHOTOGRAPH
Needs imagecorruptions, numpy, pillow, scipy, scikit-image and opencv-python-headless, and the corpus's own shim
golden/scripts/imagecorruptions_compat.py. Prints milliseconds of both and the ratio, the median last."""
import json, os, pathlib, statistics, subprocess, sys, tempfile, time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(1)
sys.path.insert(0, str(pathlib.Path(sys.argv[1]) / "golden/scripts"))
from imagecorruptions_compat import corrupt  # noqa: E402

image = Image.open(sys.argv[2]).convert("RGB")
side = min(image.size)
left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
image = np.asarray(image.resize((224, 224), Image.BICUBIC, box=(left, top, left + side, top + side)), np.uint8)

with tempfile.NamedTemporaryFile(suffix=".rgb") as file:
    file.write(image.tobytes())
    file.flush()
    command = ["cargo", "bench", "--quiet", "--bench", "corruptions", "--", file.name]
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    lines = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()
ours = {line["name"]: line["seconds"] for line in map(json.loads, filter(lambda l: l.startswith("{"), lines))}

ratios = []
print(f"{'corruption':20} {'assay ms':>9} {'package ms':>11} {'ratio':>7}")
for name, seconds in ours.items():
    times = []
    while len(times) < 3 or (sum(times) < 0.5 and len(times) < 200):
        start = time.perf_counter()
        corrupt(image, corruption_name=name, severity=3)
        times.append(time.perf_counter() - start)
    theirs = statistics.median(times)
    ratios.append(theirs / seconds)
    print(f"{name:20} {seconds * 1e3:9.3f} {theirs * 1e3:11.3f} {ratios[-1]:7.1f}")
print(f"median ratio {statistics.median(ratios):.1f}, lowest {min(ratios):.1f}")

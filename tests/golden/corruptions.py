"""How far the Python package imagecorruptions moves a few photographs: tests/golden/corruptions.json.

usage: corruptions.py CORPUS
Needs imagecorruptions, numpy, pillow, scipy, scikit-image and opencv-python-headless, and the corpus's own shim
golden/scripts/imagecorruptions_compat.py, without which the package does not import on current versions."""
import csv, json, pathlib, sys

import numpy as np
from PIL import Image

corpus = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(corpus / "golden/scripts"))
from imagecorruptions_compat import corrupt, get_corruption_names  # noqa: E402

EVERY = 40
REPEATS = {"glass_blur": 2}
FIXED = ["gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast", "saturate", "pixelate", "jpeg_compression"]


def photo(row):
    image = Image.open(corpus / "data/photos" / row["file"]).convert("RGB")
    width, height = image.size
    k = 256 / min(width, height)
    image = image.resize((int(width * k), int(height * k)), Image.BICUBIC)
    left, top = (image.size[0] - 224) // 2, (image.size[1] - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.uint8)


rows = list(csv.DictReader(open(corpus / "data/photos/labels.csv")))[::EVERY]
photos = [photo(row) for row in rows]
result = {"package": "imagecorruptions 1.1.2", "every": EVERY, "photos": len(photos), "mean_abs_diff": {}, "repeats": {}}
np.random.seed(0)
for name in get_corruption_names("all"):
    repeats = 1 if name in FIXED else REPEATS.get(name, 12)
    cell = lambda severity, x: np.abs(np.asarray(corrupt(x, corruption_name=name, severity=severity)).astype(np.uint8).astype(float) - x).mean()
    means = [np.mean([cell(severity, x) for x in photos for _ in range(repeats)]) for severity in range(1, 6)]
    result["mean_abs_diff"][name] = [round(float(m), 3) for m in means]
    result["repeats"][name] = repeats
    print(name, means, flush=True)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")

"""Makes cases/: the same cases in the forms in which pandas, pyarrow and numpy write them.

    pip install pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6 pillow==13.0.0
    python tests/golden/cases.py
"""

import io
import json
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

folder = pathlib.Path(__file__).parent / "cases"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(20260802)
ROWS = 300


def tables():
    """Two features (one with gaps, one of integers), labels by name, ids and two tags."""
    width = rng.normal(size=ROWS).astype(np.float32).round(3)
    width[::50] = np.nan
    table = pd.DataFrame(
        {
            "id": [f"row-{i}" for i in range(ROWS)],
            "width": width,
            "count": rng.integers(0, 9, ROWS),
            "label": rng.choice(["cat", "dog", "ant"], ROWS),
            "tags.light": rng.choice(["dark", "day"], ROWS),
            "tags.year": rng.integers(2000, 2020, ROWS),
        }
    )
    table.to_csv(folder / "table.csv", index=False)
    table.to_csv(folder / "table_semicolon.csv", index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    for compression in ["snappy", "zstd", "gzip", "none"]:
        # Small groups and pages, so that rows are read across both.
        options = {"row_group_size": 70, "data_page_size": 256, "data_page_version": "2.0" if compression == "zstd" else "1.0"}
        pq.write_table(pa.Table.from_pandas(table), folder / f"table_{compression}.parquet", compression=compression, **options)
    with open(folder / "table.jsonl", "w") as file:
        for row in table.to_dict("records"):
            x = [None if np.isnan(row["width"]) else float(str(np.float32(row["width"]))), float(row["count"])]
            tags = {"light": row["tags.light"], "year": row["tags.year"]}
            file.write(json.dumps({"id": row["id"], "inputs": {"x": x}, "label": row["label"], "tags": tags}) + "\n")


def vectors():
    """A float32 and an int64 vector, a uint8 matrix and a text each; labels by index."""
    n = 12
    weights, tokens = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 2**40, (n, 4))
    pixels, words = rng.integers(0, 256, (n, 2, 3), dtype=np.uint8), np.array([f"wörd {i}" for i in range(n)])
    labels = rng.integers(0, 5, n)
    columns = {
        "weights": pa.array(weights.tolist(), pa.list_(pa.float32())),
        "tokens": pa.array(tokens.tolist(), pa.list_(pa.int64(), 4)),
        "pixels": pa.array(pixels.tolist(), pa.list_(pa.list_(pa.uint8()))),
        "words": pa.array(words.tolist()),
        "label": pa.array(labels),
    }
    pq.write_table(pa.table(columns), folder / "vectors.parquet")
    arrays = {"weights": weights, "tokens": tokens, "pixels": pixels, "words": words, "y": labels}
    np.savez(folder / "vectors.npz", **arrays)
    swapped = {name: np.asfortranarray(a.astype(a.dtype.newbyteorder(">"))) for name, a in arrays.items()}
    np.savez_compressed(folder / "vectors_big_endian_fortran.npz", **swapped)

    np.savez(folder / "extra.npz", x=weights, y=labels, probs=weights)


def pictures():
    """Encoded pictures in the struct of Hugging Face's datasets, and as plain bytes."""
    files = []
    for i in range(3):
        file = io.BytesIO()
        Image.fromarray(np.full((2, 2, 3), 80 * i, np.uint8)).save(file, "PNG")
        files.append(file.getvalue())
        (folder / f"picture_{i}.png").write_bytes(file.getvalue())
    image = pa.array(
        [{"bytes": file if i < 2 else None, "path": f"picture_{i}.png"} for i, file in enumerate(files)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    labels = pa.array([[1], [0, 2], None], pa.list_(pa.int64()))
    pq.write_table(pa.table({"image": image, "label": labels}), folder / "pictures.parquet")
    pq.write_table(pa.table({"image": pa.array(files, pa.binary()), "label": pa.array([1.5, 2.0, None])}), folder / "bytes.parquet")


tables()
vectors()
pictures()

"""Arrays that a job kept, put together from the parts that its shards left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.cases import DATA_TYPES
from assay.errors import DataLoss, NotFound
from assay.resources import Artifact
from assay.verdict import Verdict

Array = npt.NDArray[Any]


def to_array(artifact: Artifact, data: bytes) -> Array:
    """An artifact's bytes as an array in probe space, rows first; pictures become value / 255."""
    if artifact.sha256 and hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise DataLoss(f"{artifact.name} came with other bytes than its SHA-256 says")
    if artifact.data_type not in DATA_TYPES:
        raise DataLoss(f"{artifact.name} has the type {artifact.data_type}, which is no array of numbers")
    kind = np.dtype(artifact.data_type).newbyteorder("<")
    if len(data) != kind.itemsize * int(np.prod(artifact.shape)):
        raise DataLoss(f"{artifact.name} came with {len(data)} bytes, its shape is {artifact.shape}")
    array: Array = np.frombuffer(data, dtype=kind).reshape(artifact.shape)
    return np.divide(array, 255, dtype=np.float32) if kind == np.uint8 else array.copy()


def of_check(artifacts: Iterable[Artifact], check: int) -> list[Artifact]:
    """The artifacts of a check. Raises NotFound if there is none."""
    own = [artifact for artifact in artifacts if artifact.check_index == check]
    if not own:
        raise NotFound(f"the job kept no arrays of check {check}; it keeps them if it runs with artifacts=True")
    return own


def join(parts: Mapping[Artifact, Array], verdicts: Iterable[Verdict]) -> dict[str, Array]:
    """The arrays of one check by name, with a row for each judged case in case order, and `case` with the ids.

    `x` has the shape (cases, ...); arrays of a check with several points (severities) have (cases, points, ...).
    Cases for which nothing was kept have zeros.
    """
    ids = {verdict.case_index: verdict.case_id for verdict in verdicts}
    cases = sorted(ids)
    arrays: dict[str, Array] = {"case": np.array([ids[case] for case in cases], dtype=np.str_)}
    places = {case: place for place, case in enumerate(cases)}
    for artifact, rows in parts.items():
        each = artifact.rows_per_case
        shape = (len(cases), *((each,) if each > 1 else ()), *rows.shape[1:])
        whole = arrays.setdefault(artifact.array, np.zeros(shape, rows.dtype))
        place = places[artifact.first_case]
        # A shard's cases follow one another.
        whole[place : place + len(rows) // each] = rows.reshape(-1, *whole.shape[1:])
    return arrays

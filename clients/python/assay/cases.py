"""Cases of a suite, from arrays and from folders of pictures, as messages that are made while they are sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Union
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from assay import frames
from assay.errors import InvalidRequest
from assay.folder import read_folder
from assay.v1 import types_pb2

if TYPE_CHECKING:
    import pandas

Array = npt.NDArray[Any]
Answers = Union[npt.ArrayLike, None]
"""One answer a row: whole numbers and booleans are class indices, fractions are values, texts are class names."""

Tags = Union[Mapping[str, Sequence[Any]], Sequence[str]]
"""Values of each tag, or names of a DataFrame's columns."""

CasesLike = Union[
    npt.ArrayLike, Mapping[str, npt.ArrayLike], tuple[Any, Any], str, "os.PathLike[str]", "pandas.DataFrame"
]
"""What a suite is made from.

An array of samples (rows first), a dictionary of such arrays by input, `(samples, answers)`, a DataFrame whose columns
are features (beside its label's and its tags'), the path of an `.npz` with arrays `x` and `y`, or the path of a folder
of pictures: with a `labels.csv` (columns `file,label`; further ones become tags, `acceptable` lists further right
classes), or with one subfolder for each class in name order.
"""

DATA_TYPES: dict[str, types_pb2.DataType] = {
    "float32": types_pb2.DATA_TYPE_FLOAT32,
    "float64": types_pb2.DATA_TYPE_FLOAT64,
    "int32": types_pb2.DATA_TYPE_INT32,
    "int64": types_pb2.DATA_TYPE_INT64,
    "uint8": types_pb2.DATA_TYPE_UINT8,
    "bool": types_pb2.DATA_TYPE_BOOL,
}


@dataclass(frozen=True)
class Cases:
    """So many cases; `messages` makes them anew each time, so that an upload can be tried again."""

    count: int
    messages: Callable[[], Iterator[types_pb2.Case]]


def read_cases(
    cases: CasesLike,
    answers: Answers = None,
    label: str = "",
    ids: Sequence[str] | None = None,
    tags: Tags = (),
) -> Cases:
    """Cases of whatever can be made into some. Answers, ids and tags belong to arrays; files bring their own."""
    if isinstance(cases, (str, os.PathLike)):
        if answers is not None or label or ids is not None or tags:
            raise _refuse("a path was found together with answers, a label, ids or tags; files bring their own")
        return _read_path(Path(cases))
    if frames.is_frame(cases):
        if answers is not None or isinstance(tags, Mapping):
            raise _refuse(
                "a DataFrame was found together with answers or values of tags; label and tags name its columns"
            )
        x, answers, columns = frames.split(cases, label, tags)
        return from_arrays({"x": x}, answers, ids, columns)
    if not isinstance(tags, Mapping):
        label, tags = label or "".join(tags), {}
    if label:
        raise _refuse("names of columns were found without a DataFrame; answers and values of tags were expected")
    if isinstance(cases, tuple):
        if len(cases) != 2 or answers is not None:
            raise _refuse("a tuple was found; (samples, answers) was expected, or samples and answers apart")
        cases, answers = cases
    inputs = cases if isinstance(cases, Mapping) else {"x": cases}
    return from_arrays({name: np.asarray(x) for name, x in inputs.items()}, answers, ids, tags)


def from_arrays(
    inputs: Mapping[str, Array],
    answers: Answers = None,
    ids: Sequence[str] | None = None,
    tags: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> Cases:
    """Cases of arrays with a row for each; ids are row numbers from 0 unless given."""
    if not inputs:
        raise _refuse("no input was found")
    rows = {name: _rows(name, array) for name, array in inputs.items()}
    count = len(next(iter(inputs.values())))
    expected = None if answers is None else _answers(np.asarray(answers))
    further = [("answers", expected), ("ids", ids), *(("tags." + name, tag) for name, tag in tags.items())]
    for name, values in [*inputs.items(), *further]:
        if values is not None and len(values) != count:
            raise _refuse(f"{name} has {len(values)} rows where {count} were expected")

    def messages() -> Iterator[types_pb2.Case]:
        for row in range(count):
            case = types_pb2.Case(id=str(row) if ids is None else str(ids[row]))
            for name, tensor in rows.items():
                case.inputs[name].tensor.CopyFrom(tensor(row))
            if expected is not None:
                _expect(case, expected[row])
            for name, values in tags.items():
                case.tags[name].CopyFrom(_tag(values[row]))
            yield case

    return Cases(count, messages)


def _read_path(path: Path) -> Cases:
    if path.is_dir():
        pictures = read_folder(path)
        return Cases(len(pictures), lambda: (picture.message() for picture in pictures))
    if path.suffix != ".npz":
        raise _refuse(f"{path} is neither a folder nor an .npz" if path.exists() else f"{path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "x" not in arrays:
                raise _refuse(f"{path} has no array x; it has {', '.join(arrays)}")
            return from_arrays({"x": arrays["x"]}, arrays.get("y"))
    except (OSError, ValueError, BadZipFile) as error:
        raise _refuse(f"{path}: {error}") from error


def _rows(name: str, array: Array) -> Callable[[int], types_pb2.Tensor]:
    """Makes the message of a row."""
    if array.ndim == 0:
        raise _refuse(f"{name} is a single value; rows of samples were expected")
    shape = array.shape[1:]
    if array.dtype.kind == "U":
        return lambda row: types_pb2.Tensor(
            data_type=types_pb2.DATA_TYPE_STRING, shape=shape, text=np.ravel(array[row]).tolist()
        )
    kind = DATA_TYPES.get(array.dtype.name)
    if kind is None:
        known = ", ".join(DATA_TYPES)
        raise _refuse(f"{name} has the type {array.dtype}; one of {known} or text was expected (see numpy's astype)")
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    # In C order whatever the array's own.
    return lambda row: types_pb2.Tensor(data_type=kind, shape=shape, data=ordered[row].tobytes())


def _answers(answers: Array) -> Array:
    if answers.ndim != 1:
        raise _refuse(f"the answers have the shape {answers.shape}; one a row was expected")
    if answers.dtype.kind == "O" and all(isinstance(answer, str) for answer in answers):
        return answers.astype(str)
    if answers.dtype.kind not in "biufU":
        raise _refuse(
            f"the answers have the type {answers.dtype}; classes as whole numbers or names, or values were expected"
        )
    if answers.dtype.kind == "i" and (answers < 0).any():
        row = int(np.argmax(answers < 0))
        raise _refuse(f"row {row} has the label {answers[row]}; classes start at 0")
    return answers


def _expect(case: types_pb2.Case, answer: Any) -> None:
    if isinstance(answer, str):
        getattr(case, "class").label.name = str(answer)
    elif isinstance(answer, np.floating):
        case.value = float(answer)
    else:
        getattr(case, "class").label.index = int(answer)


def _tag(value: Any) -> types_pb2.Tag:
    if isinstance(value, (bool, np.bool_, str)):
        return types_pb2.Tag(text=str(value))
    return types_pb2.Tag(number=float(value))


def _refuse(message: str) -> InvalidRequest:
    return InvalidRequest.of("cases", message)

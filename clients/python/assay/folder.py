"""Folders of pictures, read by the same rules as the command line's."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from assay.errors import InvalidRequest
from assay.v1 import types_pb2

_PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
_INDEX = re.compile(r"\+?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Picture:
    """A file with what is expected of the model; read when its message is made."""

    folder: Path
    relative: str
    label: int | str
    acceptable: Sequence[int | str] = ()
    tags: dict[str, float | str] = field(default_factory=dict)

    def message(self) -> types_pb2.Case:
        """The case, with the file in the input `image`."""
        path = self.folder / self.relative
        try:
            image = path.read_bytes()
        except OSError as error:
            raise refuse(path, error.strerror or str(error)) from error
        case = types_pb2.Case(id=self.relative.replace("\\", "/"))
        case.inputs["image"].image = image
        answer = types_pb2.ClassAnswer(label=to_class(self.label), acceptable=map(to_class, self.acceptable))
        getattr(case, "class").CopyFrom(answer)
        for name, tag in self.tags.items():
            case.tags[name].CopyFrom(types_pb2.Tag(text=tag) if isinstance(tag, str) else types_pb2.Tag(number=tag))
        return case


def read_folder(folder: Path) -> list[Picture]:
    """Pictures of a folder with a `labels.csv`, or with one subfolder for each class in name order."""
    labels = folder / "labels.csv"
    pictures = _listed(folder, labels) if labels.is_file() else _by_class(folder)
    for picture in pictures:
        # A list that came with the pictures must not reach for other files of this machine.
        parts = PurePath(picture.relative)
        if parts.is_absolute() or ".." in parts.parts:
            raise refuse(parts, "leads out of the folder")
    return pictures


def _listed(folder: Path, labels: Path) -> list[Picture]:
    columns, rows = _table(labels)
    for name in ("file", "label"):
        if name not in columns:
            raise refuse(labels, f"has no column `{name}`; it has {', '.join(columns)}")
    # Indices if all labels are whole numbers, names otherwise.
    named = not all(_INDEX.fullmatch(row["label"]) for row in rows)
    pictures = []
    for row in rows:
        file, label = row.pop("file"), row.pop("label")
        further = row.pop("acceptable", "").split()
        if wrong := [word for word in further if not named and not _INDEX.fullmatch(word)]:
            raise refuse(labels, f"acceptable class `{wrong[0]}` was found, an index was expected")
        right, *others = [word if named else int(word) for word in (label, *further)]
        tags = {name: _tag(text) for name, text in row.items()}
        pictures.append(Picture(folder, file, right, [other for other in others if other != right], tags))
    return pictures


def _by_class(folder: Path) -> list[Picture]:
    classes = [name for name in _names(folder) if (folder / name).is_dir()]
    if not classes:
        raise refuse(folder, "neither labels.csv nor a subfolder for each class was found")
    return [
        Picture(folder, f"{name}/{file}", index)
        for index, name in enumerate(classes)
        for file in _names(folder / name)
        if Path(file).suffix.lower() in _PICTURES
    ]


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise refuse(path, error) from error
    columns = rows[0] if rows else []
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(columns):
            raise refuse(path, f"row {number} has {len(row)} cells, the header has {len(columns)}")
    return columns, [dict(zip(columns, row, strict=True)) for row in rows[1:]]


def _names(folder: Path) -> list[str]:
    """What a folder holds, in the order of the names' bytes."""
    try:
        return sorted(os.listdir(folder), key=os.fsencode)
    except OSError as error:
        raise refuse(folder, error) from error


def _tag(text: str) -> float | str:
    """A number where it reads as one."""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def to_class(label: int | str) -> types_pb2.Class:
    """A class by index or by name."""
    return types_pb2.Class(name=label) if isinstance(label, str) else types_pb2.Class(index=label)


def refuse(path: PurePath, what: object) -> InvalidRequest:
    """The error of a file."""
    return InvalidRequest.of("cases", f"{path}: {what}")

"""Small conversions from protobuf to Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Union

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from assay.errors import InvalidRequest
from assay.v1 import types_pb2

CheckLike = Union[str, tuple[str, Mapping[str, Any]]]
"""A check: a SPEC such as `gaussian_noise:severity=3`, or a probe's name with its parameters."""


def to_dict(struct: Struct) -> dict[str, Any]:
    """A struct as a dictionary in the order of its names, as messages keep none; whole numbers become ints."""
    return {name: _plain(value) for name, value in sorted(MessageToDict(struct).items())}


def to_datetime(stamp: Timestamp) -> datetime | None:
    """A time in UTC; None if it was not set."""
    return stamp.ToDatetime(tzinfo=timezone.utc) if stamp.ByteSize() else None


def word(name: str, prefix: str) -> str:
    """The word for an enum's value: `OUTCOME_HELD` with the prefix `OUTCOME_` is `held`."""
    return name.removeprefix(prefix).lower()


def to_accesses(accesses: Iterable[types_pb2.Access]) -> tuple[str, ...]:
    """The words for accesses, such as `score`."""
    return tuple(word(types_pb2.Access.Name(access), "ACCESS_") for access in accesses)


def to_checks(checks: Iterable[CheckLike]) -> list[types_pb2.Check]:
    """Checks as they travel."""
    if isinstance(checks, str):
        raise InvalidRequest.of("checks", f"the text {checks!r} was found, a list of checks was expected")
    return [_check(check) for check in checks]


def to_gates(gates: Iterable[str]) -> list[str]:
    """Gates as they travel."""
    if isinstance(gates, str):
        raise InvalidRequest.of("gates", f"the text {gates!r} was found, a list of gates was expected")
    return list(gates)


def _check(check: CheckLike) -> types_pb2.Check:
    if isinstance(check, str):
        return types_pb2.Check(spec=check)
    name, params = check
    struct = Struct()
    struct.update(params)
    return types_pb2.Check(name=name, params=struct)


def _plain(value: Any) -> Any:
    """A struct has no ints; those that were sent as such come back as floats."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

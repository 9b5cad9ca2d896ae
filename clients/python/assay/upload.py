"""Messages of the two uploads. They are made while they are sent, and anew for every try."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, Union

from google.protobuf.message import Message

from assay.cases import Cases
from assay.convert import CheckLike, to_checks, to_gates
from assay.errors import InvalidRequest
from assay.v1 import models_pb2, suites_pb2, types_pb2

CHUNK_MAX = 1 << 20
"""Longest chunk, and longest message of cases unless a single case is longer, in bytes."""

_ENVELOPE = 16
"""Bytes that a message of cases has beside its cases, at most."""

ModelSource = Union[bytes, str, "os.PathLike[str]"]
"""An ONNX file: its bytes or its path."""
SignatureLike = Union[str, Mapping[str, Any], "os.PathLike[str]"]
"""A signature: YAML, a dictionary of the same form, or the path of a YAML file."""

M = TypeVar("M", bound=Message)


class Source(Generic[M]):
    """An iterator of messages that keeps the error that ended it; gRPC itself would only say that there was one."""

    def __init__(self, messages: Iterable[M]) -> None:
        self._messages = iter(messages)
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[M]:
        return self

    def __next__(self) -> M:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


@dataclass(frozen=True)
class ModelUpload:
    """An ONNX file on its way."""

    source: bytes | Path
    header: models_pb2.UploadModelHeader

    @classmethod
    def of(cls, model: ModelSource, signature: SignatureLike, name: str) -> ModelUpload:
        """Reads the file once, for its digest. The display name is the file's name unless given."""
        source = model if isinstance(model, bytes) else Path(model)
        with _open(source) as file:
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(CHUNK_MAX):
                digest.update(chunk)
                size += len(chunk)
        header = models_pb2.UploadModelHeader(
            size_bytes=size,
            sha256=digest.hexdigest(),
            display_name=name or (source.name if isinstance(source, Path) else ""),
            signature=read_signature(signature),
        )
        return cls(source, header)

    def messages(self) -> Iterator[models_pb2.UploadModelRequest]:
        """The header, then the file in chunks."""
        yield models_pb2.UploadModelRequest(header=self.header)
        offset = 0
        with _open(self.source) as file:
            while data := file.read(CHUNK_MAX):
                yield models_pb2.UploadModelRequest(chunk=models_pb2.Chunk(offset=offset, data=data))
                offset += len(data)


@dataclass(frozen=True)
class SuiteUpload:
    """Cases on their way."""

    cases: Cases
    header: suites_pb2.UploadSuiteHeader

    @classmethod
    def of(cls, cases: Cases, name: str, checks: Iterable[CheckLike], gates: Iterable[str]) -> SuiteUpload:
        """With the checks and gates of jobs that name none of their own."""
        header = suites_pb2.UploadSuiteHeader(
            display_name=name, checks=to_checks(checks), gates=to_gates(gates), case_count=cases.count
        )
        return cls(cases, header)

    def messages(self) -> Iterator[suites_pb2.UploadSuiteRequest]:
        """The header, then as many cases a message as fit into a chunk, at least one."""
        yield suites_pb2.UploadSuiteRequest(header=self.header)
        batch: list[types_pb2.Case] = []
        size = _ENVELOPE
        for case in self.cases.messages():
            # A case within a batch costs its tag and its length besides.
            length = case.ByteSize() + 6
            if batch and size + length > CHUNK_MAX:
                yield _batch(batch)
                batch, size = [], _ENVELOPE
            batch.append(case)
            size += length
        if batch:
            yield _batch(batch)


def _batch(cases: list[types_pb2.Case]) -> suites_pb2.UploadSuiteRequest:
    return suites_pb2.UploadSuiteRequest(cases=suites_pb2.CaseBatch(cases=cases))


def _open(source: bytes | Path) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise InvalidRequest.of("model", f"{source}: {error.strerror}") from error


def read_signature(signature: SignatureLike) -> str:
    """The YAML of a signature in any of its forms."""
    if isinstance(signature, str):
        return signature
    if isinstance(signature, Mapping):
        return json.dumps(signature)  # JSON is YAML.
    try:
        return Path(signature).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidRequest.of("signature", f"{signature}: {error}") from error

"""What the server keeps: models, suites, jobs, artifacts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeGuard, Union, cast

from assay.convert import to_accesses, to_datetime, word
from assay.v1 import jobs_pb2, models_pb2, suites_pb2, types_pb2

JobState = Literal["running", "succeeded", "cancelled", "failed"]


@dataclass(frozen=True)
class Model:
    """An uploaded ONNX file, or a model elsewhere, with the signature under which it is judged."""

    name: str
    """`tenants/{tenant}/models/{id}`; the same file with the same signature has the same name."""
    display_name: str
    sha256: str
    """Of the file, or of what its endpoint says of a model elsewhere, in hexadecimal."""
    size_bytes: int
    signature: str
    """The effective signature as YAML."""
    create_time: datetime | None
    remote: str = ""
    """Where a model elsewhere is: `grpc://HOST:PORT/NAME[@VERSION]`."""

    @classmethod
    def from_pb(cls, pb: models_pb2.Model) -> Model:
        """The model in a message."""
        created = to_datetime(pb.create_time)
        version = f"@{pb.remote.version}" if pb.remote.version else ""
        remote = f"{pb.remote.endpoint}/{pb.remote.model}{version}" if pb.HasField("remote") else ""
        return cls(pb.name, pb.display_name, pb.sha256, pb.size_bytes, pb.signature, created, remote)


@dataclass(frozen=True)
class TensorFact:
    """An input or output of a graph as the file declares it."""

    name: str
    data_type: str
    """Such as `float32`."""
    shape: tuple[str, ...]
    """Lengths or names of the axes."""

    @classmethod
    def from_pb(cls, pb: models_pb2.TensorFact) -> TensorFact:
        """The input or output in a message."""
        return cls(pb.name, word(types_pb2.DataType.Name(pb.data_type), "DATA_TYPE_"), tuple(pb.shape))


@dataclass(frozen=True)
class Inspection:
    """What a model's graph holds."""

    model: Model
    inputs: tuple[TensorFact, ...]
    outputs: tuple[TensorFact, ...]
    operators: dict[str, int]
    """Number of nodes by operator."""
    parameter_count: int
    opsets: dict[str, int]
    accesses: tuple[str, ...]
    """What probes can have of it: `label`, `score`, `gradient`, `internals`, `weights`."""
    compute_batch: int
    """Rows that go through the model at once."""

    @classmethod
    def from_pb(cls, pb: models_pb2.InspectModelResponse) -> Inspection:
        """The inspection in a message."""
        return cls(
            model=Model.from_pb(pb.model),
            inputs=tuple(map(TensorFact.from_pb, pb.inputs)),
            outputs=tuple(map(TensorFact.from_pb, pb.outputs)),
            operators=dict(pb.operators),
            parameter_count=pb.parameter_count,
            opsets=dict(pb.opsets),
            accesses=to_accesses(pb.accesses),
            compute_batch=pb.compute_batch,
        )


@dataclass(frozen=True)
class Suite:
    """An uploaded set of cases with its default checks and gates."""

    name: str
    """`tenants/{tenant}/suites/{id}`; the same cases with the same checks and gates have the same name."""
    display_name: str
    case_count: int
    sha256: str
    """Over all cases, in hexadecimal."""
    gates: tuple[str, ...]
    create_time: datetime | None

    @classmethod
    def from_pb(cls, pb: suites_pb2.Suite) -> Suite:
        """The suite in a message."""
        created = to_datetime(pb.create_time)
        return cls(pb.name, pb.display_name, pb.case_count, pb.sha256, tuple(pb.gates), created)


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    shards_total: int
    shards_done: int
    verdicts_total: int
    verdicts_done: int
    queries_total: int
    """Forward passes, rows counted."""
    seconds_left: float | None
    """Estimated from the pace so far; None before there is one."""

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Progress) -> Progress:
        """The progress in a message."""
        left = pb.seconds_left if pb.HasField("seconds_left") else None
        return cls(pb.shards_total, pb.shards_done, pb.verdicts_total, pb.verdicts_done, pb.queries_total, left)


@dataclass(frozen=True)
class Job:
    """A job as it was when it was asked for."""

    name: str
    """`tenants/{tenant}/jobs/{id}`; empty if the request was only validated."""
    model: str
    suite: str
    state: JobState
    progress: Progress
    create_time: datetime | None
    end_time: datetime | None

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Job) -> Job:
        """The job in a message."""
        return cls(
            name=pb.name,
            model=pb.spec.subject.model,
            suite=pb.spec.suite,
            state=job_state(pb.state),
            progress=Progress.from_pb(pb.progress),
            create_time=to_datetime(pb.create_time),
            end_time=to_datetime(pb.end_time),
        )


@dataclass(frozen=True)
class Artifact:
    """An array that a job kept: rows of some cases under one check."""

    name: str
    check_index: int
    array: str
    """Such as `x` or `x_corrupted`."""
    first_case: int
    """Position in the suite of the first case in it."""
    data_type: str
    shape: tuple[int, ...]
    """Cases first."""
    size_bytes: int
    sha256: str
    rows_per_case: int
    """One, or one for each point of the check."""

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Artifact) -> Artifact:
        """The artifact in a message."""
        kind = word(types_pb2.DataType.Name(pb.data_type), "DATA_TYPE_")
        place = (pb.check_index, pb.array, pb.first_case)
        return cls(pb.name, *place, kind, tuple(pb.shape), pb.size_bytes, pb.sha256, pb.rows_per_case)


_MODEL = re.compile(r"tenants/[^/]+/models/[^/]+")
_SUITE = re.compile(r"tenants/[^/]+/suites/[^/]+")

ModelLike = Union[Model, str]
SuiteLike = Union[Suite, str]
JobLike = Union[Job, str]


def name_of(resource: Model | Suite | Job | str) -> str:
    """The name of a resource that is given itself or by name."""
    return resource if isinstance(resource, str) else resource.name


def is_model(model: object) -> TypeGuard[ModelLike]:
    """Whether this is a model on the server, itself or by name, and not a path or the like."""
    return isinstance(model, Model) or (isinstance(model, str) and _MODEL.fullmatch(model) is not None)


def is_suite(suite: object) -> TypeGuard[SuiteLike]:
    """Whether this is a suite on the server, itself or by name, and not a path or the like."""
    return isinstance(suite, Suite) or (isinstance(suite, str) and _SUITE.fullmatch(suite) is not None)


def job_state(state: jobs_pb2.JobState) -> JobState:
    """The word for a job's state."""
    return cast(JobState, word(jobs_pb2.JobState.Name(state), "JOB_STATE_"))

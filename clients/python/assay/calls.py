"""Every single call as a value: which method, with which request, and what its answer becomes. No I/O.

Both clients carry these out, the one by blocking, the other by awaiting.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

from google.protobuf.message import Message

from assay.catalog import Probe, ServerInfo
from assay.convert import CheckLike, to_checks, to_gates
from assay.errors import AssayError, NotFound
from assay.resources import (
    Artifact,
    Inspection,
    Job,
    JobLike,
    Model,
    ModelLike,
    Suite,
    SuiteLike,
    name_of,
)
from assay.services import Services
from assay.v1 import catalog_pb2, jobs_pb2, models_pb2, suites_pb2
from assay.verdict import Report

T = TypeVar("T")
Page = tuple[list[T], str]
"""Resources, and the token of the next page; empty at the end."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A call that may be tried again: every one leaves the server the same however often it arrives."""

    method: Callable[[Services], Any]
    request: Message
    convert: Callable[[Any], T]
    deletes: bool = False

    def is_done(self, error: AssayError, failures: int) -> bool:
        """Whether an error means success: a retried deletion that finds nothing, since only its answer was lost."""
        return self.deletes and failures > 0 and isinstance(error, NotFound)


class JobOptions(TypedDict, total=False):
    """What a job may be told beside model, suite, checks and gates."""

    seed: int
    """Of all randomness; 0 by default. The same seed gives the same verdicts."""
    limit: int
    """Only so many cases, from the first; 0, the default, means all."""
    artifacts: bool
    """Whether probed inputs are kept, for `Run.arrays`."""
    references: Mapping[str, SuiteLike]
    """Other suites by role, such as `background`."""
    baseline: JobLike
    """A finished job that gates compare with."""
    pool: str
    """Whose workers do it, on a service that has several kinds: those that were started with this `--pool`."""
    request_id: str
    """Key of this request: the same key gives the same job. Fresh by default, so that a retry makes no second job."""


def _nothing(_: Any) -> None:
    return None


def register_model(url: str, signature: str, name: str) -> Call[Model]:
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    model, _, version = path.rpartition("@") if "@" in path else (path, "", "")
    remote = models_pb2.RemoteModel(endpoint=f"{scheme}://{authority}", model=model, version=version)
    request = models_pb2.RegisterModelRequest(display_name=name or model, remote=remote, signature=signature)
    return Call(lambda s: s.models.RegisterModel, request, Model.from_pb)


def get_model(model: ModelLike) -> Call[Model]:
    request = models_pb2.GetModelRequest(name=name_of(model))
    return Call(lambda s: s.models.GetModel, request, Model.from_pb)


def list_models(token: str) -> Call[Page[Model]]:
    request = models_pb2.ListModelsRequest(page_token=token)
    return Call(lambda s: s.models.ListModels, request, lambda r: ([*map(Model.from_pb, r.models)], r.next_page_token))


def delete_model(model: ModelLike) -> Call[None]:
    request = models_pb2.DeleteModelRequest(name=name_of(model))
    return Call(lambda s: s.models.DeleteModel, request, _nothing, deletes=True)


def inspect_model(model: ModelLike) -> Call[Inspection]:
    request = models_pb2.InspectModelRequest(name=name_of(model))
    return Call(lambda s: s.models.InspectModel, request, Inspection.from_pb)


def get_suite(suite: SuiteLike) -> Call[Suite]:
    request = suites_pb2.GetSuiteRequest(name=name_of(suite))
    return Call(lambda s: s.suites.GetSuite, request, Suite.from_pb)


def list_suites(token: str) -> Call[Page[Suite]]:
    request = suites_pb2.ListSuitesRequest(page_token=token)
    return Call(lambda s: s.suites.ListSuites, request, lambda r: ([*map(Suite.from_pb, r.suites)], r.next_page_token))


def delete_suite(suite: SuiteLike) -> Call[None]:
    request = suites_pb2.DeleteSuiteRequest(name=name_of(suite))
    return Call(lambda s: s.suites.DeleteSuite, request, _nothing, deletes=True)


def create_job(
    model: ModelLike,
    suite: SuiteLike,
    checks: Iterable[CheckLike],
    gates: Iterable[str],
    options: JobOptions,
    validate_only: bool = False,
) -> Call[Job]:
    references = {role: name_of(other) for role, other in options.get("references", {}).items()}
    spec = jobs_pb2.JobSpec(
        subject=jobs_pb2.Subject(model=name_of(model)),
        suite=name_of(suite),
        checks=to_checks(checks),
        gates=to_gates(gates),
        seed=options.get("seed", 0),
        limit=options.get("limit", 0),
        references=references,
        baseline=name_of(options.get("baseline", "")),
        artifacts=options.get("artifacts", False),
        pool=options.get("pool", ""),
    )
    key = options.get("request_id") or str(uuid.uuid4())
    request = jobs_pb2.CreateJobRequest(spec=spec, request_id=key, validate_only=validate_only)
    return Call(lambda s: s.jobs.CreateJob, request, Job.from_pb)


def get_job(job: JobLike) -> Call[Job]:
    return Call(lambda s: s.jobs.GetJob, jobs_pb2.GetJobRequest(name=name_of(job)), Job.from_pb)


def list_jobs(token: str) -> Call[Page[Job]]:
    request = jobs_pb2.ListJobsRequest(page_token=token)
    return Call(lambda s: s.jobs.ListJobs, request, lambda r: ([*map(Job.from_pb, r.jobs)], r.next_page_token))


def cancel_job(job: JobLike) -> Call[Job]:
    return Call(lambda s: s.jobs.CancelJob, jobs_pb2.CancelJobRequest(name=name_of(job)), Job.from_pb)


def delete_job(job: JobLike) -> Call[None]:
    request = jobs_pb2.DeleteJobRequest(name=name_of(job))
    return Call(lambda s: s.jobs.DeleteJob, request, _nothing, deletes=True)


def get_report(job: JobLike) -> Call[Report]:
    return Call(lambda s: s.jobs.GetReport, jobs_pb2.GetReportRequest(name=name_of(job)), Report.from_pb)


def list_artifacts(job: JobLike) -> Call[list[Artifact]]:
    request = jobs_pb2.ListArtifactsRequest(name=name_of(job))
    return Call(lambda s: s.jobs.ListArtifacts, request, lambda r: [*map(Artifact.from_pb, r.artifacts)])


def list_probes(family: str) -> Call[list[Probe]]:
    request = catalog_pb2.ListProbesRequest(family=family)
    return Call(lambda s: s.catalog.ListProbes, request, lambda r: [*map(Probe.from_pb, r.probes)])


def get_probe(name: str) -> Call[Probe]:
    return Call(lambda s: s.catalog.GetProbe, catalog_pb2.GetProbeRequest(name=name), Probe.from_pb)


def server_info() -> Call[ServerInfo]:
    return Call(lambda s: s.catalog.GetServerInfo, catalog_pb2.GetServerInfoRequest(), ServerInfo.from_pb)

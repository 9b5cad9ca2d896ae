"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import grpc

from assay import calls, upload
from assay.calls import JobOptions
from assay.cases import Answers, CasesLike, Tags, read_cases
from assay.catalog import Probe, ServerInfo
from assay.connection import DEFAULT_TARGET, Connection
from assay.convert import CheckLike
from assay.resources import (
    Inspection,
    Job,
    JobLike,
    Model,
    ModelLike,
    Suite,
    SuiteLike,
    is_model,
    is_suite,
)
from assay.retry import Retry
from assay.run import Run
from assay.transport import Transport
from assay.upload import ModelSource, SignatureLike
from assay.verdict import Report

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Client(Transport):
    """A connection to a server, which lasts until `close` or the end of a `with`.

    It may be used by several threads at once. Every call that fails raises an `AssayError`.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Iterable[tuple[str, str]] = (),
        timeout: float = 60.0,
        retry: Retry = Retry(),
        options: Iterable[tuple[str, Any]] = (),
    ) -> None:
        """See `Connection` for the arguments. Nothing is sent yet."""
        super().__init__(Connection(target, credentials, tuple(metadata), timeout, retry, tuple(options)))

    # Models.

    def upload_model(self, model: ModelSource, signature: SignatureLike = "", *, name: str = "") -> Model:
        """Uploads an ONNX file, given by path or as bytes, with a signature that completes what the file says.

        The same file with the same signature is the same model, however often it is uploaded. `name` is for display,
        the file's own name if empty.
        """
        uploading = upload.ModelUpload.of(model, signature, name)
        return Model.from_pb(self.send(self.services.models.UploadModel, uploading.messages))

    def register_model(self, url: str, signature: SignatureLike = "", *, name: str = "") -> Model:
        """Registers a model that a server of the Open Inference Protocol has (KServe, Triton, MLServer, another assay).

        `url` is `grpc://HOST:PORT/NAME[@VERSION]`, or `grpcs://` with TLS. The server's configuration says which
        endpoints it may ask. `signature` completes what the endpoint says; `name` is for display.
        """
        return self.perform(calls.register_model(url, upload.read_signature(signature), name))

    def get_model(self, model: ModelLike) -> Model:
        """A model by name."""
        return self.perform(calls.get_model(model))

    def list_models(self) -> Iterator[Model]:
        """All models, asked for page by page."""
        return self.pages(calls.list_models)

    def inspect_model(self, model: ModelLike) -> Inspection:
        """What a model's graph holds, and the signature under which it is judged."""
        return self.perform(calls.inspect_model(model))

    def delete_model(self, model: ModelLike) -> None:
        """Deletes a model that no running job uses."""
        self.perform(calls.delete_model(model))

    # Suites.

    def upload_suite(
        self,
        cases: CasesLike,
        answers: Answers = None,
        *,
        label: str = "",
        ids: Sequence[str] | None = None,
        tags: Tags = (),
        name: str = "",
        checks: Iterable[CheckLike] = (),
        gates: Iterable[str] = (),
    ) -> Suite:
        """Uploads cases: arrays, a DataFrame, or the path of a folder of pictures or of an `.npz` (see `CasesLike`).

        `answers` has one a row: whole numbers are classes, texts class names, fractions values. `ids` are row numbers
        unless given; `tags` are columns by which results are sliced. For a DataFrame `label` and `tags` name columns.
        `checks` and `gates` are those of jobs that name none of their own.
        """
        uploading = upload.SuiteUpload.of(read_cases(cases, answers, label, ids, tags), name, checks, gates)
        return Suite.from_pb(self.send(self.services.suites.UploadSuite, uploading.messages))

    def get_suite(self, suite: SuiteLike) -> Suite:
        """A suite by name."""
        return self.perform(calls.get_suite(suite))

    def list_suites(self) -> Iterator[Suite]:
        """All suites, asked for page by page."""
        return self.pages(calls.list_suites)

    def delete_suite(self, suite: SuiteLike) -> None:
        """Deletes a suite that no running job uses."""
        self.perform(calls.delete_suite(suite))

    # Jobs.

    def run(
        self,
        model: ModelLike | ModelSource,
        suite: SuiteLike | CasesLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        signature: SignatureLike = "",
        **options: Unpack[JobOptions],
    ) -> Run:
        """Starts a job and gives its verdicts as they come.

        A model that is a path or bytes is uploaded first, with `signature`; so are cases that are no suite yet.
        Checks such as `"gaussian_noise:severity=3"` and gates such as `"clean.accuracy >= 0.7"` may be left out if the
        suite has its own. Further options: see `JobOptions`.
        """
        subject = model if is_model(model) else self.upload_model(cast(ModelSource, model), signature)
        cases = suite if is_suite(suite) else self.upload_suite(cast(CasesLike, suite))
        return Run(self, self.create_job(subject, cases, checks, gates=gates, **options))

    def create_job(
        self,
        model: ModelLike,
        suite: SuiteLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        **options: Unpack[JobOptions],
    ) -> Job:
        """Starts a job on a model and a suite that are on the server. Further options: see `JobOptions`."""
        return self.perform(calls.create_job(model, suite, checks, gates, options))

    def validate_job(
        self,
        model: ModelLike,
        suite: SuiteLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        **options: Unpack[JobOptions],
    ) -> Job:
        """Says whether `create_job` would take this, and in `Job.progress` how much work it is. Starts nothing."""
        return self.perform(calls.create_job(model, suite, checks, gates, options, validate_only=True))

    def watch(self, job: JobLike, resume_token: str = "") -> Run:
        """The verdicts of a job, from its beginning or from a `Run.resume_token`."""
        return Run(self, self.get_job(job), resume_token)

    def get_job(self, job: JobLike) -> Job:
        """A job with its state and progress."""
        return self.perform(calls.get_job(job))

    def list_jobs(self) -> Iterator[Job]:
        """All jobs, asked for page by page."""
        return self.pages(calls.list_jobs)

    def get_report(self, job: JobLike) -> Report:
        """Metrics and gates over the verdicts that are there now."""
        return self.perform(calls.get_report(job))

    def cancel_job(self, job: JobLike) -> Job:
        """Ends a job early; what is judged stays. An ended job is left as it is."""
        return self.perform(calls.cancel_job(job))

    def delete_job(self, job: JobLike) -> None:
        """Forgets a job, its verdicts and its artifacts."""
        self.perform(calls.delete_job(job))

    # The server.

    def catalog(self, family: str = "") -> list[Probe]:
        """Every probe with its manual and parameters; only those of a family if one is named."""
        return self.perform(calls.list_probes(family))

    def probe(self, name: str) -> Probe:
        """A probe by name."""
        return self.perform(calls.get_probe(name))

    def server_info(self) -> ServerInfo:
        """Version, engine, slots and limits of the server."""
        return self.perform(calls.server_info())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

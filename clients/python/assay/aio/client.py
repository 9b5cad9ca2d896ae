"""The asyncio client: the methods of `assay.Client`, to be awaited; lists are iterated with `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import grpc

from assay import calls, upload
from assay.aio.run import Run
from assay.aio.transport import Transport
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
from assay.upload import ModelSource, SignatureLike
from assay.verdict import Report

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Client(Transport):
    """A connection to a server, which lasts until `close` or the end of an `async with`.

    It belongs to the event loop in which it was made. Every call that fails raises an `AssayError`.
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

    async def upload_model(self, model: ModelSource, signature: SignatureLike = "", *, name: str = "") -> Model:
        """Uploads an ONNX file, given by path or as bytes, with a signature that completes what the file says."""
        uploading = await asyncio.to_thread(upload.ModelUpload.of, model, signature, name)
        return Model.from_pb(await self.send(self.services.models.UploadModel, uploading.messages))

    async def register_model(self, url: str, signature: SignatureLike = "", *, name: str = "") -> Model:
        """Registers a model that a server of the Open Inference Protocol has (KServe, Triton, MLServer, another assay).

        `url` is `grpc://HOST:PORT/NAME[@VERSION]`, or `grpcs://` with TLS. The server's configuration says which
        endpoints it may ask. `signature` completes what the endpoint says; `name` is for display.
        """
        yaml = await asyncio.to_thread(upload.read_signature, signature)
        return await self.perform(calls.register_model(url, yaml, name))

    async def get_model(self, model: ModelLike) -> Model:
        """A model by name."""
        return await self.perform(calls.get_model(model))

    def list_models(self) -> AsyncIterator[Model]:
        """All models, asked for page by page."""
        return self.pages(calls.list_models)

    async def inspect_model(self, model: ModelLike) -> Inspection:
        """What a model's graph holds, and the signature under which it is judged."""
        return await self.perform(calls.inspect_model(model))

    async def delete_model(self, model: ModelLike) -> None:
        """Deletes a model that no running job uses."""
        await self.perform(calls.delete_model(model))

    # Suites.

    async def upload_suite(
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
        """Uploads cases: arrays, a DataFrame, or the path of a folder of pictures or of an `.npz` (see `CasesLike`)."""
        sound = await asyncio.to_thread(read_cases, cases, answers, label, ids, tags)
        uploading = upload.SuiteUpload.of(sound, name, checks, gates)
        return Suite.from_pb(await self.send(self.services.suites.UploadSuite, uploading.messages))

    async def get_suite(self, suite: SuiteLike) -> Suite:
        """A suite by name."""
        return await self.perform(calls.get_suite(suite))

    def list_suites(self) -> AsyncIterator[Suite]:
        """All suites, asked for page by page."""
        return self.pages(calls.list_suites)

    async def delete_suite(self, suite: SuiteLike) -> None:
        """Deletes a suite that no running job uses."""
        await self.perform(calls.delete_suite(suite))

    # Jobs.

    async def run(
        self,
        model: ModelLike | ModelSource,
        suite: SuiteLike | CasesLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        signature: SignatureLike = "",
        **options: Unpack[JobOptions],
    ) -> Run:
        """Starts a job, after uploading what is not on the server yet, and gives its verdicts as they come."""
        subject = model if is_model(model) else await self.upload_model(cast(ModelSource, model), signature)
        cases = suite if is_suite(suite) else await self.upload_suite(cast(CasesLike, suite))
        return Run(self, await self.create_job(subject, cases, checks, gates=gates, **options))

    async def create_job(
        self,
        model: ModelLike,
        suite: SuiteLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        **options: Unpack[JobOptions],
    ) -> Job:
        """Starts a job on a model and a suite that are on the server. Further options: see `JobOptions`."""
        return await self.perform(calls.create_job(model, suite, checks, gates, options))

    async def validate_job(
        self,
        model: ModelLike,
        suite: SuiteLike,
        checks: Iterable[CheckLike] = (),
        *,
        gates: Iterable[str] = (),
        **options: Unpack[JobOptions],
    ) -> Job:
        """Says whether `create_job` would take this, and in `Job.progress` how much work it is. Starts nothing."""
        return await self.perform(calls.create_job(model, suite, checks, gates, options, validate_only=True))

    async def watch(self, job: JobLike, resume_token: str = "") -> Run:
        """The verdicts of a job, from its beginning or from a `Run.resume_token`."""
        return Run(self, await self.get_job(job), resume_token)

    async def get_job(self, job: JobLike) -> Job:
        """A job with its state and progress."""
        return await self.perform(calls.get_job(job))

    def list_jobs(self) -> AsyncIterator[Job]:
        """All jobs, asked for page by page."""
        return self.pages(calls.list_jobs)

    async def get_report(self, job: JobLike) -> Report:
        """Metrics and gates over the verdicts that are there now."""
        return await self.perform(calls.get_report(job))

    async def cancel_job(self, job: JobLike) -> Job:
        """Ends a job early; what is judged stays. An ended job is left as it is."""
        return await self.perform(calls.cancel_job(job))

    async def delete_job(self, job: JobLike) -> None:
        """Forgets a job, its verdicts and its artifacts."""
        await self.perform(calls.delete_job(job))

    # The server.

    async def catalog(self, family: str = "") -> list[Probe]:
        """Every probe with its manual and parameters; only those of a family if one is named."""
        return await self.perform(calls.list_probes(family))

    async def probe(self, name: str) -> Probe:
        """A probe by name."""
        return await self.perform(calls.get_probe(name))

    async def server_info(self) -> ServerInfo:
        """Version, engine, slots and limits of the server."""
        return await self.perform(calls.server_info())

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

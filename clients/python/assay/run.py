"""A job under way, seen by a blocking client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from assay import arrays, calls, frames
from assay.cases import Array
from assay.errors import AssayError, from_rpc
from assay.resources import Artifact, Job, JobState
from assay.stream import Following
from assay.verdict import Report, Verdict, in_case_order

if TYPE_CHECKING:
    import pandas

    from assay.client import Client


class Run(Following, Iterator[Verdict]):
    """An iterator of a job's verdicts, as they come, each exactly once.

    A broken connection or a restart of the server goes unnoticed: the stream is opened again where it broke, until it
    has been down for `Retry.patience`. Dropping a run does not end its job; `cancel` does.
    """

    _stream: _Stream | None = None

    def __init__(self, client: Client, job: Job, resume_token: str = "") -> None:
        super().__init__(job, client.connection.retry, resume_token)
        self._client = client

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> Verdict:
        while (verdict := self._fold.pop()) is None:
            if self._fold.ended:
                raise StopIteration
            self._step()
        return verdict

    def wait(self) -> JobState:
        """Waits for the job's end; iteration goes on where it was."""
        if not self._fold.ended:
            with Run(self._client, self.job, self.resume_token) as rest:
                while not rest._fold.ended:
                    rest._step()
                    rest._fold.skip()
            self._learn(rest)
        return self.state

    def verdicts(self) -> list[Verdict]:
        """All verdicts in the order of cases, then checks, then points; waits for the job's end.

        They are read from the beginning, whatever has been iterated.
        """
        with Run(self._client, self.job) as whole:
            verdicts = in_case_order(whole)
        self._learn(whole)
        return verdicts

    def to_pandas(self) -> pandas.DataFrame:
        """All verdicts, a row each; waits for the job's end."""
        return frames.verdicts(self.verdicts())

    def report(self, wait: bool = True) -> Report:
        """Metrics and gates; waits for the job's end unless told not to."""
        if wait:
            self.wait()
        return self._client.get_report(self.job)

    def cancel(self) -> Job:
        """Ends the job early; what is judged stays, and the iterator ends."""
        return self._client.cancel_job(self.job)

    def artifacts(self) -> list[Artifact]:
        """What the job kept so far; nothing unless it runs with `artifacts=True`."""
        return self._client.perform(calls.list_artifacts(self.job))

    def arrays(self, check: int = 0) -> dict[str, Array]:
        """The arrays of the check at that position in the job, by name; waits for the job's end.

        `case` has the ids, `x` the inputs in probe space as (cases, ...), `x_corrupted` and others as
        (cases, points, ...), or (cases, ...) where the check has one point.
        """
        verdicts = [verdict for verdict in self.verdicts() if verdict.check_index == check]
        own = arrays.of_check(self.artifacts(), check)
        return arrays.join({part: self._client.read_artifact(part) for part in own}, verdicts)

    def close(self) -> None:
        """Lets go of the stream; the job runs on."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _step(self) -> None:
        """One message further, or one broken connection."""
        error: AssayError | None = None
        try:
            if self._stream is None:
                self._stream = _Stream(self._client.follow(self._fold.request()), self._client.connection.retry.silence)
            self._fold.take(next(self._stream))
        except StopIteration:
            error = self._fold.cut()
        except grpc.RpcError as rpc:
            silent = self._stream is not None and self._stream.fell_silent
            error = self._fold.silent() if silent else from_rpc(rpc)
        if error or self._fold.ended:
            self.close()
        if error:
            self._client.pause(self._fold.lost(error))


class _Stream:
    """A call's messages; the call is cancelled if nothing comes for `silence` seconds while somebody waits."""

    def __init__(self, call: Any, silence: float) -> None:
        self._call = call
        self._silence = silence
        self._waiting_since: float | None = None
        self._closed = threading.Event()
        self.fell_silent = False
        threading.Thread(target=self._watch, name="assay-stream", daemon=True).start()

    def __next__(self) -> Any:
        self._waiting_since = time.monotonic()
        try:
            return next(self._call)
        finally:
            self._waiting_since = None

    def close(self) -> None:
        self._closed.set()
        self._call.cancel()

    def _watch(self) -> None:
        while not self._closed.wait(self._silence / 10):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._silence:
                self.fell_silent = True
                self._call.cancel()
                return

"""A job under way, seen by an asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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

    from assay.aio.client import Client


class Run(Following, AsyncIterator[Verdict]):
    """An asynchronous iterator of a job's verdicts, as they come, each exactly once; otherwise as `assay.Run`."""

    _stream: Any = None

    def __init__(self, client: Client, job: Job, resume_token: str = "") -> None:
        super().__init__(job, client.connection.retry, resume_token)
        self._client = client

    def __aiter__(self) -> Run:
        return self

    async def __anext__(self) -> Verdict:
        while (verdict := self._fold.pop()) is None:
            if self._fold.ended:
                raise StopAsyncIteration
            await self._step()
        return verdict

    async def wait(self) -> JobState:
        """Waits for the job's end; iteration goes on where it was."""
        if not self._fold.ended:
            async with Run(self._client, self.job, self.resume_token) as rest:
                while not rest._fold.ended:
                    await rest._step()
                    rest._fold.skip()
            self._learn(rest)
        return self.state

    async def verdicts(self) -> list[Verdict]:
        """All verdicts in the order of cases, then checks, then points; waits for the job's end."""
        async with Run(self._client, self.job) as whole:
            verdicts = in_case_order([verdict async for verdict in whole])
        self._learn(whole)
        return verdicts

    async def to_pandas(self) -> pandas.DataFrame:
        """All verdicts, a row each; waits for the job's end."""
        return frames.verdicts(await self.verdicts())

    async def report(self, wait: bool = True) -> Report:
        """Metrics and gates; waits for the job's end unless told not to."""
        if wait:
            await self.wait()
        return await self._client.get_report(self.job)

    async def cancel(self) -> Job:
        """Ends the job early; what is judged stays, and the iterator ends."""
        return await self._client.cancel_job(self.job)

    async def artifacts(self) -> list[Artifact]:
        """What the job kept so far; nothing unless it runs with `artifacts=True`."""
        return await self._client.perform(calls.list_artifacts(self.job))

    async def arrays(self, check: int = 0) -> dict[str, Array]:
        """The arrays of the check at that position in the job, as `assay.Run.arrays`."""
        verdicts = [verdict for verdict in await self.verdicts() if verdict.check_index == check]
        own = arrays.of_check(await self.artifacts(), check)
        return arrays.join({part: await self._client.read_artifact(part) for part in own}, verdicts)

    def close(self) -> None:
        """Lets go of the stream; the job runs on."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _step(self) -> None:
        """One message further, or one broken connection."""
        error: AssayError | None = None
        try:
            if self._stream is None:
                self._stream = self._client.follow(self._fold.request())
            response = await asyncio.wait_for(self._stream.read(), self._client.connection.retry.silence)
            if response is grpc.aio.EOF:
                error = self._fold.cut()
            else:
                self._fold.take(response)
        except asyncio.TimeoutError:
            error = self._fold.silent()
        except grpc.RpcError as rpc:
            error = from_rpc(rpc)
        except asyncio.CancelledError:
            # The call is cancelled with the task that waited for it; another task may go on.
            self.close()
            raise
        if error or self._fold.ended:
            self.close()
        if error:
            await self._client.pause(self._fold.lost(error))

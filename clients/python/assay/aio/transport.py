"""How an asyncio client carries out calls; `assay.transport` blocks where this awaits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar

import grpc

from assay import arrays
from assay.calls import Call, Page
from assay.connection import Connection
from assay.errors import from_rpc
from assay.resources import Artifact
from assay.retry import Tries
from assay.services import Services
from assay.upload import Source
from assay.v1 import jobs_pb2

T = TypeVar("T")


class Transport:
    """A channel with the services behind it. It belongs to the event loop in which it was made."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        arguments = connection.arguments()
        if connection.secrets is None:
            self._channel = grpc.aio.insecure_channel(connection.address, arguments)
        else:
            self._channel = grpc.aio.secure_channel(connection.address, connection.secrets, arguments)
        self.services = Services(self._channel)

    async def close(self) -> None:
        """Closes the connection. Jobs run on."""
        await self._channel.close()

    async def pause(self, seconds: float) -> None:
        """Waits before another try, while the connection is brought up again."""
        self._channel.get_state(try_to_connect=True)
        await asyncio.sleep(seconds)

    async def perform(self, call: Call[T]) -> T:
        """Carries out a call."""
        tries = Tries(self.connection.retry)
        while True:
            try:
                method = call.method(self.services)
                return call.convert(
                    await method(call.request, timeout=self.connection.timeout, metadata=self._metadata)
                )
            except grpc.RpcError as rpc:
                error = from_rpc(rpc)
                if call.is_done(error, tries.failures):
                    return call.convert(None)
                await self.pause(tries.failed(error))

    async def pages(self, call: Callable[[str], Call[Page[T]]]) -> AsyncIterator[T]:
        """Everything that a list holds, asked for as it is needed."""
        token = ""
        while True:
            page, token = await self.perform(call(token))
            for resource in page:
                yield resource
            if not token:
                return

    async def send(self, method: Any, messages: Callable[[], Iterable[Any]]) -> Any:
        """Carries out an upload; a new try sends everything again."""
        tries = Tries(self.connection.retry)
        while True:
            source = Source(messages())
            try:
                return await method(source, metadata=self._metadata)
            except (grpc.RpcError, asyncio.CancelledError) as rpc:
                # An error of the messages themselves cancels the call.
                if source.error is not None:
                    raise source.error from None
                if not isinstance(rpc, grpc.RpcError):
                    raise
                await self.pause(tries.failed(from_rpc(rpc)))

    def follow(self, request: jobs_pb2.StreamResultsRequest) -> Any:
        """Opens a stream of results."""
        return self.services.jobs.StreamResults(request, metadata=self._metadata)

    async def read_artifact(self, artifact: Artifact) -> arrays.Array:
        """One kept array in probe space, rows first; `Run.arrays` puts those of a check together."""
        data, tries = bytearray(), Tries(self.connection.retry)
        while True:
            request = jobs_pb2.ReadArtifactRequest(name=artifact.name, offset=len(data))
            try:
                async for piece in self.services.jobs.ReadArtifact(request, metadata=self._metadata):
                    data += piece.data
                return arrays.to_array(artifact, bytes(data))
            except grpc.RpcError as rpc:
                await self.pause(tries.failed(from_rpc(rpc)))

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return self.connection.metadata

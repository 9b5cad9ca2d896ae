"""How a blocking client carries out calls: once, again after a broken connection, page by page, as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
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
    """A channel with the services behind it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        arguments = connection.arguments()
        if connection.secrets is None:
            self._channel = grpc.insecure_channel(connection.address, arguments)
        else:
            self._channel = grpc.secure_channel(connection.address, connection.secrets, arguments)
        self.services = Services(self._channel)

    def close(self) -> None:
        """Closes the connection. Jobs run on."""
        self._channel.close()

    def pause(self, seconds: float) -> None:
        """Waits before another try, while the connection is brought up again."""
        # gRPC tends a connection only while somebody waits for it; otherwise a try would find it as the last left it.
        self._channel.subscribe(_ignore, try_to_connect=True)
        time.sleep(seconds)
        self._channel.unsubscribe(_ignore)

    def perform(self, call: Call[T]) -> T:
        """Carries out a call."""
        tries = Tries(self.connection.retry)
        while True:
            try:
                method = call.method(self.services)
                return call.convert(method(call.request, timeout=self.connection.timeout, metadata=self._metadata))
            except grpc.RpcError as rpc:
                error = from_rpc(rpc)
                if call.is_done(error, tries.failures):
                    return call.convert(None)
                self.pause(tries.failed(error))

    def pages(self, call: Callable[[str], Call[Page[T]]]) -> Iterator[T]:
        """Everything that a list holds, asked for as it is needed."""
        token = ""
        while True:
            page, token = self.perform(call(token))
            yield from page
            if not token:
                return

    def send(self, method: Any, messages: Callable[[], Iterable[Any]]) -> Any:
        """Carries out an upload; a new try sends everything again."""
        tries = Tries(self.connection.retry)
        while True:
            source = Source(messages())
            try:
                return method(source, metadata=self._metadata)
            except grpc.RpcError as rpc:
                if source.error is not None:
                    raise source.error from None
                self.pause(tries.failed(from_rpc(rpc)))

    def follow(self, request: jobs_pb2.StreamResultsRequest) -> Any:
        """Opens a stream of results."""
        return self.services.jobs.StreamResults(request, metadata=self._metadata)

    def read_artifact(self, artifact: Artifact) -> arrays.Array:
        """One kept array in probe space, rows first; `Run.arrays` puts those of a check together."""
        data, tries = bytearray(), Tries(self.connection.retry)
        while True:
            request = jobs_pb2.ReadArtifactRequest(name=artifact.name, offset=len(data))
            try:
                for piece in self.services.jobs.ReadArtifact(request, metadata=self._metadata):
                    data += piece.data
                return arrays.to_array(artifact, bytes(data))
            except grpc.RpcError as rpc:
                self.pause(tries.failed(from_rpc(rpc)))

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return self.connection.metadata


def _ignore(_: grpc.ChannelConnectivity) -> None:
    pass

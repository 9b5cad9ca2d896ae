"""Calls beyond a tenant's number are refused at once, with the limit's name, and health still answers."""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import assay
from assay.errors import from_rpc
from assay.services import Services
from assay.v1 import jobs_pb2, models_pb2
from tests.server import MODEL, Server

HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""An answer's bytes, since the protocol's stubs are not among what the client needs."""


def test_a_call_too_many_is_refused_and_health_still_answers(tmp_path: Path) -> None:
    server = Server(tmp_path / "engine", config="[quota]\ncalls = 2\n")
    model, go_on = MODEL.read_bytes(), queue.Queue[None]()

    def upload() -> Iterator[models_pb2.UploadModelRequest]:
        digest = hashlib.sha256(model).hexdigest()
        yield models_pb2.UploadModelRequest(header=models_pb2.UploadModelHeader(size_bytes=len(model), sha256=digest))
        go_on.get()

    try:
        with grpc.insecure_channel(server.target) as channel:
            services = Services(channel)
            # Two uploads that bring nothing more keep their places. They are there before anything else is asked, which
            # would take one from them.
            held = [services.models.UploadModel.future(upload()) for _ in range(2)]
            time.sleep(1)
            with pytest.raises(grpc.RpcError) as caught:
                services.jobs.ListJobs(jobs_pb2.ListJobsRequest())
            refused = from_rpc(caught.value)
            assert isinstance(refused, assay.ResourceExhausted) and "tenant_calls = 2" in str(refused)
            health = channel.unary_unary(HEALTH, request_serializer=bytes, response_deserializer=bytes)
            assert health(b"") == SERVING
            # Places that are given up are free again.
            for _ in held:
                go_on.put(None)
            for call in held:
                with pytest.raises(grpc.RpcError):
                    call.result()
            services.jobs.ListJobs(jobs_pb2.ListJobsRequest())
    finally:
        # However it ended, nobody waits for ever.
        for _ in range(2):
            go_on.put(None)
        server.stop()

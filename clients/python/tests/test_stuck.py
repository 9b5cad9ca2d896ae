"""Streams that go wrong in ways that the real server does not show: they hang, or end without `done`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

import assay
from assay import aio
from assay.v1 import jobs_pb2, jobs_pb2_grpc

JOB = "tenants/local/jobs/1"


class Stuck(jobs_pb2_grpc.JobServiceServicer):
    """Gives case 0, then hangs or ends; asked again with the token, gives case 1 and is done."""

    def __init__(self, hangs: bool) -> None:
        self.hangs = hangs
        self.asked: list[str] = []
        self.over = threading.Event()

    def GetJob(self, request: jobs_pb2.GetJobRequest, context: Any) -> jobs_pb2.Job:
        return jobs_pb2.Job(name=request.name, state=jobs_pb2.JOB_STATE_RUNNING)

    def StreamResults(
        self, request: jobs_pb2.StreamResultsRequest, context: Any
    ) -> Iterator[jobs_pb2.StreamResultsResponse]:
        self.asked.append(request.resume_token)
        case = len(self.asked) - 1
        verdict = jobs_pb2.Verdict(case_id=str(case), case_index=case, outcome=jobs_pb2.OUTCOME_HELD)
        batch = jobs_pb2.VerdictBatch(verdicts=[verdict])
        yield jobs_pb2.StreamResultsResponse(resume_token=f"token {case}", verdicts=batch)
        if case == 1:
            done = jobs_pb2.Done(state=jobs_pb2.JOB_STATE_SUCCEEDED)
            yield jobs_pb2.StreamResultsResponse(resume_token="end", done=done)
        elif self.hangs:
            self.over.wait(30)


@pytest.fixture(params=[True, False], ids=["hangs", "ends"])
def stuck(request: pytest.FixtureRequest) -> Iterator[tuple[Stuck, str]]:
    servicer = Stuck(request.param)
    server = grpc.server(ThreadPoolExecutor(4))
    jobs_pb2_grpc.add_JobServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    servicer.over.set()
    server.stop(None)


RETRY = assay.Retry(silence=0.5)


def test_a_stuck_stream_is_opened_again(stuck: tuple[Stuck, str]) -> None:
    begin = time.monotonic()
    with assay.Client(stuck[1], retry=RETRY) as client:
        run = client.watch(JOB)
        first = next(run)
        # Only waiting for the server counts as its silence, not a consumer that takes its time.
        time.sleep(0.7 if stuck[0].hangs else 0)
        assert stuck[0].asked == [""]
        assert [first.case_id, *(v.case_id for v in run)] == ["0", "1"]
    assert stuck[0].asked == ["", "token 0"] and run.state == "succeeded"
    assert time.monotonic() - begin < 10


def test_a_stuck_stream_is_opened_again_by_asyncio_too(stuck: tuple[Stuck, str]) -> None:
    async def follow() -> list[str]:
        async with aio.Client(stuck[1], retry=RETRY) as client:
            run = await client.watch(JOB)
            return [verdict.case_id async for verdict in run]

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == ["0", "1"]
    assert stuck[0].asked == ["", "token 0"]

"""Broken connections: every verdict comes, and comes once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import pytest

import assay
from assay.cases import Array
from tests.server import MODEL, Proxy, Server

CHECKS = ["clean", "gaussian_noise", "motion_blur:severity=1"]
CASES = 300
POINTS = [(0, 0), *((1, severity) for severity in range(1, 6)), (2, 1)]

# A reset that gRPC has missed is noticed at its next ping; the default of 30 seconds is long for a test.
PINGS = [("grpc.keepalive_time_ms", 1_000)]


def exactly_once(verdicts: Iterable[assay.Verdict], cases: int = CASES) -> bool:
    """Whether every case came once under every point of every check."""
    found = [(v.case_index, v.check_index, v.params.get("severity", 0)) for v in verdicts]
    every = {(case, *point) for case in range(cases) for point in POINTS}
    return len(found) == len(every) and set(found) == every


@pytest.fixture
def job(client: assay.Client, model: assay.Model, suite: assay.Suite) -> assay.Job:
    return client.create_job(model, suite, CHECKS, limit=CASES)


def test_a_cut_connection_repeats_and_loses_nothing(job: assay.Job, proxy: Callable[[list[int]], Proxy]) -> None:
    # Uneven places: within a message, within the answer's header, while the job runs and after it.
    way = proxy([3_000, 40_000, 700, 9_999, 65_537, 123, 20_000, 30_001])
    with assay.Client(way.target, options=PINGS) as client:
        verdicts = list(client.watch(job.name))
    assert way.cuts == 8
    assert exactly_once(verdicts)


def test_without_resuming_a_cut_ends_the_run(
    job: assay.Job, client: assay.Client, proxy: Callable[[list[int]], Proxy]
) -> None:
    client.watch(job).wait()
    way = proxy([100_000])
    with assay.Client(way.target, retry=assay.Retry(patience=-1.0)) as impatient:
        run = impatient.watch(job)
        seen = []
        with pytest.raises(assay.Unavailable):
            for verdict in run:
                seen.append(verdict)
        assert way.cuts == 1 and len(seen) < CASES * len(POINTS)
        # The run itself can be taken up again.
        assert exactly_once([*seen, *run])


def test_a_killed_server_goes_on_and_so_does_the_client(own_server: Server, digits: tuple[Array, Array]) -> None:
    x, y = digits
    with assay.Client(own_server.target) as client:
        suite = client.upload_suite(x, y)
        run = client.run(MODEL, suite, CHECKS)
        verdicts = []
        for position, verdict in enumerate(run):
            verdicts.append(verdict)
            if position in (0, 2000):
                assert client.get_job(run.job).state == "running"
                own_server.kill()
                restart = threading.Timer(0.5, own_server.start)
                restart.start()
        restart.join()
        assert exactly_once(verdicts, len(y)) and run.state == "succeeded"
        assert run.report().verdict == "pass"


def test_an_unfinished_run_lets_go(client: assay.Client, job: assay.Job) -> None:
    before = threading.active_count()
    run = client.watch(job)
    next(run)
    del run
    with client.watch(job) as other:
        next(other)
    deadline = time.monotonic() + 10
    while any(t.name == "assay-stream" for t in threading.enumerate()):
        assert time.monotonic() < deadline, f"{before} threads became {threading.active_count()}"
        time.sleep(0.02)


def test_a_lost_answer_makes_no_second_job(
    client: assay.Client, model: assay.Model, suite: assay.Suite, proxy: Callable[[list[int]], Proxy]
) -> None:
    before = sum(1 for _ in client.list_jobs())
    # The request reaches the server and the answer is cut: in its settings, in its headers, in its message.
    for bytes_of_answer in (30, 100, 160, 220):
        way = proxy([bytes_of_answer])
        with assay.Client(way.target, options=PINGS) as cut:
            job = cut.create_job(model, suite, ["clean"], limit=3)
        assert way.cuts == 1 and client.watch(job).wait() == "succeeded"
    assert sum(1 for _ in client.list_jobs()) == before + 4
    # A deletion whose answer was lost has succeeded all the same.
    for bytes_of_answer in (30, 80, 110):
        way = proxy([bytes_of_answer])
        with assay.Client(way.target, options=PINGS) as cut:
            cut.delete_job(client.create_job(model, suite, ["clean"], limit=3))
        assert way.cuts == 1
    assert sum(1 for _ in client.list_jobs()) == before + 4

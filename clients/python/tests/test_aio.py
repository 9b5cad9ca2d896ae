"""The asyncio client does what the blocking one does."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import assay
from assay import aio
from assay.cases import Array
from tests.server import MODEL, Proxy, Server
from tests.test_resume import CASES, CHECKS, PINGS, exactly_once

Digits = tuple[Array, Array]


def methods(kind: type) -> dict[str, list[str]]:
    """Public methods with the names of their parameters."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: [*inspect.signature(method).parameters] for name, method in found if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert methods(aio.Client) == methods(assay.Client)
    assert methods(aio.Run) == methods(assay.Run)


def test_the_whole_way(server: Server, client: assay.Client, digits: Digits) -> None:
    x, y = digits
    checks = ["clean", "gaussian_noise:severity=[1,3]"]

    async def work() -> None:
        async with aio.Client(server.target) as own:
            run = await own.run(
                MODEL, (x[:40], y[:40]), checks, seed=5, artifacts=True, gates=["clean.accuracy >= 0.5"]
            )
            came = [verdict async for verdict in run]
            assert len(came) == 120 and run.state == "succeeded"
            verdicts, report, arrays = await run.verdicts(), await run.report(), await run.arrays(1)
            # The blocking client reads the same from the same job.
            blocking = client.watch(run.name)
            assert (blocking.verdicts(), blocking.report()) == (verdicts, report) and report.verdict == "pass"
            assert arrays["x_corrupted"].shape == (40, 2, 1, 28, 28)
            assert all(np.array_equal(arrays[name], array) for name, array in blocking.arrays(1).items())
            assert len(await run.to_pandas()) == 120
            assert run.name in {job.name async for job in own.list_jobs()}
            assert (await own.get_model(run.job.model)).name in {model.name async for model in own.list_models()}
            assert (await own.get_suite(run.job.suite)).case_count == 40
            assert (await own.inspect_model(run.job.model)).parameter_count > 0
            assert await own.catalog() == client.catalog() and await own.server_info() == client.server_info()
            await own.delete_job(run.job)
            with pytest.raises(assay.NotFound):
                await own.get_job(run.job)

    asyncio.run(work())


def test_errors_and_cancelling(server: Server, model: assay.Model, suite: assay.Suite, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\ngone.png,1\n")

    async def work() -> None:
        async with aio.Client(server.target) as client:
            with pytest.raises(assay.InvalidRequest, match="gaussian_noise") as caught:
                await client.run(model, suite, ["gausian_noise"])
            assert [v.field for v in caught.value.violations] == ["checks[0].name"]
            # An error of the caller's own files is itself, and not a cancelled call.
            with pytest.raises(assay.InvalidRequest, match="gone.png"):
                await client.upload_suite(tmp_path)
            run = await client.run(model, suite, ["clean", "gaussian_noise", "motion_blur", "jpeg_compression"])
            # A task that is cancelled while it waits takes the stream with it, and the next goes on.
            first = [await anext(run)]
            impatient = asyncio.create_task(run.wait())
            await asyncio.sleep(0)
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            assert (await run.cancel()).state == "cancelled"
            rest = [verdict async for verdict in run]
            assert run.state == "cancelled" and first[0] not in rest
        async with aio.Client("127.0.0.1:1") as nobody:
            with pytest.raises(assay.Unavailable, match="127.0.0.1:1"):
                await nobody.server_info()

    asyncio.run(work())


def test_a_cut_connection_repeats_and_loses_nothing(
    client: assay.Client, model: assay.Model, suite: assay.Suite, proxy: Callable[[list[int]], Proxy]
) -> None:
    job = client.create_job(model, suite, CHECKS, limit=CASES)
    way = proxy([3_000, 40_000, 700, 9_999, 65_537, 123, 20_000, 30_001])

    async def follow() -> list[assay.Verdict]:
        async with aio.Client(way.target, options=PINGS) as cut:
            return [verdict async for verdict in await cut.watch(job.name)]

    verdicts = asyncio.run(follow())
    assert way.cuts == 8 and exactly_once(verdicts)


def test_a_killed_server_goes_on(own_server: Server, digits: Digits) -> None:
    async def follow() -> list[assay.Verdict]:
        verdicts: list[assay.Verdict] = []
        async with aio.Client(own_server.target) as client:
            run = await client.run(MODEL, digits, CHECKS)
            async for verdict in run:
                if not verdicts:
                    assert (await client.get_job(run.job)).state == "running"
                    own_server.kill()
                    threading.Timer(0.5, own_server.start).start()
                verdicts.append(verdict)
            assert run.state == "succeeded"
        return verdicts

    assert exactly_once(asyncio.run(follow()), len(digits[1]))

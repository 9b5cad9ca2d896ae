from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import assay
from assay.cases import Array
from tests.server import DIGITS, MODEL, Proxy, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that leave it alone."""
    server = Server(tmp_path_factory.mktemp("engine"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[assay.Client]:
    with assay.Client(server.target) as client:
        yield client


@pytest.fixture(scope="session")
def digits() -> tuple[Array, Array]:
    """1500 handwritten digits, uint8 (1500, 1, 28, 28), and their classes."""
    with np.load(DIGITS) as arrays:
        return arrays["x"], arrays["y"]


@pytest.fixture(scope="session")
def model(client: assay.Client) -> assay.Model:
    return client.upload_model(MODEL)


@pytest.fixture(scope="session")
def suite(client: assay.Client, digits: tuple[Array, Array]) -> assay.Suite:
    return client.upload_suite(digits, name="digits")


@pytest.fixture
def proxy(server: Server) -> Iterator[Callable[[list[int]], Proxy]]:
    """Makes proxies before the server."""
    made: list[Proxy] = []

    def make(budgets: list[int]) -> Proxy:
        made.append(Proxy(server.port, budgets))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may kill."""
    server = Server(tmp_path / "engine")
    yield server
    server.stop()

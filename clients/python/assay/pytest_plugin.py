"""The pytest plugin: the fixture `assay_client`, on a server of its own or on the one that `--assay-server` names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.client import Client
from assay.local import LocalServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--assay-server`."""
    parser.getgroup("assay").addoption(
        "--assay-server",
        metavar="ADDRESS",
        help="server for the fixture assay_client; one is started if it is not given",
    )


@pytest.fixture(scope="session")
def assay_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of one server for the whole session."""
    address: str | None = request.config.getoption("--assay-server")
    if address is not None:
        with Client(address) as client:
            yield client
    else:
        with LocalServer() as server, Client(server.target) as client:
            yield client

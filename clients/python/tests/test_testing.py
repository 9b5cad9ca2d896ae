"""The helper for test suites, and the pytest plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import assay
from assay.cases import Array
from assay.local import LocalServer, find_binary
from assay.testing import assert_robust
from tests.server import BINARY, DIGITS, MODEL, Server

Digits = tuple[Array, Array]


def test_a_robust_model_passes(client: assay.Client, digits: Digits) -> None:
    x, y = digits
    report = assert_robust(MODEL, (x[:200], y[:200]), ["clean"], ["clean.accuracy >= 0.9"], server=client)
    assert report.verdict == "pass" and report.check("clean").metric("accuracy").n == 200


def test_a_failure_has_figures_and_cases(server: Server, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(AssertionError) as caught:
        assert_robust(
            MODEL,
            (x[:200], y[:200]),
            ["clean", "motion_blur:severity=[4,5]", "gaussian_noise:severity=1"],
            ["clean.accuracy >= 0.9", "motion_blur:severity=5.accuracy >= 0.999 "],
            server=server.target,
        )
    first, failed, passed, broken, *cases = str(caught.value).splitlines()
    assert re.fullmatch(r"1 of 2 gates failed \(tenants/local/jobs/\w+\)", first)
    assert re.match(r"  FAIL +motion_blur:severity=5\.accuracy >= 0\.999 ?: 0\.\d+ \[", failed), failed
    assert re.match(r"  PASS +clean\.accuracy", passed)
    count = int(broken.split()[0])
    assert broken == f"{count} broken, the first 10:" if count > 10 else f"{count} broken:"
    assert len(cases) == min(count, 10) > 0
    for case in cases:
        assert re.fullmatch(
            r"  case \d+ under motion_blur \(severity=5, variant=\w+\): expected \d, got \d( \(clean \d\))?", case
        ), case


def test_what_asserts_nothing_or_is_wrong_is_an_error(client: assay.Client, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(assay.InvalidRequest, match="clean.accuracy >= 0.9"):
        assert_robust(MODEL, (x[:2], y[:2]), ["clean"], server=client)
    with pytest.raises(assay.InvalidRequest, match="accuracy"):
        assert_robust(MODEL, (x[:2], y[:2]), ["clean"], ["clean.acuracy >= 0.5"], server=client)


def test_without_a_server_one_is_started(monkeypatch: pytest.MonkeyPatch, digits: Digits) -> None:
    x, y = digits
    monkeypatch.setenv("ASSAY_BIN", str(BINARY))
    assert assert_robust(MODEL, (x[:50], y[:50]), ["clean"], ["clean.accuracy >= 0.5"], slots=1).verdict == "pass"


def test_the_program_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_BIN", str(tmp_path / "missing"))
    with pytest.raises(assay.Unavailable, match="missing cannot be started: No such file"):
        LocalServer()
    monkeypatch.delenv("ASSAY_BIN")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(assay.Unavailable, match="ASSAY_BIN"):
        find_binary()
    (tmp_path / "assay").symlink_to(BINARY)
    assert find_binary() == tmp_path / "assay"
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/assay").symlink_to(BINARY)
    assert find_binary() == tmp_path / "scripts/assay"
    with pytest.raises(assay.Unavailable, match="ended with 2: .*engine"):
        LocalServer(engine="nonsense")


PLUGGED = f"""
from assay.testing import assert_robust

GIVEN = ({str(MODEL)!r}, {str(DIGITS)!r}, ["clean"])

def test_soft(assay_client):
    assert_robust(*GIVEN, ["clean.accuracy >= 0.5"], server=assay_client, limit=50)

def test_hard(assay_client):
    assert_robust(*GIVEN, ["clean.accuracy >= 0.9999"], server=assay_client, limit=50)
"""


@pytest.mark.parametrize("named", [True, False], ids=["named", "own"])
def test_the_plugin_offers_a_client(server: Server, tmp_path: Path, named: bool) -> None:
    (tmp_path / "test_plugged.py").write_text(PLUGGED)
    environment = {**os.environ, "ASSAY_BIN": str(BINARY), "PYTHONPATH": str(Path(assay.__file__).parents[1])}
    arguments = [
        "-p",
        "assay.pytest_plugin",
        "-p",
        "no:cacheprovider",
        *(["--assay-server", server.target] if named else []),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert re.search(r"E +AssertionError: 1 of 1 gates failed", ran.stdout) and "clean.accuracy >= 0.9999" in ran.stdout
    # The failure is shown where the test called the helper, not inside it.
    assert "assay/testing.py" not in ran.stdout

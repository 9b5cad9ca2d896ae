"""The README's examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import REPOSITORY, Server

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
SAID = [
    r"\d\.\d{3} in \[0\.\d+, \d\.\d+\] of 500\npass \[\('clean.accuracy >= 0.95', 'pass'\)\]\n$",
    r"succeeded \(20, 1, 28, 28\) \(20, 1, 28, 28\)\n$",
    r"^50 pass\n$",
    r"motion_blur  1\.0 +50\n(.|\n)*\[1, 2, 3, 4, 5\] +mean_accuracy",
    r"1 passed",
    r"checks\[0\]\.name - .*gaussian_noise",
]


@pytest.mark.parametrize("number", range(len(SAID)))
def test_an_example_runs(server: Server, tmp_path: Path, number: int) -> None:
    # The examples name the default address; the test's server has another.
    code = EXAMPLES[number].replace("127.0.0.1:50051", server.target).replace("Client()", f'Client("{server.target}")')
    path = tmp_path / "test_example.py"
    path.write_text(code)
    command = [sys.executable, str(path)]
    if "def test_" in code:
        plugin = ["-p", "assay.pytest_plugin", "--assay-server", server.target]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            f"--rootdir={tmp_path}",
            *plugin,
            str(path),
        ]
    environment = {**os.environ, "PYTHONPATH": str(README.parent)}
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(SAID[number], ran.stdout), ran.stdout


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == len(SAID)

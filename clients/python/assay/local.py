"""A server of one's own: the `assay` program, started and ended with a `with`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import threading
from collections import deque
from pathlib import Path
from types import TracebackType

from assay.errors import Unavailable


def find_binary() -> Path:
    """The program: `ASSAY_BIN` if that is set, else the one that came with this package, else the first on PATH."""
    if named := os.environ.get("ASSAY_BIN"):
        return Path(named)
    installed = Path(sysconfig.get_path("scripts")) / "assay"
    if installed.is_file():
        return installed
    if found := shutil.which("assay"):
        return Path(found)
    raise Unavailable("the program assay was not found: put it on PATH, name it in ASSAY_BIN, or install its wheel")


class LocalServer:
    """A server on a free port of this machine, with state in memory unless an engine is named."""

    def __init__(
        self, binary: str | os.PathLike[str] | None = None, engine: str = "memory", slots: int | None = None
    ) -> None:
        """Starts it; `slots` is one for each processor unless given."""
        program = Path(binary) if binary is not None else find_binary()
        arguments = ["serve", "--listen", "127.0.0.1:0", "--engine", engine]
        if slots is not None:
            arguments += ["--slots", str(slots)]
        try:
            self._process = subprocess.Popen([program, *arguments], stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise Unavailable(f"{program} cannot be started: {error.strerror}") from error
        self._said: deque[str] = deque(maxlen=50)
        self.target = self._listening(program)
        """`HOST:PORT`."""
        # Kept empty, so that the server never waits to say something.
        threading.Thread(target=self._drain, name="assay-server", daemon=True).start()

    def close(self) -> None:
        """Ends the server and what it keeps in memory."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listening(self, program: Path) -> str:
        assert self._process.stderr is not None  # It was asked for.
        for line in self._process.stderr:
            self._said.append(line)
            if found := re.fullmatch(r"listening on (\S+)\n", line):
                return found[1]
        raise Unavailable(f"{program} ended with {self._process.wait()}: {''.join(self._said).strip()}")

    def _drain(self) -> None:
        assert self._process.stderr is not None
        self._said.extend(self._process.stderr)

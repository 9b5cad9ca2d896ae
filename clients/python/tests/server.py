"""The real server as a process, and a proxy that cuts its connections."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("ASSAY_BIN") or REPOSITORY / "target/debug/assay")
MODEL = REPOSITORY / "tests/models/mnist_cnn.onnx"
DIGITS = REPOSITORY / "tests/data/mnist_test.npz"


class Server:
    """`assay serve` on a folder; the same port after a restart."""

    def __init__(self, folder: Path, slots: int = 2, config: str = "") -> None:
        self._folder = folder
        self._slots = slots
        self._config = folder / "assay.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(config)
        self._port = 0
        self._lock = threading.Lock()
        self._stopped = False
        self.start()

    def start(self) -> None:
        # A restart that a failed test has left behind comes too late.
        with self._lock:
            if not self._stopped:
                self._start()

    def _start(self) -> None:
        arguments = ["serve", "--listen", f"127.0.0.1:{self._port}", "--engine", f"sqlite:{self._folder}"]
        arguments += ["--config", str(self._config)]
        self._process = subprocess.Popen(
            [BINARY, *arguments, "--slots", str(self._slots)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if found := re.search(r"listening on \S+:(\d+)", line):
                self._port = int(found[1])
                # Kept empty, so that the server never waits to say something.
                threading.Thread(target=self._process.stderr.read, daemon=True).start()
                return
        raise RuntimeError(f"{BINARY} did not start: {''.join(said)}")

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def kill(self) -> None:
        """As a power cut does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class Proxy:
    """Passes TCP connections on to a server, and cuts each one after so many bytes of answers.

    `budgets` has the number of bytes for each connection in turn; connections after the last are not cut. Cuts are
    orderly ends (FIN) and resets (RST) in turn.
    """

    def __init__(self, port: int, budgets: list[int]) -> None:
        self._to = port
        self._budgets = list(budgets)
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            budget = self._budgets.pop(0) if self._budgets else None
            threading.Thread(target=self._pass, args=(client, budget), daemon=True).start()

    def _pass(self, client: socket.socket, budget: int | None) -> None:
        # One thread for both ways: a socket that another thread waits for is not closed by `close`.
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            sinks = {client: server, server: client}
            while True:
                for source in select.select([client, server], [], [])[0]:
                    try:
                        data = source.recv(4096)
                        sinks[source].sendall(data if source is client else data[:budget])
                    except OSError:
                        return
                    if not data:
                        return
                    if source is server and budget is not None:
                        budget -= len(data)
                        if budget <= 0:
                            self._cut(client)
                            return

    def _cut(self, client: socket.socket) -> None:
        self.cuts += 1
        if self.cuts % 2 == 0:
            # Lingering for no time makes the close a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

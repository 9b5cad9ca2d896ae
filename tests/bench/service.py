"""What the service costs: beside the same work without it, of an upload, of a stream, of a large suite.

usage: service.py CORPUS WITHIN [ASSAY]
WITHIN is the built benchmark `within` (cargo bench --no-run --bench within), ASSAY the program (target/release/assay).
Needs numpy. All of it takes some minutes; rounds alternate, so that what else the machine does meets both sides."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

corpus, within = pathlib.Path(sys.argv[1]), sys.argv[2]
root = pathlib.Path(__file__).resolve().parent.parent.parent
assay = sys.argv[3] if len(sys.argv) > 3 else str(root / "target/release/assay")
SIGNATURE = """input:
  range: [0, 1]
  geometry: [{resize: {shorter: 256, filter: bicubic}}, {crop: {center: 224}}]
  preprocess: [{normalize: {mean: 0.4980392156862745, std: 0.5019607843137255}}]
"""


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def overhead(folder, rounds=5):
    """Wall time of `assay run`, which serves within its process and starts slots, over that of the plain work."""
    model, cases = corpus / "models/efficientnet_lite0.onnx", corpus / "data/photos"
    signature = folder / "photos.yaml"
    signature.write_text(SIGNATURE)
    checks = ["clean", "gaussian_noise", "motion_blur"]
    plain = [within, str(model), str(signature), str(cases), "2", *checks]
    served = [assay, "run", "--model", model, "--signature", signature, "--cases", cases, "--slots", "2"]
    served += [part for check in checks for part in ("--check", check)] + ["--output", "jsonl"]
    ratios = []
    for _ in range(rounds):
        ratios.append(seconds(served) / seconds(plain))
    print(f"service: wall time over the same work without it {statistics.median(ratios):.3f} "
          f"({', '.join(f'{r:.3f}' for r in ratios)})")


class Server:
    """A server of its own, on a folder of its own."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [assay, "serve", "--listen", "127.0.0.1:0", "--engine", f"sqlite:{folder}", "--slots", "2"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                self.address = found[1]
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.peak = 0
        self.idle = self.resident()
        threading.Thread(target=self.watch, daemon=True).start()

    def resident(self):
        """Resident memory in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000

    def watch(self):
        while self.process.poll() is None:
            try:
                self.peak = max(self.peak, self.resident())
            except (OSError, TypeError):
                return
            time.sleep(0.05)

    def call(self, *args, check=True):
        start = time.perf_counter()
        done = subprocess.run([assay, *map(str, args), "--server", self.address], capture_output=True, text=True)
        if check and done.returncode != 0:
            sys.exit(f"assay {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout, time.perf_counter() - start

    def stop(self):
        self.process.terminate()
        self.process.wait()


def upload(server, folder, rounds=5):
    """A file of 512 MiB that is no model: received, hashed, written, synced, then refused by a slot. The client's reading
    and hashing before and the slot's reading behind are in the command's time, not in the upload's."""
    file, data = folder / "large.onnx", folder / "data"
    uploads, commands = [], []

    def watch():
        begun = None
        while True:
            if begun is None and any((data / "partial").iterdir()):
                begun = time.perf_counter()
            if begun is not None and any(data.glob("blobs/*/*")):
                uploads.append(512 / (time.perf_counter() - begun))
                return
            time.sleep(0.001)

    for i in range(rounds):
        file.write_bytes(np.random.default_rng(i).bytes(512 << 20))
        # What this writes must not wait for the disk together with what the server syncs.
        os.sync()
        watcher = threading.Thread(target=watch)
        watcher.start()
        commands.append(512 / server.call("model", "push", file, check=False)[1])
        watcher.join()
    print(f"upload: {statistics.median(uploads):.0f} MiB/s ({', '.join(f'{u:.0f}' for u in uploads)}), "
          f"the whole command {statistics.median(commands):.0f} MiB/s")


def stream(server, folder):
    """A million small cases: uploaded, run, streamed to one client."""
    cases = folder / "million.npz"
    rng = np.random.default_rng(0)
    np.savez(cases, x=rng.random((1_000_000, 30), dtype=np.float32), y=rng.integers(0, 2, 1_000_000))
    server.peak = 0
    model = server.call("model", "push", corpus / "models/bc_logreg.onnx")[0].split()[0]
    suite, pushed = server.call("suite", "push", cases)
    job, _ = server.call("job", "submit", "--model", model, "--suite", suite.split()[0], "--check", "clean")
    _, ran = server.call("job", "watch", job.split()[0], "--output", "jsonl")
    _, streamed = server.call("job", "watch", job.split()[0], "--output", "jsonl")
    print(f"million cases: uploaded in {pushed:.1f} s, run in {ran:.1f} s, "
          f"streamed in {streamed:.1f} s ({1_000_000 / streamed:.0f} verdicts/s); "
          f"server idle {server.idle:.0f} MB, peak {server.peak:.0f} MB resident")


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    server = Server(folder / "data")
    try:
        upload(server, folder)
        stream(server, folder)
    finally:
        server.stop()
    overhead(folder)

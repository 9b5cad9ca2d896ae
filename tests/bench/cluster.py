"""What the engine on NATS costs, and what more workers bring: one job of pgd on digits.

usage: cluster.py [ASSAY] [NATS_SERVER]
ASSAY is the program (target/release/assay), NATS_SERVER the server (target/tools/bin/nats-server). Rounds alternate, so that what
else the machine does meets all sides. Prints wall times over those of the embedded engine, the efficiency of more workers for
each processor that they can use, and what goes over NATS for a shard."""
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

root = pathlib.Path(__file__).resolve().parent.parent.parent
assay = sys.argv[1] if len(sys.argv) > 1 else str(root / "target/release/assay")
nats_server = sys.argv[2] if len(sys.argv) > 2 else str(root / "target/tools/bin/nats-server")
MODEL, CASES = root / "tests/models/mnist_cnn.onnx", root / "tests/data/mnist_test.npz"
# Attacks of this length make shards of about a second.
CHECK = os.environ.get("CHECK", "pgd:steps=40,restarts=2")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CORES = len(os.sched_getaffinity(0))


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(process, pattern):
    for line in process.stderr:
        if found := re.search(pattern, line):
            # What it says later would fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found
    raise SystemExit(f"{process.args[0]} ended before it said {pattern}")


class Service:
    """A server on an engine, with its workers."""

    def __init__(self, engine, slots, workers):
        serve = [assay, "serve", "--listen", "127.0.0.1:0", "--engine", engine, "--slots", str(slots)]
        self.processes = [subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)]
        self.address = until(self.processes[0], r"listening on (\S+)")[1]
        for _ in range(workers):
            worker = subprocess.Popen([assay, "worker", "--engine", engine, "--slots", "1"], stderr=subprocess.PIPE, text=True)
            until(worker, "working for")
            self.processes.append(worker)

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait()


def timed(service, seed):
    begin = time.perf_counter()
    command = [assay, "run", "--server", f"http://{service.address}", "--model", MODEL, "--cases", CASES]
    command += ["--check", CHECK, "--seed", str(seed), "--output", "jsonl"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


class Nats:
    """One server that acknowledges what is on disk."""

    def __init__(self, folder):
        self.port, self.monitor = port(), port()
        conf = pathlib.Path(folder) / "nats.conf"
        conf.write_text(f'listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.monitor}\n'
                        f'jetstream {{ store_dir: "{folder}/store", sync_interval: always }}\n')
        self.process = subprocess.Popen([nats_server, "-c", conf], stderr=subprocess.DEVNULL)
        self.url = f"nats://127.0.0.1:{self.port}"

    def counts(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/varz") as answer:
            found = json.load(answer)
        return {key: found[key] for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes")}


def shards():
    """Shards of the job, as a dry run tells."""
    command = [assay, "run", "--model", MODEL, "--cases", CASES, "--check", CHECK, "--dry-run"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) shards", text.replace(",", ""))[1])


def memory(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def main():
    with tempfile.TemporaryDirectory() as folder:
        nats = Nats(folder)
        embedded = Service(f"sqlite:{folder}/data", 1, 0)
        count = shards()
        times = {"embedded": [], 1: [], 2: [], 4: []}
        messages = None
        for round_ in range(ROUNDS):
            times["embedded"].append(timed(embedded, round_ + 1))
            for workers in (1, 2, 4):
                service = Service(nats.url, 0, workers)
                before = nats.counts()
                # Another seed for each, or verdicts would be taken from the job before.
                times[workers].append(timed(service, 1000 * workers + round_))
                if workers == 1:
                    after = nats.counts()
                    messages = {key: (after[key] - before[key]) / count for key in after}
                    rss = memory(service.processes[0])
                service.stop()
        embedded.stop()
        nats.process.kill()
    one = times[1]
    print(f"{CHECK}: {count} shards of {statistics.median(times['embedded']) / count:.2f} s, {CORES} processors")
    ratios = [n / e for n, e in zip(one, times["embedded"])]
    print(f"NATS over embedded, one slot: {statistics.median(ratios):.3f} ({', '.join(f'{r:.3f}' for r in ratios)})")
    for workers in (2, 4):
        efficiency = [a / (b * min(workers, CORES)) for a, b in zip(one, times[workers])]
        print(f"{workers} workers: efficiency {statistics.median(efficiency):.3f} "
              f"({', '.join(f'{e:.3f}' for e in efficiency)}) for each of {min(workers, CORES)} processors")
    print("for a shard over NATS: " + ", ".join(f"{key} {value:.1f}" for key, value in messages.items()))
    print(f"the API server's memory: {rss:.0f} MiB")


main()

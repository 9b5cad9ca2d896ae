"""Runs what compose.yaml says without Docker: its commands, with the names of its network and of its files made loopback's.

    python3 compose.py ASSAY NATS-SERVER FOLDER

Needs PyYAML. Ends with a job that the three workers do. FOLDER is made anew.
"""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent


def main(assay: str, server: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = dict(zip(["4222", "8222", "50051", "9464"], (str(s.getsockname()[1]) for s in sockets)))
    for s in sockets:
        s.close()

    def here(text: str, cache: str = "cache") -> str:
        """The text with addresses and paths of this machine in place of the containers'."""
        text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
        text = re.sub(r"\b(nats|0\.0\.0\.0|127\.0\.0\.1):(\d+)", lambda m: f"127.0.0.1:{ports[m[2]]}", text)
        text = text.replace("/etc/assay/assay.toml", str(folder / f"{cache}.toml")).replace('"/data"', f'"{folder / "data"}"')
        return text.replace("/var/lib/assay", str(folder / cache))

    (folder / "single.conf").write_text(here((DEPLOY / "nats/single.conf").read_text()))
    commands = {"nats": [server, "-c", str(folder / "single.conf")], "api": [assay, *services["api"]["command"]]}
    for i in range(services["worker"]["deploy"]["replicas"]):
        commands[f"worker-{i + 1}"] = [assay, *services["worker"]["command"]]
    running = []
    try:
        for name, command in commands.items():
            (folder / name).mkdir()
            (folder / f"{name}.toml").write_text(here((DEPLOY / "compose.toml").read_text(), name))
            command = [here(word, name) for word in command]
            print("  " + " ".join([Path(command[0]).name, *command[1:]]))
            log = (folder / f"{name}.log").open("w")
            running.append(subprocess.Popen(command, stdout=log, stderr=log, env={"TMPDIR": str(folder / name)}))
            if name == "nats":
                healthy(f"http://127.0.0.1:{ports['8222']}/healthz")
            if name == "api":
                healthy(f"http://127.0.0.1:{ports['9464']}/readyz")
        _, program, *words = services["api"]["healthcheck"]["test"]
        assert program == "/usr/local/bin/assay", program
        subprocess.run([assay, *map(here, words)], check=True, stdout=subprocess.DEVNULL)
        print("  the API's health check passes")
        model, cases = (ROOT / "tests" / name for name in ["models/mnist_cnn.onnx", "data/mnist_test.npz"])
        job = [assay, "run", f"--model={model}", f"--cases={cases}", "--check=clean", "--check=gaussian_noise:severity=[1,3]"]
        subprocess.run([*job, f"--server=http://127.0.0.1:{ports['50051']}"], check=True)
        print("  the workers have done a job")
        for process in reversed(running[1:]):
            process.terminate()
            assert process.wait(timeout=45) == 0, process.args
        print("  the API and the workers end when they are told to")
    finally:
        for process in running:
            process.kill()
            process.wait()


def healthy(url: str) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


main(*(str(Path(program).resolve()) for program in sys.argv[1:3]), Path(sys.argv[3]).resolve())

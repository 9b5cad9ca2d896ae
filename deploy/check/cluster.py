"""Starts the cluster of nats.conf on loopback, and tries what deploy/README.md promises of it.

    python3 cluster.py NATS-SERVER FOLDER [ASSAY]

Needs nats-py, and openssl for certificates. FOLDER is made anew. ASSAY is a program that is run with these certificates too.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, KeyValueConfig, ObjectStoreConfig
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

CONFIG = Path(__file__).resolve().parent.parent / "nats"
NODES = ["nats-1", "nats-2", "nats-3"]
# It remarks on how TLS connections end.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(tls: Path) -> None:
    """An authority, and a certificate with one DNS name for each user; the servers' has their own names."""
    tls.mkdir(parents=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt", cwd=tls)
    users = {"tls": ["localhost", *NODES], "assay-api": ["assay-api"], "assay-worker": ["assay-worker"], "stranger": ["stranger"]}
    for user, names in users.items():
        # Routes go to 127.0.0.1 here.
        entries = ",".join([*(f"DNS:{name}" for name in names), *(["IP:127.0.0.1"] if user == "tls" else [])])
        (tls / "names").write_text(f"subjectAltName={entries}")
        run("openssl", "req", *curve, "-subj", f"/CN={user}", "-keyout", f"{user}.key", "-out", "request", cwd=tls)
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        run("openssl", "x509", "-req", "-in", "request", *signed, "-out", f"{user}.crt", cwd=tls)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def cluster(server: str, folder: Path):
    """The three servers, as name to (process, client port, monitoring port). Ports and folders alone differ from nats.conf."""
    ports = free_ports(9)
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports[6:])
    servers = {}
    try:
        for i, node in enumerate(NODES):
            where = ["-a", "127.0.0.1", "-p", str(ports[i]), "-m", str(ports[3 + i])]
            where += ["--cluster", f"nats://127.0.0.1:{ports[6 + i]}", "--routes", routes, "-l", str(folder / f"{node}.log")]
            command = [server, "-c", str(CONFIG / "nats.conf"), *where]
            servers[node] = subprocess.Popen(command, cwd=folder, env={"NODE": node, "DATA": str(folder / node)}), ports[i], ports[3 + i]
        yield servers
    finally:
        for process, *_ in servers.values():
            process.kill()
            process.wait()


def asked(port: int, path: str) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


async def until(what: str, holds, seconds: int = 30) -> None:
    for _ in range(seconds * 5):
        try:
            if holds():
                return
        except OSError:
            pass
        await asyncio.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


async def connect(folder: Path, servers: dict, user: str):
    tls = ssl.create_default_context(cafile=folder / "tls/ca.crt")
    tls.load_cert_chain(folder / f"tls/{user}.crt", folder / f"tls/{user}.key")

    async def quiet(_: Exception) -> None:
        pass

    urls = [f"nats://localhost:{port}" for _, port, _ in servers.values()]
    return await nats.connect(urls, tls=tls, error_cb=quiet, allow_reconnect=user != "stranger", max_reconnect_attempts=30)


async def refused(what: str, call) -> None:
    """NATS answers nothing to a request that is not allowed."""
    try:
        await call
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError, nats.js.errors.NoStreamResponseError):
        print(f"  refused: {what}")
        return
    raise AssertionError(f"{what} was allowed")


async def make(api) -> None:
    """What assay's API makes, with its names and its kinds."""
    once = {"num_replicas": 3, "storage": StorageType.FILE, "max_msgs_per_subject": 1, "discard": DiscardPolicy.NEW, "discard_new_per_subject": True}
    queue = {"retention": RetentionPolicy.WORK_QUEUE, **once}
    await api.add_stream(StreamConfig(name="ASSAY_TASKS", subjects=["assay.*.task.>"], **queue))
    await api.add_stream(StreamConfig(name="ASSAY_RESULTS", subjects=["assay.*.result.>"], allow_direct=True, **once))
    await api.create_key_value(KeyValueConfig(bucket="ASSAY_META", replicas=3, direct=True))
    await api.create_object_store("ASSAY_BLOBS", ObjectStoreConfig(replicas=3))
    for tenant in ["vision", "speech-2"]:
        filter_subject = f"assay.{tenant}.task.default.>"
        named = ConsumerConfig(durable_name=f"ASSAY_default_{tenant}", filter_subject=filter_subject, ack_policy=AckPolicy.EXPLICIT)
        await api.add_consumer("ASSAY_TASKS", named)


async def work(api, worker) -> None:
    """A shard's way, as a worker's certificate allows it."""
    await api.publish("assay.vision.task.default.j1.0", b"shard")
    model = await (await api.object_store("ASSAY_BLOBS")).put("model", b"m" * 300_000)
    assert model.size == 300_000
    await (await api.key_value("ASSAY_META")).put("job.vision.j1", b"queued")

    await worker.account_info()
    tasks = await worker.pull_subscribe_bind("ASSAY_default_vision", "ASSAY_TASKS")
    [task] = await tasks.fetch(1, timeout=5)
    await task.in_progress()
    assert len((await (await worker.object_store("ASSAY_BLOBS")).get("model")).data) == 300_000
    meta = await worker.key_value("ASSAY_META")
    await meta.update("job.vision.j1", b"running", last=(await meta.get("job.vision.j1")).revision)
    assert (await meta.get("job.vision.j1")).value == b"running"
    await worker.publish("assay.vision.result.j1.0", b"verdicts")
    await task.ack_sync()
    await worker.purge_stream("ASSAY_TASKS", subject="assay.*.task.*.j1.*")
    await worker.stream_info("ASSAY_RESULTS", subjects_filter="assay.vision.result.j1.*")
    assert (await worker.consumer_info("ASSAY_TASKS", "ASSAY_default_vision")).num_pending == 0
    try:
        await worker.publish("assay.vision.result.j1.0", b"others")
        raise AssertionError("a second result of a shard was taken")
    except nats.js.errors.APIError as error:
        assert error.err_code == 10077, error


async def overreach(worker) -> None:
    """What a worker that was taken over would like to do."""
    await refused("a worker deletes a stream", worker.delete_stream("ASSAY_RESULTS"))
    await refused("a worker purges verdicts", worker.purge_stream("ASSAY_RESULTS"))
    await refused("a worker purges blobs", worker.purge_stream("OBJ_ASSAY_BLOBS"))
    await refused("a worker makes a stream", worker.add_stream(StreamConfig(name="OTHER", subjects=["other"])))
    await refused("a worker takes a consumer away", worker.delete_consumer("ASSAY_TASKS", "ASSAY_default_vision"))
    records = await worker.key_value("ASSAY_META")
    await refused("a worker writes the record of a model", records.put("model.vision.m1", b"another"))
    await refused("a worker listens to what others are told of the log", worker.subscribe("assay.*.result.>", stream="ASSAY_RESULTS"))
    await refused("a worker deletes a message", worker.delete_msg("ASSAY_RESULTS", 1))


def program(assay: str, folder: Path, servers: dict) -> None:
    """The real API and a real worker, each with its certificate: a job with arrays in whose midst a slot is killed."""
    [port] = free_ports(1)
    engine = "nats://" + ",".join(f"localhost:{port}" for _, port, _ in servers.values())
    running = []

    def start(user: str, *words: str) -> Path:
        tls = {name: str(folder / "tls" / file) for name, file in
               [("ca", "ca.crt"), ("certificate", f"{user}.crt"), ("key", f"{user}.key")]}
        lines = ["[nats]", "replicas = 3", *(f"{name} = {json.dumps(path)}" for name, path in tls.items())]
        (folder / f"{user}.toml").write_text("\n".join(lines))
        log = folder / f"{user}.log"
        command = [assay, *words, f"--engine={engine}", f"--config={folder / user}.toml"]
        running.append(subprocess.Popen(command, stderr=log.open("w")))
        for _ in range(300):
            if log.read_text().strip():
                return log
            time.sleep(0.1)
        raise AssertionError(f"{command} says nothing")

    try:
        start("assay-api", "serve", f"--listen=127.0.0.1:{port}")
        log = start("assay-worker", "worker", "--slots=1")
        model, cases = (CONFIG.parent.parent / "tests" / name for name in ["models/mnist_cnn.onnx", "data/mnist_test.npz"])
        out = [f"--artifacts={folder / 'arrays'}"]
        checks = ["--check=clean", "--check=saliency", "--check=square:query_budget=3000", "--limit=64"]
        job = subprocess.Popen([assay, "run", f"--model={model}", f"--cases={cases}", *checks, *out, f"--server=http://127.0.0.1:{port}"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(job)
        slots = []
        while not slots and job.poll() is None:
            time.sleep(1)
            found = subprocess.run(["pgrep", "-P", str(running[1].pid)], capture_output=True, text=True)
            slots = [int(slot) for slot in found.stdout.split()]
        for slot in slots:
            os.kill(slot, signal.SIGKILL)
        said, _ = job.communicate(timeout=240)
        assert job.returncode == 0, said
        told = log.read_text()
        assert "a slot died" in told, told
        assert "ermission" not in told, told
        for process in reversed(running[:2]):
            process.terminate()
            assert process.wait(timeout=45) == 0, process.args
    finally:
        for process in running:
            process.kill()
            process.wait()


async def main(server: str, folder: Path, assay: str | None = None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    certificates(folder / "tls")
    with cluster(server, folder) as servers:
        healthy = lambda: all(asked(port, "/healthz")["status"] == "ok" for *_, port in servers.values())
        await until("three servers are healthy", healthy)
        print("  three servers with TLS, healthy")
        found = asked(servers["nats-1"][2], "/jsz?config=true")
        assert found["config"]["sync_always"] is True, found["config"]
        print("  sync_interval: always is in force")

        try:
            await connect(folder, servers, "stranger")
            raise AssertionError("a certificate without a user was let in")
        except nats.errors.Error as error:
            assert "Authorization Violation" in str(error), error
            print("  refused: a certificate that is no user's")
        connections = [await connect(folder, servers, user) for user in ["assay-api", "assay-worker"]]
        api, worker = (connection.jetstream(timeout=3) for connection in connections)
        if assay:
            program(assay, folder, servers)
            print("  a job was done by the real program with these certificates, though a slot was killed")
            for name in ["ASSAY_TASKS", "ASSAY_RESULTS", "KV_ASSAY_META", "OBJ_ASSAY_BLOBS"]:
                await api.delete_stream(name)
        await make(api)
        for name in ["ASSAY_TASKS", "ASSAY_RESULTS", "KV_ASSAY_META", "OBJ_ASSAY_BLOBS"]:
            info = await api.stream_info(name)
            assert info.config.num_replicas == 3 and len(info.cluster.replicas) == 2, info
        print("  four streams with three replicas each")
        await work(api, worker)
        print("  a shard went its way with a worker's certificate")
        await overreach(connections[1].jetstream(timeout=1))
        await autoscaler(api, servers)

        leader = (await api.stream_info("ASSAY_RESULTS")).cluster.leader
        process, *_ = servers.pop(leader)
        process.kill()
        process.wait()
        for second in range(60):
            try:
                await api.publish(f"assay.vision.result.j1.{second + 1}", b"verdicts")
                break
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(0.5)
        [kept] = [await api.get_last_msg("ASSAY_RESULTS", "assay.vision.result.j1.0")]
        assert kept.data == b"verdicts"
        print(f"  the leader {leader} was killed: what was acknowledged is there, and more is taken in")
        for connection in connections:
            await connection.close()


async def autoscaler(api, servers: dict) -> None:
    """KEDA's way: asks the servers by name for the consumer's leader, and adds what waits to what is out."""
    for shard in range(5):
        await api.publish(f"assay.speech-2.task.default.j2.{shard}", b"shard")
    consumer = "ASSAY_default_speech-2"
    [task] = await (await api.pull_subscribe_bind(consumer, "ASSAY_TASKS")).fetch(1)
    lags = []
    for node, (_, _, port) in servers.items():
        [account] = asked(port, "/jsz?acc=ASSAY&consumers=true&config=true")["account_details"]
        for stream in account["stream_detail"]:
            for one in stream.get("consumer_detail", []):
                if one["name"] == consumer and one["cluster"]["leader"] == node:
                    lags.append(one["num_pending"] + one["num_ack_pending"])
    assert lags == [5], lags
    print("  the autoscaler's question: 4 shards wait, 1 is out, the depth is 5")


asyncio.run(main(str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve(), *(str(Path(name).resolve()) for name in sys.argv[3:])))

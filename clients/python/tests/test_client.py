"""Uploading, running, reading: the whole way against the real server."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import grpc
import numpy as np
import pytest

import assay
from assay.cases import Array, from_arrays
from assay.errors import from_rpc
from assay.services import Services
from assay.upload import CHUNK_MAX, ModelUpload, SuiteUpload
from tests.server import MODEL, Server

Digits = tuple[Array, Array]


def test_a_model_is_uploaded_once_and_found(client: assay.Client, model: assay.Model) -> None:
    assert model.sha256 == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert (model.display_name, model.size_bytes) == (MODEL.name, MODEL.stat().st_size)
    assert client.upload_model(MODEL.read_bytes()).name == model.name
    assert client.get_model(model) == client.get_model(model.name) == model
    assert model in client.list_models()
    inspection = client.inspect_model(model)
    assert inspection.model == model and inspection.parameter_count > 1000 and inspection.operators["Conv"] > 0
    assert inspection.inputs[0].data_type == "float32" and "score" in inspection.accesses
    # Another signature is another model.
    ranged = client.upload_model(MODEL, {"input": {"range": [0, 1]}}, name="ranged")
    assert ranged.name != model.name and ranged.display_name == "ranged" and ranged.sha256 == model.sha256
    client.delete_model(ranged)
    with pytest.raises(assay.NotFound):
        client.get_model(ranged)


def test_a_signature_comes_as_text_dictionary_or_file(client: assay.Client, tmp_path: Path) -> None:
    path = tmp_path / "signature.yaml"
    path.write_text("input: {range: [0, 1]}")
    names = {client.upload_model(MODEL, given).name for given in (path, path.read_text(), {"input": {"range": [0, 1]}})}
    assert len(names) == 1


def test_chunks_and_batches_stay_within_a_mebibyte(digits: Digits) -> None:
    sizes = [len(m.chunk.data) for m in ModelUpload.of(bytes(2 * CHUNK_MAX + 5), "", "").messages()]
    assert sizes == [0, CHUNK_MAX, CHUNK_MAX, 5]
    header, *batches = SuiteUpload.of(from_arrays({"x": digits[0]}, digits[1]), "", (), ()).messages()
    assert header.header.case_count == 1500 and len(batches) == 2
    assert all(batch.ByteSize() <= CHUNK_MAX for batch in batches)
    assert [case.id for batch in batches for case in batch.cases.cases] == [str(i) for i in range(1500)]
    large = SuiteUpload.of(from_arrays({"x": np.zeros((3, CHUNK_MAX), np.uint8)}), "", (), ()).messages()
    assert [len(message.cases.cases) for message in large] == [0, 1, 1, 1]


def test_a_job_gives_every_verdict_and_a_report(client: assay.Client, model: assay.Model, suite: assay.Suite) -> None:
    gates = ["clean.accuracy >= 0.95", "clean.accuracy >= 0.999", "gaussian_noise.accuracy >= 0.1"]
    run = client.run(model, suite, ["clean", ("gaussian_noise", {"severity": 3})], gates=gates, limit=200, seed=7)
    verdicts = list(run)
    assert {(v.case_index, v.check_index) for v in verdicts} == {(i, c) for i in range(200) for c in range(2)}
    assert len(verdicts) == 400 and {v.seed for v in verdicts} == {7}
    assert run.state == "succeeded" and run.progress is not None and run.progress.verdicts_done == 400
    report = run.report()
    accuracy = report.check("clean").metric("accuracy")
    right = sum(v.outcome == "held" for v in verdicts if v.probe == "clean")
    assert (accuracy.n, accuracy.count, accuracy.value) == (200, right, right / 200)
    assert accuracy.low < accuracy.value < accuracy.high
    assert all((v.outcome == "held") == (v.predicted == v.label) for v in verdicts)
    noise = report.check("gaussian_noise")
    assert noise.params == {"severity": 3} or noise.params["severity"] == 3
    assert report.counts == {o: n for o in ("held", "broken") if (n := sum(v.outcome == o for v in verdicts))}
    assert [gate.gate for gate in report.gates] == gates
    assert [gate.passed for gate in report.gates] == [True, False, True] and report.verdict == "fail"
    # Reading it again, from the beginning or the middle, gives the same.
    assert run.verdicts() == sorted(verdicts, key=lambda v: (v.case_index, v.check_index))
    assert client.watch(run.name, run.resume_token).wait() == "succeeded"
    half = client.watch(run.name)
    first = [next(half) for _ in range(150)]
    rest = list(client.watch(run.job, half.resume_token))
    assert {(v.case_index, v.check_index) for v in first + rest} == {(v.case_index, v.check_index) for v in verdicts}
    assert run.name in {job.name for job in client.list_jobs()} and client.get_job(run.name).state == "succeeded"
    client.delete_job(run.job)
    with pytest.raises(assay.NotFound):
        client.get_job(run.job)


def test_paths_and_arrays_run_at_once_and_repeat(client: assay.Client, digits: Digits) -> None:
    x, y = digits
    runs = [client.run(str(MODEL), (x[:20], y[:20]), ["gaussian_noise:severity=2"], seed=3) for _ in range(2)]
    first, second = (run.verdicts() for run in runs)
    assert len(first) == 20 and first == second and runs[0].name != runs[1].name


def test_the_same_request_gives_the_same_job(client: assay.Client, model: assay.Model, suite: assay.Suite) -> None:
    key = str(uuid.uuid4())
    jobs = [client.create_job(model, suite, ["clean"], limit=5, request_id=key).name for _ in range(2)]
    assert jobs[0] == jobs[1]
    with pytest.raises(assay.AlreadyExists, match=key):
        client.create_job(model, suite, ["clean"], limit=6, request_id=key)
    planned = client.validate_job(model, suite, ["clean", "gaussian_noise"], limit=10)
    assert planned.name == "" and planned.progress.verdicts_total == 60


def test_suites_have_defaults_tags_and_ids(client: assay.Client, model: assay.Model, digits: Digits) -> None:
    x, y = digits
    suite = client.upload_suite(
        x[:4],
        y[:4],
        ids=["a", "b", "c", "d"],
        tags={"side": ["left", "right", "left", "left"], "light": [0.5, 1, 2, 3]},
        checks=["clean"],
        gates=["clean.accuracy >= 0.1 or inconclusive"],
        name="four",
    )
    assert (suite.case_count, suite.display_name) == (4, "four") and suite in client.list_suites()
    run = client.run(model, suite)
    assert sorted(v.case_id for v in run) == ["a", "b", "c", "d"] and len(run.report().gates) == 1
    client.delete_suite(suite)
    with pytest.raises(assay.NotFound):
        client.get_suite(suite)


def test_a_job_ends_when_it_is_cancelled(client: assay.Client, model: assay.Model, suite: assay.Suite) -> None:
    run = client.run(model, suite, ["clean", "gaussian_noise", "motion_blur", "jpeg_compression"])
    first = next(run)
    assert run.cancel().state == "cancelled"
    rest = list(run)
    assert run.state == "cancelled" and len(rest) + 1 < 1500 * 16 and first not in rest
    assert run.report().verdict == "incomplete"


def test_arrays_are_put_together(client: assay.Client, model: assay.Model, digits: Digits) -> None:
    x, y = digits
    run = client.run(model, (x[:40], y[:40]), ["clean", "gaussian_noise:severity=[1,3]"], artifacts=True)
    clean, noise = run.arrays(0), run.arrays(1)
    pixels = x[:40].astype(np.float32) / np.float32(255)
    assert np.array_equal(clean["x"], pixels) and clean["case"].tolist() == [str(i) for i in range(40)]
    assert np.array_equal(noise["x"], pixels) and noise["x_corrupted"].shape == (40, 2, 1, 28, 28)
    change = np.abs(noise["x_corrupted"] - pixels[:, None]).mean(axis=(0, 2, 3, 4))
    assert 0 < change[0] < change[1] < 0.5
    without = client.run(model, (x[:2], y[:2]), ["clean"])
    with pytest.raises(assay.NotFound, match="artifacts=True"):
        without.arrays()


def test_the_server_says_what_it_is(client: assay.Client) -> None:
    probes = {probe.name: probe for probe in client.catalog()}
    assert "severity" in probes["gaussian_noise"].parameters["properties"]
    assert client.probe("clean").family == "clean" and probes["motion_blur"] in client.catalog("corruption")
    info = client.server_info()
    assert info.slots == 2 and info.limits["model_bytes"] > 0


def test_errors_name_the_field(client: assay.Client, model: assay.Model, suite: assay.Suite, digits: Digits) -> None:
    x, y = digits
    with pytest.raises(assay.InvalidRequest, match="gaussian_noise") as caught:
        client.run(model, suite, ["clean", "gausian_noise"])
    assert [v.field for v in caught.value.violations] == ["checks[1].name"]
    with pytest.raises(assay.InvalidRequest) as caught:
        client.run(model, (x[:3], np.array([0, 10, 2])), ["clean"])
    assert [v.field for v in caught.value.violations] == ["suite.expected"] and "label 10" in str(caught.value)
    with pytest.raises(assay.InvalidRequest) as caught:
        client.run(model, suite, ["clean"], pool="Big Memory")
    assert [v.field for v in caught.value.violations] == ["pool"]
    with pytest.raises(assay.InvalidRequest) as caught:
        client.upload_suite(x[:3], y[:3], ids=["a", "b", "a"])
    assert [v.field for v in caught.value.violations] == ["cases[2].id"]
    with pytest.raises(assay.InvalidRequest) as caught:
        client.upload_model(b"no model")
    assert [v.field for v in caught.value.violations] == ["model"]
    with pytest.raises(assay.NotFound, match="tenants/local/models/0123"):
        client.get_model("tenants/local/models/0123")


def test_a_wrong_checksum_is_refused(server: Server) -> None:
    messages = list(ModelUpload.of(MODEL, "", "").messages())
    messages[0].header.sha256 = hashlib.sha256(b"other").hexdigest()
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        Services(channel).models.UploadModel(iter(messages))
    error = from_rpc(caught.value)
    assert isinstance(error, assay.InvalidRequest) and error.violations[0].field == "header.sha256"


def test_nobody_answers() -> None:
    with assay.Client("127.0.0.1:1") as client, pytest.raises(assay.Unavailable, match="127.0.0.1:1"):
        client.server_info()

"""Models behind the Open Inference Protocol: another server's in assay, and assay's for any client."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import assay
from assay.cases import Array
from tests import oip
from tests.server import MODEL, Server

CASES = 300

MARGIN_MAX = 1e-3
"""How near the boundary a case is whose verdict the rounding of an engine may turn."""

FIXED = ["clean", "gaussian_noise:severity=3", "square:eps=0.2,query_budget=150"]

DECISION_BASED = {"boundary": "boundary", "hopskipjump": "hopskipjump"}
"""Attacks that see labels alone, where the catalogue has them."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[oip.OnnxServer]:
    server = oip.OnnxServer(MODEL)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def near(elsewhere: oip.OnnxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may ask the other one."""
    config = f'[remote]\nallow = ["{elsewhere.target}"]\nrows_per_second = 1000000\n'
    server = Server(tmp_path_factory.mktemp("engine"), config=config)
    yield server
    server.stop()


def margins(scores: Array, labels: Array) -> Array:
    """How far each row's label is above the best other class; below 0 where another one wins."""
    rows = np.arange(len(scores))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return np.asarray(scores[rows, labels] - others.max(axis=1))


def test_verdicts_are_those_on_the_file(
    near: Server, elsewhere: oip.OnnxServer, digits: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    x, labels = digits[0][:CASES], digits[1][:CASES]
    with assay.Client(near.target) as client:
        known = {probe.name for probe in client.catalog("attack")}
        checks = FIXED + [spec for name, spec in DECISION_BASED.items() if name in known]
        file = client.upload_model(MODEL)
        remote = client.register_model(f"grpc://{elsewhere.target}/digits")
        assert (remote.remote, file.remote) == (f"grpc://{elsewhere.target}/digits", "")
        suite = client.upload_suite((x, labels))
        runs = [client.run(model, suite, checks, seed=5, artifacts=True) for model in (file, remote)]
        ours, theirs = ({(v.check, v.case_id): v for v in run.verdicts()} for run in runs)
        assert elsewhere.rows > CASES * 100 and ours.keys() == theirs.keys()
        with capsys.disabled():
            for i, check in enumerate(checks):
                found = {run: run.arrays(i) for run in runs}
                keys = [key for key in ours if key[0] == check]
                differ = [
                    key
                    for key in keys
                    if (ours[key].outcome, ours[key].predicted) != (theirs[key].outcome, theirs[key].predicted)
                ]
                broken = sum(ours[key].outcome == "broken" for key in keys)
                print(f"\n{check}: {broken} of {len(keys)} cases broken, {len(differ)} verdicts differ", end="")
                assert 0 < broken < len(keys)
                for _, case in differ:
                    row = int(case)
                    print(f"\n  case {case}:", end="")
                    for run, arrays in found.items():
                        name = next(name for name in ("x_adv", "x_corrupted", "x") if name in arrays)
                        point = np.asarray(arrays[name][row : row + 1], np.float32)
                        tract = oip.infer(near.target, file.name, "input", point, raw=True)
                        ort = elsewhere.scores(point)
                        both = [float(margins(scores, labels[row : row + 1])[0]) for scores in (tract, ort)]
                        print(f" {'file' if run is runs[0] else 'remote'} {name}: tract {both[0]:+.7f}", end="")
                        print(f" onnxruntime {both[1]:+.7f};", end="")
                        assert min(map(abs, both)) < MARGIN_MAX, f"{check} {case} differs beyond rounding"
            print()


def test_a_remote_that_is_not_allowed_is_refused(client: assay.Client, elsewhere: oip.OnnxServer) -> None:
    with pytest.raises(assay.AssayError, match=r"`\[remote\] allow`"):
        client.register_model(f"grpc://{elsewhere.target}/digits")
    with pytest.raises(assay.AssayError, match=r"remote\.endpoint"):
        client.register_model(f"http://{elsewhere.target}/digits")


def test_any_client_can_query_a_model_of_assay(
    server: Server, model: assay.Model, elsewhere: oip.OnnxServer, digits: tuple[Array, Array]
) -> None:
    x = np.asarray(digits[0][:50], np.float32) / 255
    told = oip.metadata(server.target, model.name)
    assert [(t.name, t.datatype, list(t.shape)) for t in told.inputs] == [("input", "FP32", [-1, 1, 28, 28])]
    expected = elsewhere.scores(x)
    for raw in (True, False):
        found = oip.infer(server.target, model.name, "input", x, raw)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

"""Run by try.sh: the installed wheel brings the client, the program and the pytest plugin, and nothing else is needed."""

import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from assay.local import find_binary
from assay.testing import assert_robust


def test_the_program_is_the_wheels_own():
    assert find_binary() == Path(sys.prefix, "bin", "assay")
    names = {Path(file).name for file in distribution("assay").files}
    assert names >= {"LICENSE-APACHE", "LICENSE-MIT", "LICENSE-THIRD-PARTY", "NOTICE.md", "py.typed"}


def test_the_plugin_and_the_helper_work(assay_client):
    report = assert_robust(
        "mnist_cnn.onnx", "mnist_test.npz", ["clean"], ["clean.accuracy >= 0.9"], server=assay_client, limit=100
    )
    assert report.verdict == "pass"
    with pytest.raises(AssertionError, match="1 of 1 gates failed"):
        assert_robust("mnist_cnn.onnx", "mnist_test.npz", ["clean"], ["clean.accuracy >= 0.9999"], limit=100)


def test_pandas_is_optional(assay_client):
    report = assert_robust(
        "mnist_cnn.onnx", "mnist_test.npz", ["clean"], ["clean.accuracy >= 0.1"], server=assay_client, limit=20
    )
    with pytest.raises(ImportError, match=r"pip install 'assay\[pandas\]'"):
        report.to_pandas()

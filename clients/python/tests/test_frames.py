"""DataFrames in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper

import assay
from assay.cases import read_cases
from tests.test_cases import answer


def cases(frame: pd.DataFrame, **given: Any) -> list[Any]:
    return list(read_cases(frame, **given).messages())


def features(case: Any) -> list[float]:
    tensor = case.inputs["x"].tensor
    assert list(tensor.shape) == [len(tensor.data) // 4]
    return [float(value) for value in np.frombuffer(tensor.data, "<f4")]


def test_columns_become_features_answers_and_tags() -> None:
    frame = pd.DataFrame({"a": [1, 2], "y": [1, 0], "b": [0.5, None], "side": ["left", "right"], "n": [3, 4]})
    first, second = cases(frame, tags=["side", "n"])
    assert (features(first), answer(first).label.index, first.id) == ([1, 0.5], 1, "0")
    assert features(second)[0] == 2 and np.isnan(features(second)[1])
    assert (first.tags["side"].text, first.tags["n"].number) == ("left", 3)
    # Named, any column is the label; the one that would have been found is then a feature.
    assert [case.value for case in cases(frame.head(1), label="b", tags=["side"])] == [0.5]
    assert features(cases(frame, label="n", tags=["side"])[0]) == [1, 1, 0.5]
    assert cases(frame[["a", "b"]])[0].WhichOneof("expected") is None


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_words_are_names_of_classes(kind: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "label": pd.Series(["cat", "dog"], dtype=kind)})
    assert [answer(case).label.name for case in cases(frame)] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("frame", "given", "words"),
    [
        ({"a": ["1", "red"], "y": [0, 1]}, {}, "row 1, column a: `red` was found"),
        ({"a": [1, 2], "y": [0, 1]}, {"label": "why"}, "no column `why`; it has a, y"),
        ({"a": [1, 2], "y": [0, 1]}, {"tags": ["side"]}, "no column `side`"),
        ({"a": [1, 2], "y": [0, None]}, {}, "row 1, column y: the label is missing"),
        ({"a": [1, 2], "y": [0, 1]}, {"answers": [1, 2]}, "DataFrame"),
    ],
)
def test_wrong_frames_are_refused(frame: dict[str, Any], given: dict[str, Any], words: str) -> None:
    with pytest.raises(assay.InvalidRequest) as caught:
        cases(pd.DataFrame(frame), **given)
    assert words in str(caught.value)


def test_arrays_have_no_columns() -> None:
    with pytest.raises(assay.InvalidRequest, match="DataFrame"):
        read_cases(np.zeros((2, 2)), label="y")
    with pytest.raises(assay.InvalidRequest, match="DataFrame"):
        read_cases(np.zeros((2, 2)), tags=["side"])


def linear() -> bytes:
    """Two features to three logits: the class is 0, 1 or 2 by which of (a, b, 0) is the largest."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 3], [1, 0, 0, 0, 1, 0])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_a_table_is_judged_and_read_back(client: assay.Client) -> None:
    frame = pd.DataFrame({"a": [5.0, 1, -1, 2], "b": [1.0, 5, -1, 3], "label": [0, 1, 2, 0], "side": list("llrr")})
    suite = client.upload_suite(frame, label="label", tags=["side"])
    run = client.run(client.upload_model(linear(), {"output": {"kind": "logits"}}), suite, ["clean"])
    verdicts = run.to_pandas()
    assert verdicts["predicted"].tolist() == [0, 1, 2, 1]
    assert verdicts["outcome"].tolist() == ["held"] * 3 + ["broken"]
    assert verdicts["case"].tolist() == list("0123") and set(verdicts["check"]) == {"clean"}
    metrics = run.report().to_pandas()
    (accuracy,) = metrics[(metrics["metric"] == "accuracy") & (metrics["slice"] == "")].to_dict("records")
    assert (accuracy["value"], accuracy["n"], accuracy["count"]) == (0.75, 4, 3) and accuracy["low"] < 0.75 < accuracy[
        "high"
    ]


def test_parameters_have_columns(client: assay.Client, model: assay.Model, suite: assay.Suite) -> None:
    frame = client.run(model, suite, ["clean", "gaussian_noise"], limit=3).to_pandas()
    noise = frame[frame["name"] == "gaussian_noise"]
    assert noise["params.severity"].tolist() == [1, 2, 3, 4, 5] * 3 and len(frame) == 18

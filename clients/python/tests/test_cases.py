"""Cases from arrays and folders."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import assay
from assay.cases import Array, CasesLike, read_cases
from assay.folder import read_folder
from assay.v1 import types_pb2


def cases(given: CasesLike, answers: object = None) -> list[types_pb2.Case]:
    return list(read_cases(given, answers).messages())  # type: ignore[arg-type]


def picture(path: Path, digit: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(digit).save(path)


def answer(case: types_pb2.Case) -> types_pb2.ClassAnswer:
    found: types_pb2.ClassAnswer = getattr(case, "class")
    return found


def test_answers_are_classes_values_or_names() -> None:
    x = np.zeros((2, 3), np.float32)
    assert answer(cases((x, [1, 0]))[0]).label.index == 1
    assert answer(cases((x, ["cat", "dog"]))[1]).label.name == "dog"
    assert cases((x, [0.5, 2.0]))[1].value == 2.0
    assert cases(x)[0].WhichOneof("expected") is None
    assert answer(cases(x, np.array([True, False]))[0]).label.index == 1


def test_rows_travel_as_they_are() -> None:
    x = np.arange(12, dtype=">f4").reshape(2, 2, 3).transpose(0, 2, 1)
    tensor = cases({"a": x, "t": np.array([["u"], ["w"]])})[1].inputs
    assert list(tensor["a"].tensor.shape) == [3, 2] and list(tensor["t"].tensor.text) == ["w"]
    assert np.array_equal(np.frombuffer(tensor["a"].tensor.data, "<f4").reshape(3, 2), x[1])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((np.zeros((2, 3)), [1]), "answers has 1 rows where 2 were expected"),
        ((np.zeros((2, 3)), [1, -1]), "row 1 has the label -1"),
        ((np.zeros((2, 3)), [[1], [2]]), "shape (2, 1)"),
        (np.zeros((2, 3), np.float16), "astype"),
        (np.float32(1), "single value"),
        ({}, "no input"),
        ("missing.npz", "missing.npz"),
        ("missing", "does not exist"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: CasesLike, words: str) -> None:
    with pytest.raises(assay.InvalidRequest) as caught:
        cases(given)
    assert words in str(caught.value) and caught.value.violations[0].field == "cases"


def test_a_torn_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", x=np.zeros((3, 2)), z=[1])
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:100])
    assert len(cases(tmp_path / "good.npz")) == 3
    with pytest.raises(assay.InvalidRequest, match="torn.npz"):
        cases(tmp_path / "torn.npz")


def test_folders_by_class_and_by_list(tmp_path: Path) -> None:
    grey = np.zeros((4, 4), np.uint8)
    for name in ("b/2.png", "a/1.PNG", "a/Z.jpg"):
        picture(tmp_path / name, grey)
    (tmp_path / "a/notes.txt").write_text("no picture")
    found = cases(tmp_path)
    assert [(c.id, answer(c).label.index) for c in found] == [("a/1.PNG", 0), ("a/Z.jpg", 0), ("b/2.png", 1)]
    assert found[0].inputs["image"].image == (tmp_path / "a/1.PNG").read_bytes()
    (tmp_path / "labels.csv").write_text("file, label, acceptable, light, side\nb/2.png, 7, 3 7, 0.5, left\n")
    (case,) = cases(tmp_path)
    assert (case.id, answer(case).label.index, [c.index for c in answer(case).acceptable]) == ("b/2.png", 7, [3])
    assert case.tags["light"].number == 0.5 and case.tags["side"].text == "left"
    (tmp_path / "labels.csv").write_text("file,label,acceptable\nb/2.png,cat,dog 1\n")
    (case,) = cases(tmp_path)
    assert [c.name for c in (answer(case).label, *answer(case).acceptable)] == ["cat", "dog", "1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\n../secret,1\n", "leads out"),
        ("file,label\n/etc/passwd,1\n", "leads out"),
        ("file,class\na.png,1\n", "no column `label`; it has file, class"),
        ("file,label\na.png\n", "row 1 has 1 cells"),
        ("file,label,acceptable\na.png,1,dog\n", "`dog` was found, an index was expected"),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(assay.InvalidRequest) as caught:
        read_folder(tmp_path)
    assert words in str(caught.value)


def test_a_folder_of_pictures_runs_like_its_arrays(
    client: assay.Client, model: assay.Model, digits: tuple[Array, Array], tmp_path: Path
) -> None:
    x, y = digits
    for i in range(30):
        picture(tmp_path / f"{y[i]}/{i}.png", x[i, 0])
    for label in range(10):
        (tmp_path / str(label)).mkdir(exist_ok=True)
    pictures = {v.case_id: v.predicted for v in client.run(model, tmp_path, ["clean"])}
    arrays = {v.case_index: v.predicted for v in client.run(model, (x[:30], y[:30]), ["clean"])}
    assert pictures == {f"{y[i]}/{i}.png": arrays[i] for i in range(30)}


def test_a_missing_picture_is_named(client: assay.Client, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\ngone.png,1\n")
    with pytest.raises(assay.InvalidRequest, match="gone.png") as caught:
        client.upload_suite(tmp_path)
    assert caught.value.violations[0].field == "cases"


def test_a_torn_picture_is_refused_by_the_server(client: assay.Client, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, "png")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(file.getvalue()[:20])
    with pytest.raises(assay.InvalidRequest) as caught:
        client.upload_suite(tmp_path)
    assert caught.value.violations[0].field == "cases[0].inputs.image"

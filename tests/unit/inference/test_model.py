"""What may score, what is refused at start, and that a row's score does not depend on its company."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import Fatal, RecordError, Stage
from app.inference.model import load_model, newest_version
from tests.unit.inference.small_models import FEATURES, GOLDEN, Change, Nodes, WriteModel, graph, mean_of_row

ROWS = np.array([[3, 0, 1], [250.25, 1, 0], [9, 9, 9], [0.1, 0.2, 0.3]], np.float32)


def refusal(folder: Path, features: tuple[str, ...] = FEATURES) -> str:
    with pytest.raises(Fatal) as refused:
        load_model(folder, features)
    return str(refused.value)


def test_a_model_says_what_it_is(write_model: WriteModel) -> None:
    model = load_model(write_model(), FEATURES)
    assert (model.name, model.version, model.ref, model.threshold) == ("small", 1, "small@1", 0.5)
    assert model.features == FEATURES


@pytest.mark.parametrize(("shape", "columns"), [(("N", 1), 1), (("N", 2), 2), (("N",), None)])
def test_a_score_a_row_comes_out_of_every_shape_that_is_allowed(
    shape: tuple[Any, ...], columns: int | None, write_model: WriteModel
) -> None:
    nodes = mean_of_row("p")
    if columns == 1:
        nodes.append(helper.make_node("Identity", ["p"], ["y"]))
    elif columns is None:
        nodes.append(helper.make_node("Squeeze", ["p", "one"], ["y"]))
    else:
        nodes.append(helper.make_node("Add", ["p", "scale"], ["other"]))
        nodes.append(helper.make_node("Concat", ["other", "p"], ["y"], axis=1))

    def change(manifest: dict[str, Any]) -> None:
        manifest["outputs"][0]["columns"] = columns

    golden = (GOLDEN.mean(axis=1) * np.float32(0.001)).tolist()
    scores = load_model(write_model(graph(nodes, shape=shape), scores=golden, change=change), FEATURES).score(ROWS)
    assert (scores.shape, scores.dtype) == ((4,), np.dtype(np.float64))
    assert scores == pytest.approx(ROWS.mean(axis=1) / 1000, abs=1e-8)


def test_scores_have_nine_decimals_in_float64(write_model: WriteModel) -> None:
    model = load_model(write_model(), FEATURES)
    raw = model.probabilities(ROWS)
    assert model.score(ROWS).tolist() == [round(float(score), 9) for score in raw]
    assert model.score(ROWS).tolist() != raw.tolist()


def test_no_rows_give_no_scores(write_model: WriteModel) -> None:
    assert load_model(write_model(), FEATURES).score(ROWS[:0]).shape == (0,)


def test_one_row_is_scored_as_it_would_be_among_others(write_model: WriteModel) -> None:
    """This model answers 1 when it is given a single row."""
    nodes = [
        *mean_of_row("p"),
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("Equal", ["rows", "one"], ["alone"]),
        helper.make_node("Cast", ["one"], ["all"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["alone", "all", "p"], ["y"]),
    ]
    model = load_model(write_model(graph(nodes)), FEATURES)
    assert model.score(ROWS[:1]).tolist() == model.score(ROWS)[:1].tolist()


def test_a_row_on_which_the_model_fails_is_an_error_of_its_record(write_model: WriteModel) -> None:
    model = load_model(write_model(), FEATURES)
    with pytest.raises(RecordError, match=r"small@1 fails") as failed:
        model.score(ROWS[:, :2])
    assert (failed.value.stage, failed.value.code) == (Stage.SCORE, "model-failed")


def test_a_score_that_is_no_number_is_an_error_of_its_record(write_model: WriteModel) -> None:
    model = load_model(write_model(), FEATURES)
    with pytest.raises(RecordError, match="no finite score") as failed:
        model.score(np.array([[1, 1, 1], [np.nan, 0, 0]], np.float32))
    assert (failed.value.stage, failed.value.code) == (Stage.SCORE, "not-finite")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("amount", "night", "weekend"), "input 2 is weekend in the manifest and night in the pipeline"),
        (("amount", "weekend"), "input 3 is night in the manifest and nothing in the pipeline"),
        ((*FEATURES, "more"), "input 4 is nothing in the manifest and more in the pipeline"),
        (("total", "weekend", "night"), "input 1 is amount in the manifest and total in the pipeline"),
    ],
)
def test_other_inputs_than_the_pipelines_are_refused(
    given: tuple[str, ...], words: str, write_model: WriteModel
) -> None:
    said = refusal(write_model(), given)
    assert words in said
    assert f"(3 inputs in the manifest, {len(given)} in the pipeline)" in said


def test_a_file_that_is_not_the_manifests_is_refused(write_model: WriteModel) -> None:
    folder = write_model()
    (folder / "model.onnx").write_bytes(graph(mean_of_row("z")))
    assert "is not the file that model.yaml describes" in refusal(folder)


def test_a_folder_of_another_version_is_refused(write_model: WriteModel) -> None:
    folder = write_model()
    assert "is not version 2: its manifest says small@1" in refusal(folder.rename(folder.with_name("2")))


def described_as(content: bytes) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        manifest["sha256"], manifest["bytes"] = hashlib.sha256(content).hexdigest(), len(content)

    return change


@pytest.mark.parametrize("content", [graph(mean_of_row())[:-30], b"no protobuf at all"])
def test_what_is_no_onnx_is_refused_even_when_the_manifest_describes_it(
    content: bytes, write_model: WriteModel
) -> None:
    folder = write_model(change=described_as(content))
    (folder / "model.onnx").write_bytes(content)
    assert "cannot load model small@1" in refusal(folder)


def test_values_kept_in_another_file_are_refused(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = helper.make_node("MatMul", ["x", "weights"], ["wide"])
    model = onnx.load_from_string(graph([product, helper.make_node("ReduceMean", ["wide"], ["y"], axes=[1])]))
    model.graph.initializer.append(numpy_helper.from_array(np.full((3, 64), 0.001, np.float32), "weights"))
    onnx.save(model, tmp_path / "out.onnx", save_as_external_data=True, location="beside", size_threshold=100)
    content = (tmp_path / "out.onnx").read_bytes()
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime finds them
    folder = write_model(content)
    assert "keeps values outside model.onnx" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (graph(mean_of_row(), columns=4), "takes x tensor(float) [N, 4]; its manifest says x tensor(float) [N, 3]"),
        (
            graph([helper.make_node("Mul", ["x", "scale"], ["y"])], shape=("N", 3)),
            "gives y tensor(float) [N, 3]; its manifest says y tensor(float) [N, 1]",
        ),
        (
            graph([*mean_of_row("p"), helper.make_node("Cast", ["p"], ["y"], to=11)], kind=TensorProto.DOUBLE),
            "gives y tensor(double) [N, 1]; its manifest says y tensor(float) [N, 1]",
        ),
        (
            graph(mean_of_row(), shape=(1, 1)),
            "gives y tensor(float) [1, 1]; its manifest says y tensor(float) [N, 1]",
        ),
    ],
)
def test_other_tensors_than_the_manifests_are_refused(content: bytes, words: str, write_model: WriteModel) -> None:
    assert words in refusal(write_model(content, scores=[0.0] * 3))


def test_a_golden_row_with_another_score_is_refused_with_both_scores(write_model: WriteModel) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["golden"][1]["score"] = float(np.nextafter(np.float32(manifest["golden"][1]["score"]), np.float32(1)))

    said = refusal(write_model(change=change))
    assert "golden row 2 of 3 should give 0.033666674 and gives 0.03366667 (1 rows differ)" in said


def test_a_golden_row_of_another_length_is_refused(write_model: WriteModel) -> None:
    said = refusal(write_model(change=lambda manifest: manifest["golden"][2]["features"].pop()))
    assert "Golden row 3 of model small@1 has 2 features; its manifest names 3" in said


# The score grows by the mean of all rows.
ALL_ROWS = [
    helper.make_node("ReduceMean", ["p"], ["level"], axes=[0], keepdims=1),
    helper.make_node("Add", ["p", "level"], ["y"]),
]
# A batch of exactly three rows is scored a thousandth higher.
THREE_ROWS = [
    helper.make_node("Shape", ["x"], ["rows"], end=1),
    helper.make_node("Add", ["one", "one"], ["two"]),
    helper.make_node("Add", ["two", "one"], ["three"]),
    helper.make_node("Equal", ["rows", "three"], ["are_three"]),
    helper.make_node("Cast", ["are_three"], ["extra"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["extra", "scale"], ["little"]),
    helper.make_node("Add", ["p", "little"], ["y"]),
]


# A batch of 512 is scored a thousandth higher if its first row has an amount.
FIRST_OF_MANY = [
    helper.make_node("Shape", ["x"], ["rows"], end=1),
    helper.make_node("Equal", ["rows", "many"], ["are_many"]),
    helper.make_node("Sub", ["one", "one"], ["zero"]),
    helper.make_node("Gather", ["p", "zero"], ["first"], axis=0),
    helper.make_node("Cast", ["first"], ["has_amount"], to=TensorProto.BOOL),
    helper.make_node("And", ["are_many", "has_amount"], ["concerned"]),
    helper.make_node("Cast", ["concerned"], ["extra"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["extra", "scale"], ["little"]),
    helper.make_node("Add", ["p", "little"], ["y"]),
]


@pytest.mark.parametrize(
    "nodes", [ALL_ROWS, THREE_ROWS, FIRST_OF_MANY], ids=["all rows", "three rows", "the first of many"]
)
def test_a_model_whose_bits_depend_on_the_batch_is_refused(nodes: Nodes, write_model: WriteModel) -> None:
    assert "scores the same event differently in other company" in refusal(
        write_model(graph([*mean_of_row("p"), *nodes]))
    )


def test_the_newest_version_is_the_highest_number(tmp_path: Path) -> None:
    for version in ("2", "10", "9", "draft", "1.5"):
        (tmp_path / "small" / version).mkdir(parents=True)
    (tmp_path / "small" / "11").write_text("a file")
    assert newest_version(tmp_path, "small") == tmp_path / "small" / "10"
    with pytest.raises(Fatal, match="no version of a model other"):
        newest_version(tmp_path, "other")

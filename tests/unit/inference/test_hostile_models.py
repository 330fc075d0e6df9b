"""Models and manifests made to do harm: refused in a sentence, in bounded time and memory, and nothing else is read."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from app.errors import Fatal, Refused
from app.inference import apart
from app.inference.apart import try_version
from app.inference.load import load
from app.starter.manifest import add_version
from tests.unit.inference.small_models import FEATURES, GOLDEN, WriteModel, graph, manifest_of, mean_of_row

ZEROS = [0.0, 0.0, 0.0]


def with_constant(content: bytes, constant: TensorProto) -> bytes:
    model = onnx.load_from_string(content)
    model.graph.initializer.append(constant)
    made: bytes = model.SerializeToString()
    return made


def endless() -> bytes:
    """Goes round and round while a constant is true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_"]), helper.make_node("Identity", ["v"], ["v_"])],
        "round",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 1]),
        ],
        [
            helper.make_tensor_value_info("on_", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_", TensorProto.FLOAT, ["N", 1]),
        ],
    )
    content = graph([*mean_of_row("p"), helper.make_node("Loop", ["", "true", "p"], ["y"], body=body)])
    return with_constant(content, helper.make_tensor("true", TensorProto.BOOL, [], [True]))


def hungry(size: int) -> bytes:
    """Takes `size` floats of memory for every batch."""
    nodes = [
        *mean_of_row("p"),
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceMean", ["much"], ["nothing"], keepdims=1),
        helper.make_node("Add", ["p", "nothing"], ["y"]),
    ]
    return with_constant(graph(nodes), helper.make_tensor("size", TensorProto.INT64, [1], [size]))


def reading(place: str) -> bytes:
    """Has the values of a constant in another file."""
    outside = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value=place)
    nodes = [
        *mean_of_row("p"),
        helper.make_node("Constant", [], ["theirs"], value=outside),
        helper.make_node("Add", ["p", "theirs"], ["y"]),
    ]
    return graph(nodes)


def of_opset(number: int) -> bytes:
    model = onnx.load_from_string(graph(mean_of_row()))
    model.opset_import[0].version = number
    made: bytes = model.SerializeToString()
    return made


def custom() -> bytes:
    model = onnx.load_from_string(graph([helper.make_node("Steal", ["x"], ["y"], domain="their.own")]))
    model.opset_import.append(helper.make_opsetid("their.own", 1))
    made: bytes = model.SerializeToString()
    return made


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "values in another file": (lambda: reading("../../../../etc/hostname"), "keeps values outside model.onnx"),
    "values in a file beside it": (lambda: reading("model.yaml"), "keeps values outside model.onnx"),
    "an operator of its own": (custom, "their.own:Steal"),
    "an operator set to come": (lambda: of_opset(999), "Opset 999"),
    "more memory than there is": (lambda: hungry(1 << 40), "Failed to allocate memory"),
    "more memory than it is given": (lambda: hungry(1 << 30), "Failed to allocate memory"),
    "cut short": (lambda: graph(mean_of_row())[:-40], "cannot load model small@1"),
    "empty but for its length": (lambda: b"\0" * 64, "cannot load model small@1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_refused_in_one_sentence(name: str, write_model: WriteModel) -> None:
    make, words = HOSTILE[name]
    with pytest.raises(Fatal) as refused:
        try_version(write_model(make(), scores=ZEROS), FEATURES)
    said = str(refused.value)
    assert words in said
    assert "\n" not in said
    assert "/onnxruntime_src" not in said


def test_a_model_that_never_ends_is_ended(write_model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(endless(), scores=ZEROS)
    arguments = {"folder": str(folder), "features": FEATURES}
    with pytest.raises(Fatal, match="did not end within 3 s"):
        apart.apart("app.inference.load:check", arguments, what="Model small@1", size=1000, time_s=3)
    assert not _children(), "the process that tried it is still there"


def _children() -> list[str]:
    """The command lines of processes that try a model."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            parent = int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"app.inference.apart" in words and parent == os.getpid():
            found.append(path.parent.name)
    return found


def test_a_model_that_crashes_the_process_is_a_sentence() -> None:
    with pytest.raises(Fatal, match=r"small@1 was tried in a process of its own, which was ended by SIGKILL"):
        apart.apart(f"{__name__}:die", {}, what="Model small@1", size=0)
    with pytest.raises(Fatal, match=r"which ended half way"):
        apart.apart(f"{__name__}:leave", {}, what="Model small@1", size=0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def test_nothing_can_be_written_there(tmp_path: Path) -> None:
    place = tmp_path / "written"
    assert apart.apart(f"{__name__}:write", {"path": str(place)}, what="The model", size=0) == "refused"
    assert not place.exists() or place.stat().st_size == 0


def write(path: str) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        Path(path).write_bytes(b"x" * 10_000)
    except OSError:
        return "refused"
    return "written"


def test_what_was_tried_well_is_not_tried_again_and_another_is(write_model: WriteModel, tmp_path: Path) -> None:
    folder, home = write_model(), tmp_path / "home"
    try_version(folder, FEATURES, home=home)
    (noted,) = (home / "cache" / "tried").iterdir()
    (folder / "model.onnx").unlink()  # a second trial would miss it; a worker reads it all the same
    try_version(folder, FEATURES, home=home)
    noted.unlink()
    with pytest.raises(Fatal, match=r"model\.onnx"):
        try_version(folder, FEATURES, home=home)


@pytest.mark.parametrize("name", ["values in another file", "an operator of its own", "cut short"])
def test_a_hostile_model_that_somebody_adds_leaves_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises((Refused, Fatal)):
        add_version(
            tmp_path, "small", HOSTILE[name][0](), features=FEATURES, rows=GOLDEN, threshold=0.5, command="none"
        )
    assert list((tmp_path / "small").iterdir()) == []


def test_a_sound_model_that_somebody_adds_is_tried_and_stays(tmp_path: Path) -> None:
    folder = add_version(
        tmp_path, "small", graph(mean_of_row()), features=FEATURES, rows=GOLDEN, threshold=0.5, command="none"
    )
    model: Any = load(folder, FEATURES)
    assert model.score(GOLDEN).tolist() == pytest.approx((GOLDEN.mean(axis=1) / np.float32(1000)).tolist(), abs=1e-8)


def _page(levels: int) -> str:
    """Each line means ten times the line before."""
    first = "a0: &a0 [x]\n"
    return first + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, levels))


MANIFESTS: dict[str, tuple[str, str]] = {
    "aliases of aliases": (_page(12), "an alias, in line 2"),
    "a list 400,000 deep": ("[" * 400_000, "more than 32 levels deep"),
    "a map 1,000 deep": ("\n".join(" " * i + "a:" for i in range(1000)), "more than 32 levels deep"),
    "a number of 5,000 digits": ("version: " + "9" * 5000, "holds a value that no manifest holds"),
    "a call of a program": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "control characters": ("name: \x01\x02", "is not YAML"),
    "another kind": ("kind: [score]", "its kind is none of score and ranker"),
    "a page of nothing": ("\n" * 1_100_000, "that is no manifest"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_hostile_manifest_is_refused_in_one_sentence(name: str, write_model: WriteModel) -> None:
    folder, (text, words) = write_model(), MANIFESTS[name]
    (folder / "model.yaml").write_text(text)
    with pytest.raises(Fatal) as refused:
        load(folder, FEATURES)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", ["../1/model.onnx", "/etc/hostname.onnx", "a/model.onnx", ".onnx", "model.onnx\n"])
def test_a_manifest_names_no_file_outside_its_folder(file: str, write_model: WriteModel) -> None:
    folder = write_model(change=lambda manifest: manifest.update(file=file))
    with pytest.raises(Fatal, match="is not a manifest: file"):
        load(folder, FEATURES)


def test_a_sound_manifest_in_the_same_form_is_taken(write_model: WriteModel) -> None:
    folder = write_model()
    content = (folder / "model.onnx").read_bytes()
    scores = [score["score"] for score in yaml.safe_load((folder / "model.yaml").read_text())["golden"]]
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest_of(content, scores), default_flow_style=True))
    assert load(folder, FEATURES).ref == "small@1"

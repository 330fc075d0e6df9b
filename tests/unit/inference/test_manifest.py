"""A manifest that says too little, too much or the wrong thing is refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.errors import Fatal
from app.inference.manifest import read_manifest, read_model_bytes
from tests.unit.inference.small_models import Change, WriteModel


def set_to(name: str, value: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        manifest[name] = value

    return change


def test_what_fits_is_read(write_model: WriteModel) -> None:
    folder = write_model()
    manifest = read_manifest(folder)
    assert manifest.ref == "small@1"
    assert manifest.inputs[0].features == ("amount", "weekend", "night")
    assert read_model_bytes(folder, manifest) == (folder / "model.onnx").read_bytes()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"no model in .*small/1: model\.yaml cannot be read \(No such file"):
        read_manifest(tmp_path / "small" / "1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [small\nversion: 1\n", "not YAML, line 2"),
        ("name: !!python/name:os.system ''\n", "not YAML, line 1"),
        ("\xff\xff", "not YAML"),
        ("", "the whole: Input should be an object"),
        ("- small\n", "the whole: Input should be an object"),
        ("~: small\n", "a value that no manifest holds"),
        ("name: &a [*a]\n", "a value that no manifest holds"),
        (f"version: {2**70}\n", "name: Field required"),
        ("# " + "x" * 1024 * 1024, "longer than 1,048,576 bytes"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(Fatal) as refused:
        read_manifest(tmp_path)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.pop("golden"), "golden: Field required"),
        (set_to("golden", []), "golden: Tuple should have at least 1 item"),
        (set_to("license", "MIT"), "license: Extra inputs are not permitted"),
        (set_to("version", "1"), "version: Input should be a valid integer"),
        (set_to("threshold", float("nan")), "threshold: Input should be a valid number"),
        (set_to("bytes", 2**40), "bytes: Input should be less than"),
        (set_to("inputs", []), "inputs: Tuple should have at least 1 item"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: Change, words: str, write_model: WriteModel) -> None:
    with pytest.raises(Fatal) as refused:
        read_manifest(write_model(change=change))
    assert words in str(refused.value)


@pytest.mark.parametrize("file", ["/etc/model.onnx", "../1/model.onnx", "a/b.onnx", "..onnx", ".onnx", "model.pkl"])
def test_a_file_outside_the_folder_is_refused(file: str, write_model: WriteModel) -> None:
    with pytest.raises(Fatal, match="file: String should match"):
        read_manifest(write_model(change=set_to("file", file)))


def test_a_file_that_is_not_there_is_named(write_model: WriteModel) -> None:
    folder = write_model()
    manifest = read_manifest(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(Fatal, match=r"model\.onnx, which model\.yaml names, cannot be read \(No such file"):
        read_model_bytes(folder, manifest)


@pytest.mark.parametrize("change", ["one bit", "shorter", "longer", "empty"])
def test_another_file_than_the_described_one_is_refused_with_both_digests(change: str, write_model: WriteModel) -> None:
    folder = write_model()
    manifest = read_manifest(folder)
    right = (folder / "model.onnx").read_bytes()
    flipped = right[:-1] + bytes([right[-1] ^ 1])
    wrong = {"one bit": flipped, "shorter": right[:-1], "longer": right + b"\x00", "empty": b""}[change]
    (folder / "model.onnx").write_bytes(wrong)
    with pytest.raises(Fatal) as refused:
        read_model_bytes(folder, manifest)
    assert f"{len(right):,} bytes with sha256 {manifest.sha256}" in str(refused.value)
    assert ("the file is longer" if change == "longer" else f"the file has {len(wrong):,}") in str(refused.value)

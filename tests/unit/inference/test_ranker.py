"""What may rank, what is refused at start, and that an answer does not depend on its company."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Fatal
from app.inference.load import load
from app.inference.manifest import RankerManifest, read_manifest
from app.inference.model import Model, load_model
from app.inference.ranker import Ranker, load_ranker
from tests.unit.inference.small_models import FEATURES as COLUMNS
from tests.unit.inference.small_models import WriteModel
from tests.unit.inference.small_rankers import (
    FEATURES,
    ITEMS,
    by_hand,
    not_a_number,
    sway_of_number,
    sway_of_the_first,
    swayed,
    write_ranker,
)

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    return load_ranker(write_ranker(tmp_path_factory.mktemp("models")), FEATURES)


def refusal(folder: Path, features: tuple[str, ...] = FEATURES) -> str:
    with pytest.raises(Fatal) as refused:
        load(folder, features)
    return str(refused.value)


def test_a_ranker_says_what_it_is(ranker: Ranker) -> None:
    assert (ranker.name, ranker.version, ranker.ref) == ("small", 1, "small@1")
    assert ranker.items == ITEMS


histories = st.lists(st.sampled_from((*ITEMS, "new", "")), max_size=60)


@given(st.lists(histories, min_size=1, max_size=5))
def test_whatever_the_histories_the_answers_are_those_by_hand(ranker: Ranker, asked: list[list[str]]) -> None:
    for history, found in zip(asked, ranker.rank(asked), strict=True):
        assert (found.items, found.scores) == by_hand(history)
        assert found.unknown == sum(item not in ITEMS for item in history)
        assert found.defaulted is not any(item in ITEMS for item in history)
        assert set(found.items).isdisjoint(history)


def test_order_and_repeats_do_not_matter(ranker: Ranker) -> None:
    assert ranker.rank([["i1", "i2"], ["i2", "i1", "i2"]])[0] == ranker.rank([["i2", "i1", "i2"]])[0]


def test_where_few_items_are_left_few_are_given_and_where_none_is_none(ranker: Ranker) -> None:
    few, none = ranker.rank([ITEMS[:37], ITEMS])
    assert set(few.items) == {"i37", "i38", "i39"}
    assert (none.items, none.scores, none.defaulted) == ((), (), False)


def test_no_histories_give_no_answers(ranker: Ranker) -> None:
    assert ranker.rank([]) == []


def test_an_answer_is_the_same_in_every_company(ranker: Ranker) -> None:
    draw = random.Random(1)
    asked = [draw.sample(ITEMS, draw.choice([1, 2, 5, 30])) for _ in range(600)]
    together = ranker.rank(asked)
    for size in (1, 2, 3, 7, 64, 511):
        assert [one for i in range(0, 600, size) for one in ranker.rank(asked[i : i + size])] == together


def test_a_model_of_either_kind_is_loaded_by_its_manifest(write_model: WriteModel, tmp_path: Path) -> None:
    assert isinstance(load(write_model(), COLUMNS), Model)
    folder = write_ranker(tmp_path / "other")
    assert isinstance(load(folder, FEATURES), Ranker)
    assert isinstance(read_manifest(folder), RankerManifest)


def test_a_model_of_the_other_kind_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="small@1 is of the kind ranker"):
        load_model(write_ranker(tmp_path / "other"), FEATURES)
    with pytest.raises(Fatal, match="small@1 is of the kind score"):
        load_ranker(write_model(), COLUMNS)


def put(*path: Any, value: Any) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("kind", value="oracle"), "its kind is none of score and ranker"),
        (put("kind", value=["ranker"]), "its kind is none of score and ranker"),
        (lambda manifest: manifest.pop("items"), "items: Field required"),
        (lambda manifest: manifest["outputs"].pop(), "outputs: Tuple should have at least 2 items"),
        (put("items", "file", value="../items.txt"), "items.file: String should match"),
        (put("items", "sha256", value="0" * 64), "items.txt is not the file that model.yaml describes"),
        (put("items", "count", value=41), "the manifest says 41, and it has 40 lines, 40 different items"),
        (put("outputs", 0, "columns", value=9), "its manifest says items tensor(int64) [N, 9]"),
        (put("inputs", 0, "name", value="h"), "its manifest says h tensor(int64) [N, N]"),
        (put("golden", 2, "items", 0, value="i0"), "golden history 3 of 5 should give i0 ("),
        (put("golden", 0, "scores", 9, value=0.5), "golden history 1 of 5"),
        (put("golden", 4, "items", value=[]), "should give nothing and gives"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_what_is_wrong(change: Change, words: str, tmp_path: Path) -> None:
    assert words in refusal(write_ranker(tmp_path, change=change))


@pytest.mark.parametrize("items", [b"i1\n" * 40, b"\xff\n" * 40, b"\n" * 40, b""], ids=["twice", "bytes", "no", "none"])
def test_a_list_that_is_none_is_refused_though_its_checksum_fits(items: bytes, tmp_path: Path) -> None:
    said = refusal(write_ranker(tmp_path, items=items or b"i0\n"))
    assert "is no list of items" in said


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write_ranker(tmp_path)
    (folder / "items.txt").unlink()
    assert "items.txt, which model.yaml names, cannot be read (No such file" in refusal(folder)


def test_other_inputs_than_the_pipelines_are_refused(tmp_path: Path) -> None:
    assert "input 1 is history in the manifest and basket in the pipeline" in refusal(
        write_ranker(tmp_path), ("basket",)
    )


@pytest.mark.parametrize(
    ("count", "change"),
    [
        (50, put("items", "count", value=50)),  # more than the graph has weights for
        (40, put("inputs", 0, "pad", value=42)),
        (40, put("inputs", 0, "fallback", value=42)),
    ],
    ids=["list", "pad", "fallback"],
)
def test_indexes_that_the_graph_does_not_have_are_refused(count: int, change: Change, tmp_path: Path) -> None:
    items = "".join(f"i{number}\n" for number in range(count)).encode()
    assert "cannot rank for what its manifest says" in refusal(write_ranker(tmp_path, items=items, change=change))


def test_a_list_shorter_than_the_graph_is_refused(tmp_path: Path) -> None:
    """The graph would give an item that has no name."""
    items = "".join(f"i{number}\n" for number in range(25)).encode()

    def change(manifest: dict[str, Any]) -> None:
        manifest["items"]["count"] = 25
        manifest["golden"] = [{"history": [], "items": [], "scores": []}]

    assert "cannot rank for what its manifest says" in refusal(write_ranker(tmp_path, items=items, change=change))


@pytest.mark.parametrize(
    "nodes",
    [*map(sway_of_number, (2, 3, 64, 512)), sway_of_the_first()],
    ids=["two rows", "three rows", "64 rows", "512 rows", "the first of many"],
)
def test_a_ranker_whose_bits_depend_on_the_batch_is_refused(nodes: Any, tmp_path: Path) -> None:
    assert "ranks for the same history differently in other company" in refusal(write_ranker(tmp_path, swayed(nodes)))


def test_a_ranking_with_no_number_is_an_error_of_its_record(tmp_path: Path) -> None:
    folder = write_ranker(tmp_path, swayed(not_a_number()))
    assert "cannot rank for what its manifest says" in refusal(folder)

"""`new`, `models add`, and what `run` refuses of a pipeline that does not fit its model or its contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.test_main import ran

SERVERS = ("--kafka", "127.0.0.1:1", "--redis", "redis://127.0.0.1:1")
OWN = "shop/pipeline.py:pipeline"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("KAFKA", "REDIS", "SETTINGS", "MODELS"):
        monkeypatch.delenv(f"STREAMINFER_{name}", raising=False)
    monkeypatch.setenv("STREAMINFER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def spoiled(old: str, new: str, *, file: str = "pipeline.py") -> str:
    """What `run` says of a new pipeline in which a part of a file was replaced."""
    assert ran("new", "shop", "--json")[0] == 0
    path = Path("shop") / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    code, told, why = ran("run", OWN, *SERVERS)
    assert (code, told) == (2, "")
    assert why.count("\n") == 1
    return why.strip()


def test_new_tells_what_it_wrote_and_what_to_do_next() -> None:
    code, told, why = ran("new", "shop")

    assert (code, why) == (0, "")
    assert "  streaminfer run shop/pipeline.py:pipeline --until-end\n" in told
    assert Path("shop/test_pipeline.py").is_file()
    code, told, _ = ran("new", "other", "--folder", "deep/other", "--json")
    assert json.loads(told)["pipeline"] == "deep/other/pipeline.py:pipeline"


def test_new_never_writes_over_anything() -> None:
    assert ran("new", "shop")[0] == 0
    code, told, why = ran("new", "shop")

    assert (code, told) == (2, "")
    assert why == "shop is there already, and nothing is written over: take another --folder.\n"


def test_new_where_nothing_can_be_written_is_wrong_use() -> None:
    Path("file").write_text("")
    assert ran("new", "shop", "--folder", "file/shop")[0] == 2


# -- what does not fit is told with the line, before anything is connected to ------------------------------------------


def test_features_that_the_model_does_not_take_are_refused_with_the_line() -> None:
    assert spoiled('"1h": HOUR_MS, ', "").startswith(
        "shop/pipeline.py:17: Model shop@1 does not take what the pipeline gives: input 2 is customer_count_1h in the "
        "manifest and customer_count_1d in the pipeline"
    )


def test_features_that_the_answers_do_not_list_are_refused_with_the_line() -> None:
    why = spoiled("    amount: Amount\n    customer_count_1h: Count\n", "    amount: Amount\n", file="schema.py")
    assert why.startswith("shop/pipeline.py:17: The answers on shop.scored list the features amount, customer_mean_1h,")


def test_a_model_that_is_not_there_is_refused_with_the_line() -> None:
    assert spoiled('model="shop"', 'model="none"').startswith(
        "shop/pipeline.py:17: There is no version of a model none: "
    )


def test_a_field_that_the_input_has_not_is_refused_with_the_line() -> None:
    assert spoiled('amount="amount_cents"', 'amount="price"').startswith(
        "shop/pipeline.py:17: The pipeline shop needs the field 'price' of shop.orders, whose contract has order_id,"
    )


def test_a_list_without_a_largest_length_is_refused_with_the_line() -> None:
    why = spoiled("    order_id: Id\n", "    order_id: Id\n    items: list[str]\n", file="schema.py")
    assert why.startswith("shop/pipeline.py:17: In a contract, the field Order.items needs a max_length")


# -- a model of one's own ----------------------------------------------------------------------------------------------


def test_a_model_becomes_the_next_version_beside_the_file() -> None:
    ran("new", "shop")
    argv = ("--file", "shop/models/shop/1/model.onnx", "--events", "shop/orders.jsonl", "--threshold", "0.25", "--json")
    code, told, why = ran("models", "add", OWN, *argv)

    assert (code, why) == (0, "")
    assert json.loads(told) | {"folder": ""} == {"model": "shop", "version": 2, "folder": "", "golden_rows": 300}
    assert "threshold: 0.25" in Path("shop/models/shop/2/model.yaml").read_text()


@pytest.mark.parametrize(
    ("pipeline", "file", "events", "said"),
    [
        (OWN, "nothing.onnx", "shop/orders.jsonl", "nothing.onnx cannot be read: No such file or directory."),
        (OWN, "shop/orders.jsonl", "shop/orders.jsonl", "does not run this model: "),
        (OWN, "shop/models/shop/1/model.onnx", "nothing.jsonl", "nothing.jsonl cannot be read: "),
        (OWN, "shop/models/shop/1/model.onnx", "shop/schema.py", "There is no event of shop.orders among them"),
        ("fraud-labels", "x", "y", "The pipeline fraud-labels scores nothing: it has no model."),
    ],
)
def test_what_cannot_be_a_model_is_refused_and_nothing_is_left(
    pipeline: str, file: str, events: str, said: str
) -> None:
    ran("new", "shop")
    code, told, why = ran("models", "add", pipeline, "--file", file, "--events", events)

    assert (code, told) == (2, ""), why
    assert said in why
    assert [path.name for path in Path("shop/models/shop").iterdir()] == ["1"]

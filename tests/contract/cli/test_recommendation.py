"""MovieLens-100k through the commands: sent, recommended for, audited, read; answers as plain numpy has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.local.leash import Leash
from app.local.stack import Stack
from tests.contract.cli.shell import Shell
from tests.interactions import MODELS, needs_movielens

pytestmark = [pytest.mark.broker, pytest.mark.redis, needs_movielens]

SENT = 4_000
VERSION = MODELS / "recommendation" / "1"


@pytest.fixture(scope="module")
def shell(new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Shell]:
    stack = new_stack()
    stack.up(leash=leash)
    shell = Shell(stack, leash)
    shell.run("topics", "apply", "recommendation")
    yield shell
    stack.down()


@pytest.fixture(scope="module")
def answers(shell: Shell) -> list[dict[str, Any]]:
    """What the topic says of the first interactions, sent in two goes and with something else between them."""
    shell.run("produce", "interactions", "--simulate", "--count", "1500")
    shell.run("produce", "interactions", "--raw", stdin=b"not json\n")
    shell.run("produce", "interactions", "--simulate", "--count", str(SENT - 1500))
    shell.run("run", "recommendation", "--until-end")
    return shell.records("recommendations")


def test_the_first_of_the_recording_are_there_once(shell: Shell, answers: list[dict[str, Any]]) -> None:
    told = shell.json("audit", "recommendation")
    assert (told["inputs"], told["predictions"], told["dead_letters"]) == (SENT + 1, SENT, 1)
    assert (told["missing"], told["duplicated"], told["unexplained"]) == (0, 0, 0)
    assert sorted(int(answer["value"]["event_id"]) for answer in answers) == list(range(SENT))


def test_every_answer_is_what_plain_numpy_makes_of_the_log(shell: Shell, answers: list[dict[str, Any]]) -> None:
    (table,) = (t for t in onnx.load(VERSION / "model.onnx").graph.initializer if t.name == "weights")
    weights = numpy_helper.to_array(table).astype(np.float64)
    items = (VERSION / "items.txt").read_text().split()
    index = {item: place for place, item in enumerate(items)}
    log = [record["value"] for record in shell.records("interactions") if isinstance(record["value"], dict)]
    met: dict[str, list[int]] = defaultdict(list)
    wanted = {}
    for event in sorted(log, key=lambda event: int(event["interaction_id"])):
        mine = met[event["user_id"]]
        if event["item_id"] in index:
            mine.append(index[event["item_id"]])
        scores = weights[mine].sum(axis=0) if mine else weights[len(items) + 1]
        scores[mine] = -np.inf
        best = np.argsort(-scores, kind="stable")[:10]
        wanted[event["interaction_id"]] = [(items[i], round(float(scores[i]), 9)) for i in best]
    found = {
        answer["value"]["event_id"]: [(item["item_id"], item["score"]) for item in answer["value"]["items"]]
        for answer in answers
    }
    assert found == wanted


def test_what_people_look_at_knows_recommendations_too(shell: Shell, answers: list[dict[str, Any]]) -> None:
    behind = shell.json("lag", "recommendation")
    assert (behind["pipeline"], behind["lag"]) == ("recommendation", 0)
    user = answers[-1]["key"]
    state = shell.json("features", "get", "history", user)
    assert 1 <= state["state"]["items"] <= 500
    assert answers[-1]["value"]["model"] == {"name": "recommendation", "version": 1}
    assert shell.run("tail", "recommendations", "--until-end", "--from", "beginning", "--limit", "3")[0]


def test_the_recording_has_one_seed_and_a_last_day(shell: Shell) -> None:
    _, err = shell.run("produce", "interactions", "--simulate", "--seed", "1", code=2)
    assert "recorded and not drawn" in err


def test_a_model_folder_without_the_data_is_told_what_to_run(shell: Shell, tmp_path: Any) -> None:
    shell.environment["STREAMINFER_MODELS"] = str(tmp_path)
    try:
        _, err = shell.run("produce", "interactions", "--simulate", code=3)
        assert "ops/setup fetches it" in err
    finally:
        del shell.environment["STREAMINFER_MODELS"]

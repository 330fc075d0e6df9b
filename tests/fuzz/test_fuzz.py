"""Each target takes its corpus, and some thousands of mutations of it that are the same in every run."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Fatal
from app.inference.apart import apart
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, seeds
from tests.unit.inference.small_models import graph, mean_of_row

ROUNDS = {"settings": 250, "environment": 250, "manifest": 300}
MANY = 5000
BATCHES, FILES = 4, 250


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_taken(name: str) -> None:
    for content in seeds(name):
        TARGETS[name](content)


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_that_are_a_little_off_are_taken(name: str) -> None:
    corpus, draw = seeds(name), random.Random(7)
    for _ in range(ROUNDS.get(name, MANY)):
        content = mutated(draw, corpus)
        try:
            TARGETS[name](content)
        except Exception as error:
            error.add_note(f"by {content!r}")
            raise


@pytest.mark.parametrize("name", TARGETS)
@given(st.binary(max_size=400))
@settings(max_examples=100)
def test_bytes_of_any_kind_are_taken(name: str, content: bytes) -> None:
    TARGETS[name](content)


def test_model_files_that_are_a_little_off_end_in_a_verdict() -> None:
    """In a process of its own, which may crash: that is a verdict, too, and it harms nobody here."""
    corpus, draw = [graph(mean_of_row()), graph(mean_of_row("p"))], random.Random(7)
    tried = 0
    for _ in range(BATCHES):
        files = [base64.b64encode(mutated(draw, corpus)).decode() for _ in range(FILES)]
        try:
            found = apart("tests.fuzz.targets:models", {"contents": files}, what="One of them", size=0)
        except Fatal as error:
            assert "it must not serve" in str(error)  # noqa: PT017 - either is right
        else:
            assert found["opened"] < FILES
            tried += found["tried"]
    assert tried, "no batch came to its end"

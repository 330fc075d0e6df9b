"""Which version scores: a version that somebody adds changes nothing by itself where the pipeline declares one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import Fatal, Refused
from app.inference.serving import pinned, serving
from app.pipelines.fraud import FRAUD, FRAUD_LABELS
from app.settings import Settings


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for version in ("1", "2", "10"):
        (tmp_path / "fraud" / version).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def settings(models: Path) -> Settings:
    return Settings(kafka="k:1", redis="redis://r:1", models=models)


def test_a_version_that_was_added_does_not_score_where_another_is_declared(models: Path) -> None:
    assert FRAUD.model == "fraud@1"
    assert serving(FRAUD, models, {}) == models / "fraud" / "1"


def test_without_a_declared_version_the_newest_scores(models: Path) -> None:
    assert serving(replace(FRAUD, model="fraud"), models, {}) == models / "fraud" / "10"


def test_what_the_settings_say_comes_before_what_is_declared(models: Path) -> None:
    assert serving(FRAUD, models, {"fraud": 2, "other": 7}) == models / "fraud" / "2"


def test_a_flag_comes_before_the_settings(settings: Settings) -> None:
    told = settings.model_copy(update={"versions": {"fraud": 10, "other": 7}})
    assert pinned(told, FRAUD, "fraud@2").versions == {"fraud": 2, "other": 7}
    assert pinned(told, FRAUD, None) is told


def test_a_version_that_is_not_there_is_refused_with_those_that_are(models: Path) -> None:
    with pytest.raises(Fatal, match=r"There is no model fraud@3; there is fraud@1, fraud@2, fraud@10\."):
        serving(FRAUD, models, {"fraud": 3})


def test_a_flag_that_names_a_version_that_is_not_there_is_wrong_use(settings: Settings) -> None:
    with pytest.raises(Refused, match=r"There is no model fraud@3; there is fraud@1, fraud@2, fraud@10\.") as refused:
        pinned(settings, FRAUD, "fraud@3")
    assert refused.value.exit_code == 2


def test_a_pipeline_that_scores_nothing_has_no_version(models: Path) -> None:
    with pytest.raises(Refused, match="fraud-labels scores nothing"):
        serving(FRAUD_LABELS, models, {})


def test_another_pipeline_s_model_is_refused(settings: Settings) -> None:
    with pytest.raises(Refused, match="recommendation@1 cannot score fraud, which is scored by fraud"):
        pinned(settings, FRAUD, "recommendation@1")
    with pytest.raises(Refused, match="fraud-labels scores nothing"):
        pinned(settings, FRAUD_LABELS, "fraud@1")


@pytest.mark.parametrize("ref", ["", "fraud", "fraud@", "@2", "fraud@0", "fraud@02", "fraud@x", "../x@1", "fraud@1\n"])
def test_what_names_no_version_is_refused(settings: Settings, ref: str) -> None:
    with pytest.raises(Refused, match="NAME@VERSION"):
        pinned(settings, FRAUD, ref)

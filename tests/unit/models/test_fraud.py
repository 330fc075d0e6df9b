"""The fraud models that are shipped: trained as they say, as good as published, and made again bit by bit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import yaml

from app.inference.manifest import Manifest, read_manifest
from app.inference.model import Model, load_model, open_session
from app.simulate.offline import FEATURES, Floats, feature_matrix
from app.simulate.payments import Payments
from models.fraud.evaluation import Measures, measure, split
from models.fraud.export import to_onnx
from models.fraud.train import OURS, RECIPES, Data, Recipe, Written, train

MODELS = Path(__file__).parents[3] / "models"


TRAINED = {1: [67_240, 598], 2: [267_946, 2_367]}  # payments and frauds


@pytest.fixture(scope="module", params=RECIPES.values(), ids=lambda recipe: f"fraud@{recipe.version}")
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made: Recipe = request.param
    return made


@pytest.fixture(scope="module")
def model(recipe: Recipe) -> Model:
    return load_model(MODELS / "fraud" / str(recipe.version), FEATURES)


@pytest.fixture(scope="module")
def written(payments: Payments, features: dict[str, Floats], recipe: Recipe) -> Written:
    return train(Data(payments, features), recipe)


def test_the_test_week_is_the_published_one(payments: Payments, model: Model, recipe: Recipe) -> None:
    weeks = split(payments, weeks=recipe.weeks)
    counts = [len(weeks.train), payments.fraud[weeks.train].sum(), len(weeks.test), payments.fraud[weeks.test].sum()]
    assert counts == [*TRAINED[recipe.version], 58_264, 385]
    assert np.array_equal(weeks.test, split(payments).test)
    assert payments.day[weeks.train].max() < payments.day[weeks.test].min() - 6
    said = model.manifest.training
    assert [said.train_rows, said.train_frauds, said.test_rows, said.test_frauds] == counts


def test_the_measures_are_the_manifests_and_no_worse_than_published(
    payments: Payments, features: dict[str, Floats], model: Model
) -> None:
    rows = split(payments).test
    found = asdict(measure(payments, rows, scores=model.score(feature_matrix(features, rows))))
    said, published, *before = (model.manifest.metrics[who].model_dump() for who in model.manifest.metrics)
    assert found == pytest.approx(said, abs=5e-4)
    assert published == {"auc": 0.862, "average_precision": 0.639, "card_precision_100": 0.273}
    for name, value in published.items():
        assert found[name] >= value
    assert before == ([] if model.version == 1 else [first_measures()])


def first_measures() -> dict[str, float]:
    """What version 1 says of itself."""
    said: dict[str, float] = read_manifest(MODELS / "fraud" / "1").metrics[OURS].model_dump()
    return said


def test_a_card_that_was_found_is_not_looked_at_again() -> None:
    """Card 1 is compromised on both days, card 2 on the second; 100 more cards are honest."""
    cards = [1, 1, *range(10, 110), 1, 2, *range(10, 110)]
    seconds = [0] * 102 + [86_400] * 102
    scenario = [1, 0, *[0] * 100, 1, 1, *[0] * 100]
    scores = np.array([0.9, 0.1, *[0.5] * 100, 0.9, 0.8, *[0.5] * 100])
    payments = Payments(*(np.array(column, np.int64) for column in (seconds, cards, cards, cards, scenario)))
    judged = measure(payments, np.arange(204), scores=scores)
    assert judged.card_precision_100 == (0.01 + 0.01) / 2


def test_a_score_that_ranks_perfectly_is_judged_perfect() -> None:
    columns = ([0] * 4, [1, 2, 3, 4], [0] * 4, [0] * 4, [0, 0, 1, 2])
    payments = Payments(*(np.array(column, np.int64) for column in columns))
    judged = measure(payments, np.arange(4), scores=np.array([0.1, 0.2, 0.8, 0.9]))
    assert judged == Measures(auc=1.0, average_precision=1.0, card_precision_100=0.02)


def test_training_again_writes_the_same_bytes(
    written: Written, payments: Payments, features: dict[str, Floats], recipe: Recipe
) -> None:
    assert train(Data(payments, features), recipe) == written


def test_what_is_shipped_is_what_training_writes(written: Written, model: Model) -> None:
    """In numbers, not in bytes: another processor may round the last bit of a leaf in another way."""
    made = Manifest.model_validate(yaml.safe_load(written.manifest), strict=False)
    shipped = model.manifest
    assert made.training == shipped.training
    assert made.metrics == shipped.metrics
    assert made.threshold == shipped.threshold
    assert made.inputs == shipped.inputs
    assert [row.features for row in made.golden] == [row.features for row in shipped.golden]


def test_what_training_writes_can_be_served(written: Written, tmp_path: Path, recipe: Recipe) -> None:
    folder = tmp_path / str(recipe.version)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(written.onnx)
    (folder / "model.yaml").write_bytes(written.manifest)
    assert load_model(folder, FEATURES).ref == read_manifest(folder).ref == f"fraud@{recipe.version}"


def test_onnx_takes_every_branch_that_lightgbm_takes(payments: Payments, features: dict[str, Floats]) -> None:
    """Fitted on values that lie as close together as float32 allows, so that a threshold has no room to be rounded."""
    values = np.nextafter(np.float32(1), np.float32(2)) - np.float32(1)
    column = (np.float32(1) + np.arange(4_000, dtype=np.float32) * values).astype(np.float32)
    matrix = np.stack([column, column[::-1]], axis=1)
    outcome = np.random.default_rng(3).random(len(column)) < np.linspace(0, 1, len(column))
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "max_bin": 4_000, "min_data_in_bin": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, outcome.astype(float)), num_boost_round=50)
    session = open_session(to_onnx(booster, name="close").SerializeToString())
    found = session.run(None, {"features": matrix})[0][:, 1]
    assert np.abs(found - booster.predict(matrix, num_threads=1)).max() < 1e-6

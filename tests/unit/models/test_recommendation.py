"""The recommendation model: trained on the published split, as good as published, and made again bit by bit."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.errors import Refused, Unavailable
from app.inference.ranker import Ranker, load_ranker
from app.pipelines.recommendation import RECOMMENDATION
from app.simulate.interactions import FILE, FOLDER, Interactions, parse, read_interactions
from models.recommendation import fetch as fetching
from models.recommendation import train as training
from models.recommendation.evaluation import items_by_user, ndcg_at_10, split
from models.recommendation.export import on_grid
from models.recommendation.fetch import fetch
from models.recommendation.train import Written, fit, is_written, recommended, set_up, train, write
from tests.interactions import MODELS, needs_movielens


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return read_interactions(MODELS)


@pytest.fixture(scope="module")
def written(interactions: Interactions) -> Written:
    return train(interactions)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return load_ranker(MODELS / "recommendation" / "1", RECOMMENDATION.features)


@needs_movielens
def test_the_split_is_the_published_one(interactions: Interactions) -> None:
    parts = split(interactions)
    assert (len(parts.train), len(parts.test)) == (74_992, 25_008)
    trained, tested = items_by_user(parts.train), items_by_user(parts.test)
    assert len(trained) == len(tested) == 943
    for user, items in items_by_user(interactions).items():
        assert sorted(trained[user] + tested[user]) == sorted(items)
        assert len(trained[user]) == round(len(items) * 0.75)


@needs_movielens
def test_the_measure_is_the_manifests_and_no_worse_than_published(interactions: Interactions, ranker: Ranker) -> None:
    parts = split(interactions)
    histories = items_by_user(parts.train)
    ranked = ranker.rank(list(histories.values()))
    found = ndcg_at_10(dict(zip(histories, (one.items for one in ranked), strict=True)), parts.test)
    said = {who: metrics.ndcg_10 for who, metrics in ranker.manifest.metrics.items()}
    assert found == pytest.approx(said["this model, whole histories"], abs=5e-5)
    assert found >= said["BiVAE, published"] == 0.4751
    assert not any(one.defaulted or one.unknown for one in ranked)


@needs_movielens
def test_the_graph_ranks_as_plain_numpy_does(interactions: Interactions, ranker: Ranker) -> None:
    """But for items whose scores differ by less than the grid's step."""
    parts = split(interactions)
    histories = items_by_user(parts.train)
    plain = recommended(fit(parts.train, ranker.manifest.training.parameters["lambda"]), parts.train)
    ranked = dict(zip(histories, ranker.rank(list(histories.values())), strict=True))
    same = [tuple(plain[user]) == ranked[user].items for user in histories]
    assert sum(same) >= 0.98 * len(same)


@needs_movielens
def test_training_again_writes_the_same_bytes(written: Written, interactions: Interactions) -> None:
    assert train(interactions) == written


@needs_movielens
def test_what_training_writes_is_what_is_served(written: Written, ranker: Ranker) -> None:
    assert hashlib.sha256(written.items).hexdigest() == ranker.manifest.items.sha256
    assert written.ndcg_10 == pytest.approx(ranker.manifest.metrics["this model, whole histories"].ndcg_10, abs=5e-5)


@needs_movielens
def test_a_version_is_whole_or_is_none(written: Written, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    assert not is_written(folder)
    write(written, folder)
    assert is_written(folder)
    write(written, folder)  # over another one
    assert sorted(file.name for file in folder.iterdir()) == ["items.txt", "model.onnx", "model.yaml"]
    (folder / "items.txt").write_text("1\n")
    assert not is_written(folder)


@needs_movielens
def test_a_version_of_another_recipe_is_written_again(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(written, tmp_path)
    monkeypatch.setattr(training, "RECIPE", training.RECIPE + 1)
    assert not is_written(tmp_path)


def test_sums_of_weights_on_the_grid_are_exact_in_any_order() -> None:
    random = np.random.default_rng(1)
    weights, popularity, bits = on_grid(random.normal(0, 0.05, (400, 400)), random.random(400))
    narrow = weights.astype(np.float32)
    assert (narrow == weights).all()
    exact = weights.sum(axis=0)
    for _ in range(20):
        order = random.permutation(400)
        assert (np.add.accumulate(narrow[order], axis=0, dtype=np.float32)[-1] == exact).all()
    assert (np.abs(popularity * 2**bits) <= 2**24).all()


# -- the measure -------------------------------------------------------------------------------------------------------


def met_later(*pairs: tuple[int, int]) -> Interactions:
    users, items = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    return Interactions(users, items, np.arange(len(pairs)))


def test_whoever_is_recommended_all_they_met_later_gains_one() -> None:
    assert ndcg_at_10({"1": ["7", "8"], "2": ["9"]}, met_later((1, 7), (1, 8), (2, 9))) == 1.0


def test_a_hit_further_down_gains_less_and_none_gains_nothing() -> None:
    assert ndcg_at_10({"1": ["5", "7"]}, met_later((1, 7))) == pytest.approx(1 / np.log2(3))
    assert ndcg_at_10({"1": ["5"] * 10 + ["7"]}, met_later((1, 7))) == 0.0
    assert ndcg_at_10({}, met_later((1, 7))) == 0.0
    assert ndcg_at_10({"1": ["7"]}, met_later((1, 7), (2, 7))) == 0.5


# -- the data ----------------------------------------------------------------------------------------------------------


def test_data_that_is_not_there_is_refused_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"is not here .*No such file.*ops/setup fetches it") as refusal:
        read_interactions(tmp_path)
    assert refusal.value.exit_code == 3


def test_data_that_is_another_is_refused() -> None:
    with pytest.raises(Refused, match="is not the file that was published"):
        parse(b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t4\n")


def stand_in(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    monkeypatch.setattr(fetching, "_download", lambda _: wheel)


def test_a_package_with_another_file_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(fetching.MEMBER, "not the data")
    stand_in(monkeypatch, wheel)
    with pytest.raises(Refused, match="is not the file that was published"):
        fetch(tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_a_package_that_is_none_is_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(content)
    stand_in(monkeypatch, wheel)
    with pytest.raises(Refused, match="does not hold recbole"):
        fetch(tmp_path)


@needs_movielens
def test_data_that_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_download", lambda _: pytest.fail("it was fetched"))
    fetch(MODELS / "recommendation")
    assert (MODELS / "recommendation" / FOLDER / FILE).is_file()


def test_without_the_package_setup_says_so_in_one_sentence_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> None:
        raise Unavailable("The package cannot be had (no route).")

    monkeypatch.setattr(training, "fetch", refuse)
    monkeypatch.setattr(sys, "argv", ["train", "--setup", "--to", str(tmp_path / "1")])
    assert training.main() == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("The pipeline recommendation and `produce interactions --simulate` will not work until")
    assert said.endswith("all else does. The package cannot be had (no route).")
    assert set_up(tmp_path / "1") == "The package cannot be had (no route)."


def test_a_package_index_that_is_not_there_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asks a real pip, which is told to look where nothing is."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"The package recbole==1\.2\.1 cannot be had \(ERROR: "):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_never_imported() -> None:
    program = "import sys, models.recommendation.train; print('recbole' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=MODELS.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"

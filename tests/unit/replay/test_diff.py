"""A difference of hand-made pairs: each input is of one kind, and every figure is what a hand would count."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.replay.diff import Kind, of_pairs
from app.replay.diff_join import Pair
from app.replay.diff_scores import BOUNDS, STEPS, Scores, bin_of
from app.replay.diff_segments import declared
from app.replay.diff_told import as_object
from tests.unit.replay.differing import MONDAY_NOON_MS, answer, asked, found, pairs, ranking


def only_kind(old: bytes, new: bytes, *, promised: bool = True) -> Kind:
    (kind,) = of_pairs(asked(promised=promised), pairs((old, new))).kinds
    return kind


def test_the_same_bytes_are_identical() -> None:
    assert only_kind(answer(0.1), answer(0.1)) == Kind.IDENTICAL


def test_another_model_s_score_of_the_same_features_is_by_the_model() -> None:
    assert only_kind(answer(0.1), answer(0.2, version=2)) == Kind.BY_MODEL


def test_what_differs_is_named_but_for_the_model_and_the_id() -> None:
    assert found((answer(0.1), answer(0.1, version=2)), (answer(0.1), answer(0.2, version=2))).fields == {"score": 1}
    assert found((answer(0.1), answer(0.1) + b" ")).fields == {"value": 1}


def test_a_change_that_a_mark_explains_is_expected_whichever_side_bears_it() -> None:
    assert only_kind(answer(0.1, marks=["behind"]), answer(0.2)) == Kind.EXPECTED
    assert only_kind(answer(0.1), answer(0.2, marks=["late"])) == Kind.EXPECTED


def test_a_change_of_the_same_model_without_a_mark_is_unexpected() -> None:
    result = found((answer(0.1), answer(0.2)))
    assert result.kinds == {Kind.UNEXPECTED: 1}
    assert result.broken == 1
    assert result.examples[Kind.UNEXPECTED] == ["payments/0/0: score"]


def test_other_features_are_unexpected_though_another_model_answered() -> None:
    """The same events give the same features, whatever the model."""
    changed = answer(0.1, version=2, features={"amount": 1.0})
    assert only_kind(answer(0.1), changed) == Kind.UNEXPECTED


def test_where_lookups_are_read_as_they_are_now_no_change_is_unexpected() -> None:
    assert only_kind(answer(0.1), answer(0.2), promised=False) == Kind.EXPECTED


def test_what_is_no_answer_is_compared_by_its_bytes() -> None:
    result = found((b"\xff", b"\xff"), (b"[]", b"\xff"), (b"{}", answer(0.1)), (b'{"score": "x"}', answer(0.1)))
    assert result.kinds[Kind.IDENTICAL] == 1
    assert result.both == 4
    assert result.scores is None


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (Pair((0, 0), answer(0.1)), Kind.MISSING_NEW),
        (Pair((0, 0), None, answer(0.1)), Kind.MISSING_OLD),
        (Pair((0, 0), answer(0.1), new_letter="no-score"), Kind.PREDICTION_TO_LETTER),
        (Pair((0, 0), None, answer(0.1), old_letter="bad-json"), Kind.LETTER_TO_PREDICTION),
        (Pair((0, 0), old_letter="bad-json", new_letter="bad-json"), Kind.LETTERS),
        (Pair((0, 0), old_letter="bad-json"), Kind.MISSING_NEW),
        (Pair((0, 0), new_letter="bad-json"), Kind.MISSING_OLD),
    ],
)
def test_an_input_with_a_prediction_on_one_side_at_most_is_of_one_kind(pair: Pair, kind: Kind) -> None:
    assert of_pairs(asked(), [pair]).kinds == {kind: 1}


def test_old_dead_letters_are_not_missed_where_only_predictions_are_answered_again() -> None:
    letter, prediction = Pair((0, 0), old_letter="bad-json"), Pair((0, 1), answer(0.1))
    result = of_pairs(asked(predictions_only=True), [letter, prediction])
    assert result.kinds == {Kind.LETTERS_LEFT: 1, Kind.MISSING_NEW: 1}


def test_what_another_model_changed_breaks_nothing_and_what_is_lost_does() -> None:
    fine = [Pair((0, 0), answer(0.1), answer(0.9, version=2)), Pair((0, 1), None, answer(0.1))]
    assert of_pairs(asked(), fine).broken == 0
    lost = [Pair((0, 2), answer(0.1)), Pair((0, 3), answer(0.1), new_letter="no-score")]
    assert of_pairs(asked(), [*fine, *lost]).broken == 2


def test_decisions_that_turned_are_counted_both_ways_with_their_money() -> None:
    result = found(
        (answer(0.4, features={"amount": 10.0}), answer(0.6, version=2, features={"amount": 10.0})),
        (answer(0.1, features={"amount": 2.5}), answer(0.7, version=2, features={"amount": 2.5})),
        (answer(0.9, features={"amount": 4.0}), answer(0.1, version=2, features={"amount": 4.0})),
        (answer(0.9), answer(0.8, version=2)),
    )
    assert result.scores is not None
    whole = result.scores.whole
    assert (whole.to_alert.count, whole.to_alert.money) == (2, 12.5)
    assert (whole.to_pass.count, whole.to_pass.money) == (1, 4.0)
    assert (whole.alerts_old, whole.alerts_new) == (2, 3)
    assert whole.mean_shift == pytest.approx((0.2 + 0.6 - 0.8 - 0.1) / 4)
    assert whole.mean_absolute == pytest.approx((0.2 + 0.6 + 0.8 + 0.1) / 4)


def test_a_decision_that_the_new_threshold_turns_for_the_old_score_is_told_apart() -> None:
    result = found(
        (answer(0.45), answer(0.46, version=2, threshold=0.4)),
        (answer(0.30), answer(0.46, version=2, threshold=0.4)),
    )
    assert result.scores is not None
    assert (result.scores.whole.to_alert.count, result.scores.whole.to_alert.by_threshold) == (2, 1)
    assert result.scores.thresholds == ({0.5}, {0.4})


def test_shifts_fall_into_bins_that_mirror_each_other() -> None:
    middle = len(STEPS)
    assert [bin_of(shift) for shift in (0.0, 0.0009, -0.0009)] == [middle] * 3
    for i, step in enumerate(STEPS):
        assert bin_of(step) == middle + i + 1
        assert bin_of(-step) == middle - i - 1
    assert (bin_of(1.0), bin_of(-1.0)) == (len(BOUNDS), 0)


def test_scores_fall_into_twenty_bins() -> None:
    result = found((answer(0.0), answer(1.0)), (answer(0.05), answer(0.999)))
    assert result.scores is not None
    assert (result.scores.old[0], result.scores.old[1], result.scores.new[19]) == (1, 1, 2)


def test_the_farthest_movers_come_first_with_the_features_that_differ() -> None:
    many = [(answer(0.5, event_id=str(i)), answer(0.5 + i / 100, version=2, event_id=str(i))) for i in range(30)]
    far = (answer(0.9), answer(0.1, marks=["behind"], features={"terminal_risk_7d": 0.5}))
    result = found(*many, far)
    assert result.scores is not None
    first, second, *rest = result.scores.movers()
    assert (first.source, first.old, first.new, first.key) == ((0, 30), 0.9, 0.1, "596")
    assert first.features == {"terminal_risk_7d": (0.0, 0.5)}
    assert (second.event_id, second.features) == ("29", {})
    assert len(rest) == 18


def test_of_two_that_moved_as_far_the_first_in_the_log_comes_first() -> None:
    scores = Scores(declared("fraud"))
    for offset in (*range(20, 60), *range(20)):
        scores.add((0, offset), "k", json.loads(answer(0.25)), json.loads(answer(0.75)))
    assert [mover.source[1] for mover in scores.movers()] == list(range(20))


@pytest.mark.parametrize(
    ("amount", "label"), [(9.99, "below 10"), (10.0, "10 to 50"), (219.99, "100 to 220"), (220.0, "220 and more")]
)
def test_payments_are_told_apart_by_amount(amount: float, label: str) -> None:
    both = answer(0.1, features={"amount": amount}), answer(0.2, features={"amount": amount})
    assert segment(*both, group="amount") == {label: 1}


@pytest.mark.parametrize(
    ("hours", "time_of_day", "day"),
    [
        (-5, "07-12", "Monday to Friday"),
        (-5.5, "night 00-06", "Monday to Friday"),
        (0, "07-12", "Monday to Friday"),
        (11.9, "19-23", "Monday to Friday"),
        (4 * 24 + 12, "night 00-06", "weekend"),
        (6 * 24 + 11.9, "19-23", "weekend"),
        (6 * 24 + 12, "night 00-06", "Monday to Friday"),
    ],
)
def test_answers_are_told_apart_by_time_of_day_and_weekend(hours: float, time_of_day: str, day: str) -> None:
    at = int(MONDAY_NOON_MS + hours * 3_600_000)
    both = answer(0.1, time_ms=at), answer(0.2, time_ms=at)
    assert segment(*both, group="time of day, UTC") == {time_of_day: 1}
    assert segment(*both, group="day, UTC") == {day: 1}


def segment(old: bytes, new: bytes, *, group: str) -> dict[str, int]:
    scores = found((old, new)).scores
    assert scores is not None
    return {label: part.count for label, part in scores.segments[group].items() if part.count}


def test_items_that_stayed_are_counted_and_the_order_is_told_apart() -> None:
    result = of_pairs(
        asked("recommendation"),
        pairs(
            (ranking("a", "b", "c", "d"), ranking("a", "b", "c", "d", version=2)),
            (ranking("a", "b", "c", "d"), ranking("b", "a", "c", "d", version=2)),
            (ranking("a", "b", "c", "d"), ranking("a", "x", "y", "z", version=2)),
            (ranking(), ranking(version=2)),
        ),
    )
    items = result.items
    assert items is not None
    assert items.stayed == [1, 1, 0, 0, 2]
    assert items.whole.mean_overlap == (1 + 1 + 0.25 + 1) / 4
    assert (items.whole.same_first, items.whole.same_order) == (3, 2)
    assert [one.left for one in items.movers()] == [1, 4]
    histories = items.segments["earlier answers to the same person"]
    assert (histories["first answer"].count, histories["1 to 9 before"].count) == (1, 3)


answers = st.builds(
    answer,
    st.floats(0, 1),
    version=st.integers(1, 3),
    threshold=st.floats(0, 1),
    marks=st.lists(st.sampled_from(["behind", "late", "stale"]), max_size=2),
)


@settings(max_examples=50)
@given(values=st.lists(st.one_of(answers, st.binary(max_size=20), st.builds(ranking, st.text(max_size=3)))))
def test_a_topic_compared_with_itself_is_identical_and_nothing_moved(values: list[bytes]) -> None:
    told = as_object(of_pairs(asked(), pairs(*((value, value) for value in values))))
    assert (told["inputs"], told["identical"], told["changed"], told["ok"]) == (len(values), len(values), 0, True)
    if (scores := told["scores"]) is not None:
        assert (scores["mean_absolute_shift"], scores["movers"]) == (0, [])
        assert scores["to_alert"]["count"] == scores["to_pass"]["count"] == 0
        assert scores["histograms"]["old"] == scores["histograms"]["new"]
    if (items := told["items"]) is not None:
        assert (items["mean_overlap"], items["same_order"], items["movers"]) == (1, items["count"], [])


@settings(max_examples=50)
@given(both=st.lists(st.tuples(answers, answers), max_size=30))
def test_every_input_is_of_one_kind_and_what_is_told_is_json(both: list[tuple[bytes, bytes]]) -> None:
    told: dict[str, Any] = json.loads(json.dumps(as_object(found(*both)), allow_nan=False))
    assert sum(told[kind.value] for kind in Kind) == told["inputs"] == len(both)
    if (scores := told["scores"]) is not None:
        assert sum(one["count"] for one in scores["shift_histogram"]) == scores["count"] == len(both)
        for parts in scores["segments"].values():
            assert sum(part["count"] for part in parts.values()) == len(both)

"""Each answer beside the one that the oracle gives to the same log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.oracle import folds, models
from tests.faults.oracle.answers import Letters, Partition
from tests.faults.oracle.events import event
from tests.faults.oracle.findings import Cases, Finding, Told, World

FEATURES = (
    *("amount", "weekend", "night"),
    *(f"customer_{what}_{days}d" for days in folds.SPANS for what in ("count", "mean")),
    *(f"terminal_{what}_{days}d" for days in folds.SPANS for what in ("count", "risk")),
)
OF_OTHERS = len(FEATURES) - 2 * len(folds.SPANS)  # from here on features are another pipeline's
MAY_LACK = ("incomplete", "behind")  # marks that say so of what another pipeline knows


@dataclass
class Judged:
    """What comes of one partition: its state at the end, counts and findings."""

    state: folds.Partition
    findings: list[Finding] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    answers: int = 0


class Judge:
    """One pipeline's answers, partition by partition."""

    def __init__(self, world: World, told: Told, letters: Letters, outcomes: folds.Outcomes) -> None:
        self._world, self._told, self._letters, self._outcomes = world, told, letters, outcomes

    def judge(self, read: Partition) -> Judged:
        """Fold the partition in its order, and compare each answer on the way."""
        films = self._told.source == "interactions"
        seen = (folds.YEAR_MS, folds.KEPT) if films else (folds.SPANS[-1] * folds.DAY_MS,)
        judged = Judged(folds.Partition(*seen))
        cases = {check: Cases(check, self._told.name) for check in ("letters", "features", "value", "marks")}
        pending: list[tuple[str, dict[str, Any], Any]] = []
        for offset in sorted(read.inputs):
            where = f"{self._told.source}/{read.number}/{offset}"
            asked = event(read.inputs[offset], self._told.source, self._world.partitions)
            if (word := self._letter(read, offset, asked is not None)) is not None:
                cases["letters"].add(f"{where}: {word}")
            if asked is None:
                continue
            mine = self._folded_film(judged, asked) if films else self._folded_payment(judged, asked)
            if offset in read.answers:
                answer = json.loads(read.answers[offset].value() or b"{}")
                judged.answers += 1
                judged.marks.update(answer.get("marks", ()))
                pending.append((where, answer, (asked, mine)))
        (self._compare_films if films else self._compare_payments)(pending, cases)
        judged.findings = [finding for found in cases.values() for finding in found.findings()]
        return judged

    def _letter(self, read: Partition, offset: int, is_event: bool) -> str | None:
        """What is wrong with the record's dead letters, if anything is."""
        original, letters = read.inputs[offset], self._letters.of.get((read.number, offset), [])
        if is_event and letters:
            code = dict(letters[0].headers() or ()).get("code")
            return f"an event, and has a dead letter ({code!r})"
        if is_event or (read.number, offset) in self._told.skipped:
            return None
        if not letters:
            return "no event, and has no dead letter"
        same = all((one.value(), one.key()) == (original.value(), original.key()) for one in letters)
        return None if same else "its dead letter has other bytes"

    # -- payments ------------------------------------------------------------------------------------------------------

    def _folded_payment(self, judged: Judged, payment: dict[str, Any]) -> tuple[list[float], list[str]]:
        at = payment["time_ms"]
        series, late = judged.state.fold(payment["customer_id"], at, payment["amount_cents"])
        row = folds.of_payment(payment) + folds.of_customer(series, at)
        return row + self._outcomes.of_terminal(payment["terminal_id"], at), ["late"] if late else []

    def _compare_payments(self, pending: list[tuple[str, dict[str, Any], Any]], cases: Mapping[str, Cases]) -> None:
        whole: list[tuple[str, dict[str, Any], dict[str, Any], list[float]]] = []
        for where, answer, (payment, (row, marks)) in pending:
            said, given = answer.get("marks", []), answer.get("features", {})
            lacking = [mark for mark in said if mark in MAY_LACK]
            if said != marks + lacking:
                cases["marks"].add(f"{where} is marked {said} instead of {marks}")
            told = [given.get(name) for name in FEATURES]
            mine = [*row[:OF_OTHERS], *told[OF_OTHERS:]] if lacking else row
            if told != mine or list(given) != list(FEATURES) or not all(isinstance(one, float) for one in told):
                cases["features"].add(f"{where}: {_first(FEATURES, told, mine)}")
            whole.append((where, answer, payment, [float(one or 0.0) for one in told]))
        self._compare_scores(whole, cases["value"])

    def _compare_scores(
        self, whole: list[tuple[str, dict[str, Any], dict[str, Any], list[float]]], cases: Cases
    ) -> None:
        """Features are compared already: the score must be that of the features that the answer tells."""
        for version in sorted({answer["model"]["version"] for _, answer, _, _ in whole}):
            some = [one for one in whole if one[1]["model"]["version"] == version]
            scorer = models.scorer(self._world.models, "fraud", version)
            scores = scorer.scores([row for _, _, _, row in some])
            for (where, answer, payment, _), score in zip(some, scores, strict=True):
                mine = {
                    "id": models.identity(self._told.name, "fraud", version, payment["payment_id"]),
                    "event_id": payment["payment_id"],
                    "customer_id": payment["customer_id"],
                    "time_ms": payment["time_ms"],
                    "score": score,
                    "threshold": scorer.threshold,
                    "decision": "alert" if score >= scorer.threshold else "pass",
                    "model": {"name": "fraud", "version": version},
                    "features": answer["features"],
                    "marks": answer["marks"],
                }
                if answer != mine:
                    cases.add(f"{where}: {_first(list(mine), list(answer.values()), list(mine.values()))}")

    # -- films ---------------------------------------------------------------------------------------------------------

    def _folded_film(self, judged: Judged, met: dict[str, Any]) -> tuple[list[str], list[str]]:
        at = met["time_ms"]
        series, late = judged.state.fold(met["user_id"], at, met["item_id"])
        return folds.of_history(series, at), ["late"] if late else []

    def _compare_films(self, pending: list[tuple[str, dict[str, Any], Any]], cases: Mapping[str, Cases]) -> None:
        for version in sorted({answer["model"]["version"] for _, answer, _ in pending}):
            some = [one for one in pending if one[1]["model"]["version"] == version]
            ranker = models.ranker(self._world.models, "recommendation", version)
            ranked = ranker.ranked([history for _, _, (_, (history, _)) in some])
            for (where, answer, (met, (_, marks))), (items, more) in zip(some, ranked, strict=True):
                mine = {
                    "id": models.identity(self._told.name, "recommendation", version, met["interaction_id"]),
                    "event_id": met["interaction_id"],
                    "user_id": met["user_id"],
                    "time_ms": met["time_ms"],
                    "items": items,
                    "model": {"name": "recommendation", "version": version},
                    "marks": marks + more,
                }
                if answer["marks"] != mine["marks"]:
                    cases["marks"].add(f"{where} is marked {answer['marks']} instead of {mine['marks']}")
                elif answer["items"] != items:
                    cases["features"].add(f"{where}: {_first(('items',), [answer['items']], [items])}")
                elif answer != mine:
                    cases["value"].add(f"{where}: {_first(list(mine), list(answer.values()), list(mine.values()))}")


def _first(names: Any, told: Any, mine: Any) -> str:
    """The first place where the two differ."""
    for name, one, other in zip(names, told, mine, strict=False):
        if one != other:
            return f"{name} is {str(one)[:80]} instead of {str(other)[:80]}"
    return "the fields differ"

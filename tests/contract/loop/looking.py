"""The rig of a pipeline whose terminal features others write, in every layout, some of them as they should not be."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.features.files import RowFile
from app.features.load import load
from app.features.lookups import Field, HashLookup, JsonLookup, Lookup
from app.features.store import connect
from app.pipeline import Pipeline
from app.pipelines.fraud import FRAUD
from tests.contract.loop.rig import PARTITIONS, Rig, source_of

LOOKING = "looking-"
TERMINALS = 50
DAY_MS = 86_400_000


def looking_of(tag: str) -> Pipeline:
    """The fraud pipeline on topics and a group of its own, with three lookups in place of outcomes."""
    packed = (Field("terminal_count_1d"), Field("terminal_risk_1d", 0.5, "degrade"))
    hashed = (
        Field("terminal_count_7d", 7.0, max_age_ms=DAY_MS, type="int"),
        Field("terminal_risk_7d", missing="required"),
    )
    objects = (Field("terminal_count_30d", 30.0, "degrade", DAY_MS), Field("terminal_risk_30d", 0.25, stored_as="risk"))
    return replace(
        FRAUD,
        name=f"{LOOKING}{tag}",
        source=replace(FRAUD.source, name=f"payments-{tag}"),
        answers=replace(FRAUD.answering, name=f"scored-{tag}"),
        lookups=(
            Lookup(f"day-{tag}", "terminal_id", packed),
            HashLookup(f"week-{tag}", "terminal_id", hashed, f"week-{tag}:{{entity}}", written_at="at"),
            JsonLookup(f"month-{tag}", "terminal_id", objects, f"month-{tag}:{{entity}}", written_at="at"),
        ),
        partitions=PARTITIONS,
    )


Expected = tuple[tuple[float, ...], tuple[str, ...]] | str  # features and marks, or the code of the dead letter


@dataclass
class LookingRig(Rig):
    """One such pipeline's world on the suite's servers."""

    def write(self, folder: Path) -> list[Expected]:
        """Every terminal's rows; each of ten kinds of them is there five times. Gives what is to come of each."""
        packed, week, month = self.pipeline.lookups
        assert isinstance(packed, Lookup)
        assert isinstance(week, HashLookup)
        assert isinstance(month, JsonLookup)
        now = time.time_ns() // 1_000_000
        lines, expected = [], list[Expected]()
        with connect(self.settings.redis) as client:
            for i in range(TERMINALS):
                kind, name, risk = i % 10, str(i), i / 64
                if kind != 1:
                    lines.append({"terminal_id": i, "terminal_count_1d": i, "terminal_risk_1d": risk})
                row: dict[str, Any] = {"terminal_count_7d": i, "terminal_risk_7d": risk, "at": now}
                row |= {"at": now - 2 * DAY_MS} if kind == 5 else {}
                row |= {"terminal_risk_7d": "much"} if kind == 4 else {}
                if kind == 3:
                    client.set(week.row_key(name), "0.5")
                elif kind != 2:
                    client.hset(week.row_key(name), mapping=row)
                thing = {"terminal_count_30d": [i] if kind == 8 else i, "risk": risk, "at": now}
                thing |= {"at": now - 2 * DAY_MS} if kind == 7 else {}
                client.set(month.row_key(name), json.dumps(thing)[: 9 if kind == 6 else None])
                expected.append(_expected(kind, float(i), risk))
            file = folder / "day.jsonl"
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
            load(client, packed, RowFile(file))
        return expected

    def check_lookups(self, expected: list[Expected]) -> Counter[str]:
        """Each payment's features, marks or dead letter are what its terminal's rows say. Gives how often what came."""
        inputs = {(m.partition(), m.offset()): m for m in self.read(self.pipeline.source.name)}
        columns = [column for lookup in self.pipeline.lookups for column in lookup.columns]
        seen: Counter[str] = Counter()
        for message in self.read(self.pipeline.answering.name):
            told = json.loads(message.value())
            terminal = json.loads(inputs[source_of(message)].value())["terminal_id"]
            found = tuple(told["features"][column] for column in columns), tuple(told["marks"])
            assert found == expected[int(terminal)], terminal
            seen.update(told["marks"] or ["exact"])
        for message in self.read(self.pipeline.dead_letters):
            headers = {name: value.decode() for name, value in message.headers()}
            if headers["stage"] == "features":
                terminal = json.loads(message.value())["terminal_id"]
                assert expected[int(terminal)] == headers["code"], terminal
                seen[headers["code"]] += 1
        return seen


def _expected(kind: int, count: float, risk: float) -> Expected:
    if kind in (2, 3, 4):
        return "missing"
    row = [count, risk, count, risk, count, risk]
    changes: dict[int, tuple[dict[int, float], tuple[str, ...]]] = {
        1: ({0: 0.0, 1: 0.5}, ("defaulted", "degraded")),
        5: ({2: 7.0}, ("defaulted", "stale")),
        6: ({4: 30.0, 5: 0.25}, ("degraded", "defaulted")),
        7: ({4: 30.0}, ("degraded", "stale")),
        8: ({4: 30.0}, ("degraded",)),
    }
    changed, marks = changes.get(kind, ({}, ()))
    return tuple(changed.get(i, value) for i, value in enumerate(row)), marks

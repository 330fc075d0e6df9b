"""Old and new answers to the same inputs, compared: what is the same, what changed and why, what is missing.

The same events give the same bytes, for the same model, where neither answer bears a mark (design, P3). So a change is
one of three: `by_model`, another model answered from the same features; `expected`, an answer is marked, or its lookups
are not read as of the event; and `unexpected`, which is neither and should not be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from app.replay.diff_items import Items, is_ranked
from app.replay.diff_join import NEW, OLD, Join, Pair, Progress, Side
from app.replay.diff_scores import Scores, is_scored
from app.replay.diff_segments import declared
from app.replay.log import Span
from app.settings import Settings

EXAMPLES = 20  # of each kind
NAMES = 100  # different models, fields, marks or codes that are counted: a strange topic may have any number
NAMING = frozenset({"id", "model"})  # what says who answered, and not what


class Kind(StrEnum):
    """What became of one input."""

    IDENTICAL = "identical"
    BY_MODEL = "by_model"
    EXPECTED = "expected"
    UNEXPECTED = "unexpected"
    MISSING_OLD = "missing_old"
    MISSING_NEW = "missing_new"
    LETTER_TO_PREDICTION = "letter_to_prediction"
    PREDICTION_TO_LETTER = "prediction_to_letter"
    LETTERS = "letters"  # on both sides
    LETTERS_LEFT = "letters_left"  # of the old side, where only predictions are answered again


CHANGED = (Kind.BY_MODEL, Kind.EXPECTED, Kind.UNEXPECTED)
BROKEN = (Kind.UNEXPECTED, Kind.MISSING_NEW, Kind.PREDICTION_TO_LETTER)  # a new side that should be used has none


@dataclass(frozen=True)
class Asked:
    """What is compared. `pipeline` names what is declared of its answers.

    `promised`: whether the same model must give the same bytes. `predictions_only`: old dead letters are not answered
    again on the new side, and none of them is missed.
    """

    pipeline: str
    source: str
    spans: Mapping[int, Span]
    old: Side
    new: Side
    promised: bool = True
    predictions_only: bool = False


@dataclass
class Difference:
    """Everything that was found. Counts are of inputs; pairs of lists and tuples are old and new."""

    asked: Asked
    inputs: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    models: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    fields: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    examples: dict[Kind, list[str]] = field(default_factory=dict)
    duplicated: tuple[int, int] = (0, 0)
    deleted: tuple[bool, bool] = (False, False)
    scores: Scores | None = None
    items: Items | None = None

    @property
    def changed(self) -> int:
        return sum(self.kinds[kind] for kind in CHANGED)

    @property
    def both(self) -> int:
        """Inputs with a prediction on both sides."""
        return self.kinds[Kind.IDENTICAL] + self.changed

    @property
    def broken(self) -> int:
        """Inputs for which the new side is not what it should be."""
        return sum(self.kinds[kind] for kind in BROKEN)

    def source(self, place: tuple[int, int]) -> str:
        return f"{self.asked.source}/{place[0]}/{place[1]}"


def compare(settings: Settings, asked: Asked, *, progress: Progress | None = None, **join: Any) -> Difference:
    """Read both sides and compare them. `join` is for a Join.

    Raises Refused where a topic is not there, Unavailable where Kafka keeps it waiting too long.
    """
    joining = Join(settings, asked.source, asked.spans, sides=(asked.old, asked.new), progress=progress, **join)
    found = of_pairs(asked, joining.pairs())
    gone = joining.gone
    found.duplicated = (gone.duplicated[OLD], gone.duplicated[NEW])
    found.deleted = (gone.deleted[OLD], gone.deleted[NEW])
    return found


def of_pairs(asked: Asked, pairs: Iterable[Pair]) -> Difference:
    """What these pairs come to."""
    found = Difference(asked)
    for pair in pairs:
        found.inputs += 1
        if pair.old is not None and pair.new is not None:
            _compare(found, pair, pair.old, pair.new)
        else:
            _one_sided(found, pair)
    return found


def _compare(found: Difference, pair: Pair, before: bytes, after: bytes) -> None:
    old = _decoded(before)
    new = old if before == after else _decoded(after)
    for counter, answer in zip(found.models, (old, new), strict=True):
        _count(counter, ref_of(answer))
    _figures(found, pair, old, new)
    if before == after:
        found.kinds[Kind.IDENTICAL] += 1
        return
    same_model = ref_of(old) == ref_of(new)
    differ = changed_fields(old, new)
    if same_model and not differ:
        differ = ["value"]  # other bytes, though they say the same
    for name in differ:
        _count(found.fields, name)
    marks = marks_of(old) | marks_of(new)
    kind = _kind(found.asked, differ, marks=bool(marks), same_model=same_model)
    found.kinds[kind] += 1
    if kind == Kind.EXPECTED:
        for mark in sorted(marks):
            _count(found.marks, mark)
    if kind == Kind.UNEXPECTED:
        _example(found, kind, f"{found.source(pair.place)}: {', '.join(differ)}")


def _kind(asked: Asked, differ: list[str], *, marks: bool, same_model: bool) -> Kind:
    if not same_model and "features" not in differ:
        return Kind.BY_MODEL
    return Kind.EXPECTED if marks or not asked.promised else Kind.UNEXPECTED


def _figures(found: Difference, pair: Pair, old: dict[str, Any], new: dict[str, Any]) -> None:
    key = (pair.key or b"").decode(errors="backslashreplace")
    if is_scored(old) and is_scored(new):
        found.scores = found.scores or Scores(declared(found.asked.pipeline))
        found.scores.add(pair.place, key, old, new)
    elif is_ranked(old) and is_ranked(new):
        found.items = found.items or Items()
        found.items.add(pair.place, key, old, new)


def _one_sided(found: Difference, pair: Pair) -> None:
    answered_old = pair.old is not None or pair.old_letter is not None
    answered_new = pair.new is not None or pair.new_letter is not None
    code = pair.old_letter or pair.new_letter or ""
    if not answered_new:
        left = pair.old is None and found.asked.predictions_only
        kind = Kind.LETTERS_LEFT if left else Kind.MISSING_NEW
    elif not answered_old:
        kind = Kind.MISSING_OLD
    elif pair.old is not None:
        kind = Kind.PREDICTION_TO_LETTER
    elif pair.new is not None:
        kind = Kind.LETTER_TO_PREDICTION
    else:
        kind = Kind.LETTERS
    found.kinds[kind] += 1
    if kind in (Kind.PREDICTION_TO_LETTER, Kind.LETTER_TO_PREDICTION):
        _count(found.codes, code)
    _example(found, kind, found.source(pair.place) + (f": {code}" if code else ""))


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which fields of two answers differ, but for those that say who answered."""
    names = [*old, *(name for name in new if name not in old)]
    return [name for name in names if name not in NAMING and (name not in old or old[name] != new.get(name))]


def ref_of(answer: Mapping[str, Any]) -> str:
    """name@version of the model that answered, as the answer says."""
    model = answer.get("model")
    return f"{model.get('name')}@{model.get('version')}" if isinstance(model, Mapping) else "unknown"


def marks_of(answer: Mapping[str, Any]) -> set[str]:
    marks = answer.get("marks")
    return {str(mark) for mark in marks} if isinstance(marks, list) else set()


def _decoded(value: bytes) -> dict[str, Any]:
    """The answer's fields; none, where it is no JSON object."""
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}


def _count(counter: Counter[str], name: str) -> None:
    if name in counter or len(counter) < NAMES:
        counter[name] += 1


def _example(found: Difference, kind: Kind, words: str) -> None:
    examples = found.examples.setdefault(kind, [])
    if len(examples) < EXAMPLES:
        examples.append(words)

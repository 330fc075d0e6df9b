"""What the demo shows at one moment, as lines that fit the terminal. Pure: from what was seen to text.

Every frame of one size has the same number of lines, none of them as wide as the terminal, so that nothing wraps and
nothing jumps. Colour says nothing that the words do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from app.cli.alerts import found_in
from app.cli.terminal import printable

NOBODY = "nobody"
HAPPENINGS = 4  # lines
ALERTS, RECOMMENDED = 6, 3  # lines at most
LEAST_ALERTS, LEAST_RECOMMENDED = 2, 1
WORDY = 100  # columns from which on reasons are whole clauses

HEAD = ("PIPELINE", "EVENTS/S", "ANSWERED", "P50 MS", "P99 MS", "MARKED BEHIND", "LAG")
WIDTHS = (14, 8, 9, 6, 6, 13, 7)


@dataclass(frozen=True)
class PipelineSeen:
    """One pipeline's row; None is what nobody can tell of it (yet)."""

    name: str
    speed: float
    answered: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    behind: float | None = None
    lag: int | None = None


@dataclass(frozen=True)
class PartitionSeen:
    """One partition of the payments. `alive` is False while its owner was killed and Kafka does not know it yet."""

    lag: int | None
    owner: str | None
    alive: bool = True


@dataclass(frozen=True)
class Happening:
    """What was done or seen, so many seconds after the first payment."""

    at_s: float
    words: str


@dataclass(frozen=True)
class Seen:
    """All that one frame shows."""

    what: str
    elapsed_s: float
    total_s: float
    pipelines: Sequence[PipelineSeen]
    partitions: Mapping[int, PartitionSeen]
    happenings: Sequence[Happening] = ()
    alerts: Sequence[Mapping[str, Any]] = ()  # the newest last
    alerted: int = 0
    recommended: Sequence[Mapping[str, Any]] | None = None  # None: the pipeline does not run


def frame(seen: Seen, width: int, height: int) -> list[Text]:
    """The lines for a terminal of this size; at most height - 1 of them, each shorter than width."""
    alerts, recommended = _room(seen, height - 1)
    lines = [_title(seen, width - 1), Text(), *_pipelines(seen.pipelines), Text(), *_partitions(seen.partitions)]
    lines += [Text(), *_padded(_happenings(seen.happenings), HAPPENINGS)]
    lines += [Text(), _heading(f"NEWEST ALERTS, {seen.alerted:,} so far")]
    lines += _padded(map(_alert(width - 1), list(seen.alerts)[-alerts:][::-1]), alerts)
    if seen.recommended is not None:
        lines += [Text(), _heading("NEWEST RECOMMENDATIONS, of films by their numbers")]
        lines += _padded(map(_recommendation, list(seen.recommended)[-recommended:][::-1]), recommended)
    lines = lines[: height - 1]
    for line in lines:
        line.truncate(width - 1, overflow="ellipsis" if width > 1 else "crop")
    return lines


def in_one_line(seen: Seen) -> str:
    """The same in a line, for whoever has no terminal."""
    told = []
    for one in seen.pipelines:
        took = "" if one.p50_ms is None else f", p50 {_ms(one.p50_ms)} ms, p99 {_ms(one.p99_ms)} ms"
        behind = "" if one.behind is None else f", {one.behind:.1%} marked behind"
        lag = "" if one.lag is None else f", lag {one.lag:,}"
        told.append(f"{one.name} {one.speed:,.0f}/s{took}{behind}{lag}")
    return f"{clock(seen.elapsed_s)}  {'; '.join([*told, _owned(seen.partitions)])}"


def alert_in_one_line(alert: Mapping[str, Any], width: int = 120) -> str:
    return _alert(width)(alert).plain


def clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02}"


def _room(seen: Seen, lines: int) -> tuple[int, int]:
    """How many alerts and recommendations fit; never fewer than the least, which is cut where it must."""
    fixed = 2 + 1 + len(seen.pipelines) + 1 + 3 + 1 + HAPPENINGS + 2
    if seen.recommended is None:
        return max(LEAST_ALERTS, min(ALERTS, lines - fixed)), 0
    left = lines - fixed - 2 - LEAST_ALERTS - LEAST_RECOMMENDED
    recommended = LEAST_RECOMMENDED + max(0, min(RECOMMENDED - LEAST_RECOMMENDED, left // 2))
    return max(LEAST_ALERTS, min(ALERTS, lines - fixed - 2 - recommended)), recommended


def _title(seen: Seen, width: int) -> Text:
    right = f"{clock(seen.elapsed_s)} of {clock(seen.total_s)}"
    line = Text(f"streaminfer: {seen.what}", style="bold")
    line.truncate(max(0, width - len(right) - 2), overflow="ellipsis", pad=True)
    return line.append("  " + right)


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _pipelines(pipelines: Iterable[PipelineSeen]) -> list[Text]:
    rows = [
        (
            one.name,
            f"{one.speed:,.0f}",
            f"{one.answered:,}",
            _ms(one.p50_ms),
            _ms(one.p99_ms),
            "-" if one.behind is None else f"{one.behind:.1%}",
            "-" if one.lag is None else f"{one.lag:,}",
        )
        for one in pipelines
    ]
    return [_heading(_cells(HEAD)), *(Text(_cells(row)) for row in rows)]


def _cells(row: Sequence[str]) -> str:
    name, *numbers = row
    return "  ".join(
        [name.ljust(WIDTHS[0]), *(text.rjust(width) for text, width in zip(numbers, WIDTHS[1:], strict=True))]
    )


def _partitions(partitions: Mapping[int, PartitionSeen]) -> list[Text]:
    names = {p: _owner(one) for p, one in partitions.items()}
    wide = max([10, *(len(name) + 2 for name in names.values())])
    head, lags, owned = (Text(name.ljust(14)) for name in ("PARTITION", "lag", "scored by"))
    head.stylize("bold")
    for number, one in sorted(partitions.items()):
        head.append(str(number).rjust(wide), style="bold")
        lags.append(("-" if one.lag is None else f"{one.lag:,}").rjust(wide))
        owned.append(names[number].rjust(wide), style="" if one.owner and one.alive else "bold red")
    return [head, lags, owned]


def _owner(one: PartitionSeen) -> str:
    return printable(one.owner or NOBODY) + ("" if one.alive else " dead")


def _happenings(happenings: Sequence[Happening]) -> list[Text]:
    return [Text(f"{clock(one.at_s):>5}  {one.words}") for one in happenings[-HAPPENINGS:]]


def _alert(width: int) -> Callable[[Mapping[str, Any]], Text]:
    def line(alert: Mapping[str, Any]) -> Text:
        amount = f"{alert['features']['amount']:,.2f}"
        text = Text(f"customer {printable(alert['customer_id']):>5} {amount:>9}  score ")
        text.append(f"{alert['score']:.3f}", style="bold")
        return text.append("  " + _why(alert["features"], width - len(text) - 2))

    return line


def _why(features: Mapping[str, float], room: int) -> str:
    """As many reasons as fit, the one with most weight first."""
    told = ""
    for reason in found_in(features):
        words = reason.words if room >= WORDY else reason.brief
        longer = f"{told}; {words}" if told else words
        if len(longer) <= room:
            told = longer
    return told or "no single feature"


def _recommendation(answer: Mapping[str, Any]) -> Text:
    items = " ".join(f"{printable(item['item_id']):>4}" for item in answer["items"])
    return Text(f"person   {printable(answer['user_id']):>5}  {items}")


def _padded(lines: Iterable[Text], count: int) -> list[Text]:
    kept = list(lines)[:count]
    return kept + [Text() for _ in range(count - len(kept))]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _owned(partitions: Mapping[int, PartitionSeen]) -> str:
    by: dict[str, list[str]] = {}
    for number, one in sorted(partitions.items()):
        by.setdefault(_owner(one), []).append(str(number))
    return "; ".join(f"{owner} has {' '.join(numbers)}" for owner, numbers in by.items()) or "nobody has been asked yet"

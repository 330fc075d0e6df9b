"""`replay diff`: what a replay changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, settings
from app.cli.naming import PlanId
from app.cli.terminal import counted, note, patience, printable, say, say_json, table
from app.errors import Refused

BAR = 30  # characters
MOVERS = 5
KINDS = {
    "identical": "the same bytes",
    "by_model": "another model, the same features",
    "expected": "marked, or looked up as it is now",
    "unexpected": "no mark says why",
    "missing_old": "answered only now",
    "missing_new": "no new answer",
    "letter_to_prediction": "a dead letter before, answered now",
    "prediction_to_letter": "answered before, a dead letter now",
    "letters": "a dead letter on both sides",
    "letters_left": "a dead letter that was not tried again",
}

Told = dict[str, Any]


def diff(
    plan: PlanId,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="TOPIC", help="Compare with the answers there. Default: as the plan says."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as one page with pictures, too.")
    ] = None,
    most_flips: Annotated[
        float | None,
        typer.Option(
            "--fail-on-flips",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Exit with 1 as well where more than this share of decisions turned. Default: any.",
        ),
    ] = None,
    kafka: Kafka = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare what a replay answered with what was answered before, input by input.

    Exits with 1 where the new answers are not as they should be: one changed though the model is the same and neither
    answer is marked, or its features did; or an input that had an answer has none now, or is a dead letter. What
    another model changed is no fault, unless --fail-on-flips says how much of it is.

    \b
    Examples:
      streaminfer replay diff k3x9
      streaminfer replay diff k3x9 --html k3x9.html
      streaminfer replay diff k3x9 --against payments.scored.replay-a7q2 --json
      streaminfer replay diff k3x9 --fail-on-flips 0.001
    """
    from app.pipelines import pipeline_named
    from app.replay.diff import compare
    from app.replay.diff_page import page
    from app.replay.diff_plan import asked_of
    from app.replay.diff_told import as_object
    from app.replay.plans import Plans

    if html is not None and not html.absolute().parent.is_dir():
        raise Refused(f"--html {html}: there is no folder {html.absolute().parent}.", exit_code=2)
    where = settings(kafka=kafka, home=home, needs="kafka")
    read, total = 0, 0

    def progress(done: int, of: int) -> None:
        nonlocal read, total
        read, total = done, of

    with patience(f"Comparing {plan}", lambda: f"{read:,} of {total:,} records"):
        plans = Plans(where)
        kept = plans.find(plan)
        chosen = pipeline_named(kept.plan.pipeline)
        asked = asked_of(where, plans.all(), kept, pipeline=chosen, against=against)
        told = as_object(compare(where, asked, progress=progress))
    if html is not None:
        html.write_text(page(told, title=f"Replay {plan} of {chosen.name}"), encoding="utf-8")
    if as_json:
        say_json({"plan": plan, **told})
    else:
        for line in lines(told):
            say(line)
        if html is not None:
            say(f"The page with pictures is {html}.")
    if not told["ok"] or _too_many(told, most_flips):
        raise typer.Exit(1)


def _too_many(told: Told, most: float | None) -> bool:
    scores = told["scores"]
    if most is None or scores is None:
        return False
    share = _flips(scores) / scores["count"]
    if share > most:
        note(f"{share:.3%} of the decisions turned, more than the {most:.3%} that --fail-on-flips allows.")
    return bool(share > most)


def _flips(scores: Told) -> int:
    return int(scores["to_alert"]["count"] + scores["to_pass"]["count"])


def lines(told: Told) -> list[str]:
    """The difference for people; every line can be printed."""
    rows = [
        (name.replace("_", " "), f"{told[name]:,}", f"{told[name] / told['inputs']:.1%}", words)
        for name, words in KINDS.items()
        if told[name]
    ]
    found = [f"{counted(told['inputs'], 'input')}: {_answered(told, 'old')} before, {_answered(told, 'new')} now"]
    found += [f"  {line}" for line in table(rows, right=(1, 2))] if rows else []
    if told["fields"]:
        found.append("differing in " + ", ".join(f"{name} {count:,}" for name, count in told["fields"].items()))
    for side in ("old", "new"):
        if told["duplicated"][side]:
            again = counted(told["duplicated"][side], "answer")
            found.append(f"{again} of the {side} side came again for the same input; the first one counts.")
        if told["deleted"][side]:
            found.append(f"The oldest answers of the {side} side are deleted: what is missing there may be those.")
    if told["scores"] is not None:
        found += _scores(told["scores"])
    if told["items"] is not None:
        found += _items(told["items"])
    return [printable(line) for line in [*found, _verdict(told)]]


def brief(told: Told) -> list[str]:
    """The same in a few lines."""
    found = lines(told)
    scores = told["scores"]
    if scores is None:
        return [found[0], found[-1]]
    return [found[0], *_decisions(scores), _moved(scores), found[-1]]


def _answered(told: Told, side: str) -> str:
    return f"{' and '.join(told['models'][side]) or 'no prediction'} on {told['topics'][side]}"


def _scores(scores: Told) -> list[str]:
    bins = scores["shift_histogram"]
    most = max([1, *(one["count"] for one in bins)])
    rows = [
        (_between(one), f"{one['count']:,}", "=" * -(-BAR * one["count"] // most))
        for one in reversed(bins)
        if one["count"]
    ]
    found = [*_decisions(scores), "", _moved(scores)]
    found += [f"  {line}" for line in table([("NEW LESS OLD", "ANSWERS", ""), *rows], right=(1,))]
    heads = ("WHERE", "", "ANSWERS", "MEAN SHIFT", "ALERTS BEFORE", "NOW", "TO ALERT", "TO PASS")
    parts = [
        (
            *(group if i == 0 else "", label),
            *(f"{part['count']:,}", f"{part['mean_shift']:+.4f}"),
            *(f"{part['alerts']['old']:,}", f"{part['alerts']['new']:,}"),
            *(f"{part['to_alert']['count']:,}", f"{part['to_pass']['count']:,}"),
        )
        for group, labels in scores["segments"].items()
        for i, (label, part) in enumerate((label, part) for label, part in labels.items() if part["count"])
    ]
    found += ["", *(f"  {line}" for line in table([heads, *parts], right=(2, 3, 4, 5, 6, 7)))]
    movers: list[tuple[str, ...]] = [("MOVED FARTHEST", "KEY", "OLD", "NEW", "DECISION", "FEATURES THAT DIFFER")]
    movers += [_mover(mover) for mover in scores["movers"][:MOVERS]]
    return [*found, "", *(f"  {line}" for line in table(movers, right=(2, 3)))] if len(movers) > 1 else found


def _moved(scores: Told) -> str:
    return (
        f"scores moved by {scores['mean_shift']:+.4f} on average, by {scores['mean_absolute_shift']:.4f} whichever way"
    )


def _decisions(scores: Told) -> list[str]:
    rows = [("DECISIONS", "", "BY THE THRESHOLD ALONE", "MONEY")]
    for words, turned in (("pass -> alert", scores["to_alert"]), ("alert -> pass", scores["to_pass"])):
        money = f"{turned['money']:,.2f}" if scores["money"] is not None else "-"
        rows.append((words, f"{turned['count']:,}", f"{turned['by_threshold']:,}", money))
    return [f"  {line}" for line in table(rows, right=(1, 2, 3))]


def _mover(mover: Told) -> tuple[str, ...]:
    old, new = mover["decision"]["old"], mover["decision"]["new"]
    names = list(mover["features"])
    differ = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        printable(mover["event_id"][:40]),
        printable(mover["key"][:40]),
        f"{mover['score']['old']:.4f}",
        f"{mover['score']['new']:.4f}",
        old if old == new else f"{old} -> {new}",
        differ or "none",
    )


def _between(one: Told) -> str:
    low, high = one["from"], one["to"]
    if low is None:
        return f"below {high:g}"
    if high is None:
        return f"{low:+g} and more"
    return f"{low:+g} to {high:+g}"


def _items(items: Told) -> list[str]:
    rows = [("EARLIER ANSWERS TO THE PERSON", "ANSWERS", "ITEMS THAT STAYED", "SAME FIRST", "SAME ORDER")]
    rows += [
        (
            label,
            f"{part['count']:,}",
            f"{part['mean_overlap']:.1%}",
            f"{part['same_first']:,}",
            f"{part['same_order']:,}",
        )
        for labels in items["segments"].values()
        for label, part in labels.items()
        if part["count"]
    ]
    return [
        f"{items['mean_overlap']:.1%} of the old items stayed; the first is the same in {items['same_first']:,} of "
        f"{items['count']:,}, all of them in the same order in {items['same_order']:,}",
        *(f"  {line}" for line in table(rows, right=(1, 2, 3, 4))),
    ]


def _verdict(told: Told) -> str:
    if told["ok"]:
        return "Nothing is broken: every input that had an answer has one, and every change has a reason."
    wrong = {
        "unexpected": "changed without a reason",
        "missing_new": "without a new answer",
        "prediction_to_letter": "now a dead letter",
    }
    parts = [f"{told[kind]:,} {words}" for kind, words in wrong.items() if told[kind]]
    examples = [one for kind in wrong for one in told["examples"].get(kind, [])]
    return f"Not as promised: {', '.join(parts)}; the first: {'; '.join(examples[:3])}."

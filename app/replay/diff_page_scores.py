"""The page's parts about scores: decisions that turned, how far scores moved, for whom, and which moved farthest."""

from __future__ import annotations

from collections.abc import Sequence

from app.replay import diff_pictures as picture
from app.replay.diff_markup import facts, many, money, n, share, table, text
from app.replay.diff_told import Told


def decisions(scores: Told) -> str:
    up, down = scores["to_alert"], scores["to_pass"]
    most = max(1, up["count"], down["count"])
    old, new = scores["alerts"]["old"], scores["alerts"]["new"]
    with_money = scores["money"] is not None
    rows = [
        (words, f"{picture.bar(turned['count'] / most, css)}", n(turned["count"]), n(turned["by_threshold"]))
        + ((money(turned["money"]),) if with_money else ())
        for words, css, turned in (("pass → alert", "up", up), ("alert → pass", "down", down))
    ]
    heads = ("", "", "decisions", "by the threshold alone") + (("money",) if with_money else ())
    told = [
        (n(old), "alerts before"),
        (n(new), "alerts now"),
        (share(up["count"] + down["count"], scores["count"]), "decisions turned"),
        (" / ".join(f"{one:g}" for one in scores["thresholds"]["old"]) or "-", "threshold before"),
        (" / ".join(f"{one:g}" for one in scores["thresholds"]["new"]) or "-", "threshold now"),
    ]
    return (
        "<h2>Decisions that turned</h2>\n"
        + facts(told)
        + table(heads, rows, numbers=(2, 3, 4), pictures=(1,), label="Decisions that turned")
        + '<p class="soft">By the threshold alone: the old score would be decided so, too, with the new threshold.</p>'
    )


def shifts(scores: Told) -> str:
    bins = scores["shift_histogram"]
    most = max([1, *(one["count"] for one in bins)])
    middle = len(bins) // 2
    rows = []
    for i, one in reversed(list(enumerate(bins))):
        css = "same" if i == middle else "up" if i > middle else "down"
        rows.append((_between(one), picture.bar(picture.logarithmic(one["count"], most), css), n(one["count"])))
    return (
        "<h2>How far scores moved</h2>\n"
        f"<p>New less old, over {many(scores['count'], 'answer')}: {scores['mean_shift']:+.4f} on average, "
        f"{scores['mean_absolute_shift']:.4f} whichever way. "
        "The bars are logarithmic: each ten times as many add the same length.</p>\n"
        + table(("score", "", "answers"), rows, numbers=(2,), pictures=(1,), label="How far scores moved")
    )


def _between(one: Told) -> str:
    low, high = one["from"], one["to"]
    if low is None:
        return f"down by {-high:g} and more"
    if high is None:
        return f"up by {low:g} and more"
    if low < 0 < high:
        return f"less than {high:g} either way"
    return f"up by {low:g} to {high:g}" if low > 0 else f"down by {-high:g} to {-low:g}"


def distributions(scores: Told) -> str:
    old, new = scores["histograms"]["old"], scores["histograms"]["new"]
    lines = [(side, one) for side in ("old", "new") for one in scores["thresholds"][side]]
    width = 1 / len(old)
    rows = [
        (f"{i * width:.2f} to {(i + 1) * width:.2f}", n(before), n(after), f"{after - before:+,}")
        for i, (before, after) in enumerate(zip(old, new, strict=True))
    ]
    numbers = table(("score", "old", "new", "more or fewer"), rows, numbers=(1, 2, 3), label="Scores before and now")
    return (
        "<h2>Scores before and now</h2>\n<figure>"
        + picture.columns(old, new, lines)
        + '<div class="scale"><span>0</span><span>0.25</span><span>0.5</span><span>0.75</span><span>1</span></div>'
        f'<figcaption><span class="key">{picture.bar(1, "old")}</span>old, wide; '
        f'<span class="key">{picture.bar(1, "new")}</span>new, narrow, before it. '
        "Lines: thresholds, the old one dashed. Heights are logarithmic.</figcaption></figure>"
        f"<details><summary>The numbers</summary>{numbers}</details>"
    )


def segments(scores: Told) -> str:
    with_money = scores["money"] is not None
    most = max(
        [abs(part["mean_shift"]) for parts in scores["segments"].values() for part in parts.values()], default=0.0
    )
    heads = ("", "answers", "mean shift", "", "alerts before", "now", "pass → alert", "alert → pass")
    tables = []
    for group, parts in scores["segments"].items():
        rows = [
            (
                text(label),
                n(part["count"]),
                f"{part['mean_shift']:+.4f}",
                picture.diverging(part["mean_shift"], most),
                n(part["alerts"]["old"]),
                n(part["alerts"]["new"]),
                _turned(part["to_alert"], with_money=with_money),
                _turned(part["to_pass"], with_money=with_money),
            )
            for label, part in parts.items()
            if part["count"]
        ]
        if rows:
            tables.append(
                table(
                    heads,
                    rows,
                    numbers=(1, 2, 4, 5, 6, 7),
                    pictures=(3,),
                    label=f"By {group}",
                    caption=f"By {text(group)}",
                )
            )
    money = " Money is the payments' own, in brackets." if with_money else ""
    return (
        f"<h2>For whom</h2>\n<p>Scores to the right of the line rose, to the left of it fell.{money}</p>\n"
        + "".join(tables)
    )


def _turned(turned: Told, *, with_money: bool) -> str:
    return n(turned["count"]) + (f" ({money(turned['money'])})" if with_money and turned["count"] else "")


def movers(far: Sequence[Told]) -> str:
    if not far:
        return ""
    items = []
    for mover in far:
        old, new = mover["score"]["old"], mover["score"]["new"]
        decided = mover["decision"]
        turned = (
            f"{decided['old']} → {decided['new']}" if decided["old"] != decided["new"] else f"stays {decided['new']}"
        )
        rows = [(text(name), text(value["old"]), text(value["new"])) for name, value in mover["features"].items()]
        features = (
            table(("feature", "old", "new"), rows, numbers=(1, 2), label="Features that differ")
            if rows
            else "<p>The features are the same on both sides: the model alone moved it.</p>"
        )
        items.append(
            f'<details><summary><span class="mover"><span><bdi>{text(mover["event_id"])}</bdi> '
            f'<span class="soft">of <bdi>{text(mover["key"])}</bdi></span></span>{picture.slope(old, new)}'
            f"<span>{old:.4f} → {new:.4f}, {text(turned)}</span></span></summary>"
            f"<p>Input <code>{text(mover['source'])}</code></p>{features}</details>"
        )
    return (
        f"<h2>The {len(far)} that moved farthest</h2>\n"
        "<p>Each line runs from 0 to 1; the thin mark is the old score, the thick one the new.</p>\n" + "\n".join(items)
    )

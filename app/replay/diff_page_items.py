"""The page's parts about rankings: how many items stayed, for whom, and which answers changed most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.replay import diff_pictures as picture
from app.replay.diff_markup import facts, n, share, table, text
from app.replay.diff_told import Told


def ranked(items: Told) -> str:
    most = max([1, *items["stayed"]])
    rows = [
        (f"{stayed} of the old items stayed", picture.bar(count / most, "new"), n(count))
        for stayed, count in reversed(list(enumerate(items["stayed"])))
    ]
    told = [
        (f"{items['mean_overlap']:.1%}", "of the old items stayed"),
        (share(items["same_first"], items["count"]), "have the same first item"),
        (share(items["same_order"], items["count"]), "have the same items in the same order"),
    ]
    heads = ("", "answers", "items that stayed", "same first", "same order")
    tables = [
        table(
            heads,
            [
                (
                    text(label),
                    n(part["count"]),
                    f"{part['mean_overlap']:.1%}",
                    share(part["same_first"], part["count"]),
                    share(part["same_order"], part["count"]),
                )
                for label, part in parts.items()
                if part["count"]
            ],
            numbers=(1, 2, 3, 4),
            label=f"By {group}",
            caption=f"By {text(group)}",
        )
        for group, parts in items["segments"].items()
    ]
    return (
        "<h2>Items that changed</h2>\n"
        + facts(told)
        + table(("", "", "answers"), rows, numbers=(2,), pictures=(1,), label="Items that stayed")
        + "".join(tables)
    )


def reranked(changed: Sequence[Told]) -> str:
    if not changed:
        return ""
    items = "\n".join(
        f"<details><summary><bdi>{text(one['event_id'])}</bdi> "
        f'<span class="soft">of <bdi>{text(one["key"])}</bdi></span>: {one["stayed"]} of {len(one["items"]["old"])} '
        f"stayed</summary><p>Input <code>{text(one['source'])}</code></p><dl>"
        f"<dt>old</dt><dd>{_list(one['items']['old'])}</dd><dt>new</dt><dd>{_list(one['items']['new'])}</dd></dl></details>"
        for one in changed
    )
    return f"<h2>The {len(changed)} that changed most</h2>\n{items}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"<bdi>{text(name)}</bdi>" for name in names) or "none"

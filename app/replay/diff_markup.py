"""What the page of a difference is written with: text that is never markup, tables, facts, and numbers for people."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

CUT = 120  # letters of a name


def text(value: object) -> str:
    """Anything as text of a page: what would be markup is shown, and so is what cannot be seen or turns lines round."""
    whole = str(value)
    cut = whole if len(whole) <= CUT else f"{whole[:CUT]}…"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return html.escape(shown, quote=True)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    pictures: Sequence[int] = (),
    more: Sequence[int] = (),
    label: str,
    caption: str = "",
) -> str:
    """Cells are markup. The first one of a row is its head; the columns `more` are for those who have room."""

    def css(i: int) -> str:
        for name, columns in (("n", numbers), ("picture", pictures), ("more", more)):
            if i in columns:
                return f' class="{name}"'
        return ""

    head = "".join(f'<th scope="col"{css(i)}>{one}</th>' for i, one in enumerate(heads))
    body = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(f"<td{css(i)}>{c}</td>" for i, c in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    above = f"<caption>{caption}</caption>" if caption else ""
    whole = f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    if len(heads) <= 4:
        return whole
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">{whole}</div>'


def facts(facts: Iterable[tuple[str, str]]) -> str:
    return '<ul class="facts">' + "".join(f"<li><b>{value}</b>{words}</li>" for value, words in facts) + "</ul>"


def n(count: int) -> str:
    return f"{count:,}"


def many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def share(count: int, of: int) -> str:
    if not of:
        return "-"
    found = count / of
    return f"{found:.1%}" if not 0 < found < 0.001 else f"{found:.2%}" if found >= 0.0001 else "&lt;0.01%"


def money(amount: Any) -> str:
    return f"{amount:,.2f}"

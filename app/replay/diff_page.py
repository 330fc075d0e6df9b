"""A difference as one page that stands alone: no script, nothing from elsewhere, every name from a topic as text.

Made from what `replay diff --json` prints (diff_told.py), so that whatever the page says a program can have, too.
"""

from __future__ import annotations

from app.replay import diff_pictures as picture
from app.replay.diff_markup import many, n, share, table, text
from app.replay.diff_page_items import ranked, reranked
from app.replay.diff_page_scores import decisions, distributions, movers, segments, shifts
from app.replay.diff_style import STYLE
from app.replay.diff_told import Told

# How the inputs part, in the order of the picture: field, class, words, and what they mean.
KINDS = (
    ("identical", "identical", "identical", "The same bytes on both sides."),
    ("by_model", "by_model", "by another model", "Another model answered, from the same features."),
    ("expected", "expected", "expected", "An answer is marked as not exact, or looked up what is there now."),
    ("letter_to_prediction", "gained", "dead letter, now answered", "Refused before, answered now."),
    ("letters", "letters", "dead letter on both sides", "Refused before and now."),
    ("letters_left", "letters", "dead letter, not tried again", "Only predictions were answered again."),
    ("missing_old", "missing", "answered only now", "The old side has no answer."),
    ("unexpected", "unexpected", "unexpected", "No mark says why it changed: the same model, or other features."),
    ("missing_new", "missing", "no new answer", "The new side has no answer."),
    ("prediction_to_letter", "lost", "now a dead letter", "Answered before, refused now."),
)  # fmt: skip
BROKEN = ("unexpected", "missing_new", "prediction_to_letter")


def page(told: Told, *, title: str) -> str:
    """The whole page."""
    parts = [_head(told, title), _inputs(told)]
    if told["scores"] is not None:
        parts += [decisions(told["scores"]), shifts(told["scores"]), distributions(told["scores"])]
        parts += [segments(told["scores"]), movers(told["scores"]["movers"])]
    if told["items"] is not None:
        parts += [ranked(told["items"]), reranked(told["items"]["movers"])]
    parts += [_examples(told["examples"]), _words()]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(told: Told, title: str) -> str:
    topics, models = told["topics"], told["models"]
    broken = sum(told[kind] for kind in BROKEN)
    sentence = (
        "<strong>Nothing is broken.</strong> Every input that had an answer has one, and every change has a reason."
        if not broken
        else f"<strong>{many(broken, 'input')} {'is' if broken == 1 else 'are'} not as promised:</strong> "
        + ", ".join(f"{n(told[kind])} {words}" for kind, _, words, _ in KINDS if kind in BROKEN and told[kind])
        + "."
    )
    notes = "".join(f"<p>{note}</p>" for note in _notes(told))
    return (
        f"<h1>{text(title)}</h1>\n"
        f'<p class="lead">Old: <bdi>{text(topics["old"])}</bdi>, {_refs(models["old"])}. '
        f"New: <bdi>{text(topics['new'])}</bdi>, {_refs(models['new'])}.</p>\n"
        f'<div class="verdict{" bad" if broken else ""}"><p>{sentence}</p>{notes}</div>'
    )


def _notes(told: Told) -> list[str]:
    notes = []
    for side in ("old", "new"):
        if told["duplicated"][side]:
            count = many(told["duplicated"][side], "answer")
            notes.append(f"{count} of the {side} side came again for the same input; the first one counts.")
        if told["deleted"][side]:
            notes.append(f"The oldest answers of the {side} side are deleted, so some that are missing may have been.")
    return notes


def _refs(models: dict[str, int]) -> str:
    return " and ".join(f"<bdi>{text(ref)}</bdi>" for ref in models) or "no prediction"


def _inputs(told: Told) -> str:
    there = [kind for kind in KINDS if told[kind[0]]]
    rows = [
        (
            f'<span class="key">{picture.bar(1, css)}</span>{words}',
            n(told[kind]),
            share(told[kind], told["inputs"]),
            means,
        )
        for kind, css, words, means in there
    ]
    fields = ", ".join(f"{text(name)} in {n(count)}" for name, count in told["fields"].items())
    more = f"<p>Where answers changed, they differ in: {fields}.</p>" if fields else ""
    marks = ", ".join(f"{text(name)} {n(count)}" for name, count in told["marks"].items())
    more += f"<p>Marks of the expected changes: {marks}.</p>" if marks else ""
    codes = ", ".join(f"{text(name)} {n(count)}" for name, count in told["codes"].items())
    more += f"<p>Why they were or are dead letters: {codes}.</p>" if codes else ""
    return (
        f"<h2>What became of {many(told['inputs'], 'input')}</h2>\n"
        + picture.stacked([(css, told[kind]) for kind, css, _, _ in KINDS])
        + table(("", "inputs", "share", "which is"), rows, numbers=(1, 2), more=(3,), label="What became of the inputs")
        + more
    )


def _examples(examples: dict[str, list[str]]) -> str:
    words = {kind: said for kind, _, said, _ in KINDS}
    lists = "".join(
        f"<details><summary>{words[kind]}: the first {len(told)}</summary><ul>"
        + "".join(f"<li><code>{text(one)}</code></li>" for one in told)
        + "</ul></details>"
        for kind, told in examples.items()
    )
    return f"<h2>Where to look</h2>\n{lists}" if lists else ""


def _words() -> str:
    means = "".join(f"<dt>{words}</dt><dd>{means}</dd>" for _, _, words, means in KINDS)
    return (
        "<h2>How to read this</h2>\n<p>Both sides are joined by the input that each answer names. The same events give "
        "the same bytes for the same model, where no answer bears a mark.</p>"
        f"<details><summary>What the words mean</summary><dl>{means}</dl></details>"
    )

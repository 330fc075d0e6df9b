"""A difference as programs see it: the object that `replay diff --json` prints, and that the page is made from.

Shape, with old and new always as {"old": ..., "new": ...}; money in units of currency; sources as
topic/partition/offset:

  inputs, identical, changed, by_model, expected, unexpected, missing_old, missing_new, letters, letter_to_prediction,
  prediction_to_letter, letters_left, duplicated{}, deleted{}, ok
  pipeline, source, topics{}, offsets {partition: [start, end)}, models{} of {name@version: count}
  fields {name: changed}, marks {mark: expected changes}, codes {code: letters}, examples {kind: [words]}
  scores: null or {count, mean_shift, mean_absolute_shift, alerts{}, thresholds{}, money, to_alert and to_pass
    {count, money, by_threshold}, shift_histogram [{from, to, count}], histograms{} of [count], movers, segments}
  items: null or {count, mean_overlap, same_order, same_first, stayed [count], movers, segments}
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.replay.diff import Difference, Kind
from app.replay.diff_items import Items, Ranked
from app.replay.diff_scores import BOUNDS, Part, Scores

Told = dict[str, Any]


def as_object(found: Difference) -> Told:
    """The whole of it, fit for JSON."""
    asked = found.asked
    return {
        "ok": not found.broken,
        "pipeline": asked.pipeline,
        "source": asked.source,
        "topics": _both(asked.old.answers, asked.new.answers),
        "offsets": {str(p): [span.start, span.end] for p, span in sorted(asked.spans.items())},
        "models": _both(*(dict(counter.most_common()) for counter in found.models)),
        "inputs": found.inputs,
        "changed": found.changed,
        **{kind.value: found.kinds[kind] for kind in Kind},
        "duplicated": _both(*found.duplicated),
        "deleted": _both(*found.deleted),
        "fields": dict(found.fields.most_common()),
        "marks": dict(found.marks.most_common()),
        "codes": dict(found.codes.most_common()),
        "examples": {kind.value: words for kind, words in found.examples.items()},
        "scores": None if found.scores is None else _scores(found, found.scores),
        "items": None if found.items is None else _items(found, found.items),
    }


def _both(old: Any, new: Any) -> Told:
    return {"old": old, "new": new}


def _scores(found: Difference, scores: Scores) -> Told:
    edges = (None, *BOUNDS, None)
    return {
        **_part(scores.whole),
        "thresholds": _both(*(sorted(seen) for seen in scores.thresholds)),
        "money": scores.money,
        "shift_histogram": [
            {"from": low, "to": high, "count": count}
            for low, high, count in zip(edges[:-1], edges[1:], scores.shifts, strict=True)
        ],
        "histograms": _both(scores.old, scores.new),
        "movers": [
            {
                "source": found.source(mover.source),
                "event_id": mover.event_id,
                "key": mover.key,
                "score": _both(mover.old, mover.new),
                "decision": _both(mover.old_decision, mover.new_decision),
                "features": {name: _both(*values) for name, values in mover.features.items()},
            }
            for mover in scores.movers()
        ],
        "segments": _segments(scores.segments, _part),
    }


def _part(part: Part) -> Told:
    return {
        "count": part.count,
        "mean_shift": round(part.mean_shift, 9),
        "mean_absolute_shift": round(part.mean_absolute, 9),
        "alerts": _both(part.alerts_old, part.alerts_new),
        "to_alert": _turned(part.to_alert),
        "to_pass": _turned(part.to_pass),
    }


def _turned(turned: Any) -> Told:
    told = asdict(turned)
    return {**told, "money": round(told["money"], 2)}


def _items(found: Difference, items: Items) -> Told:
    return {
        **_ranked(items.whole),
        "stayed": items.stayed,
        "movers": [
            {
                "source": found.source(one.source),
                "event_id": one.event_id,
                "key": one.key,
                "items": _both(list(one.old), list(one.new)),
                "stayed": one.left,
            }
            for one in items.movers()
        ],
        "segments": _segments(items.segments, _ranked),
    }


def _ranked(part: Ranked) -> Told:
    return {
        "count": part.count,
        "mean_overlap": round(part.mean_overlap, 9),
        "same_order": part.same_order,
        "same_first": part.same_first,
    }


def _segments(segments: dict[str, dict[str, Any]], told: Any) -> Told:
    return {group: {label: told(part) for label, part in parts.items()} for group, parts in segments.items()}

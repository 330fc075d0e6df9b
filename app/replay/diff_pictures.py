"""Small pictures as inline SVG. Pure: from numbers to text; what is written beside them is the page's.

Pictures stretch to whatever width they are given, so they hold no letters. Colours are the page's classes, and say
nothing that a place, a pattern or a number does not say, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def bar(share: float, kind: str) -> str:
    """A bar from the left, as wide as `share` of the room, and never invisible where there is something."""
    width = 0.0 if share <= 0 else max(0.6, min(1.0, share) * 100)
    return _svg(100, 10, f'<rect class="{kind}" x="0" y="0" width="{width:.2f}" height="10"/>', "bar")


def diverging(value: float, most: float) -> str:
    """A bar from the middle: to the left of it for less, to the right for more."""
    share = 0.0 if not most else max(-1.0, min(1.0, value / most)) * 50
    left, width = (50 + share, -share) if share < 0 else (50.0, share)
    kind = "down" if share < 0 else "up"
    line = '<rect class="axis" x="49.8" y="0" width="0.4" height="10"/>'
    return _svg(100, 10, f'<rect class="{kind}" x="{left:.2f}" y="1" width="{width:.2f}" height="8"/>{line}', "bar")


def stacked(parts: Sequence[tuple[str, int]]) -> str:
    """One bar of parts, each with its class, in proportion; each part that is there can be seen."""
    shown = [(kind, count) for kind, count in parts if count]
    total = sum(count for _, count in shown)
    least = 0.8
    widths = [max(least, 100 * count / total) for _, count in shown]
    scale = 100 / sum(widths) if widths else 1.0
    rects, x = [], 0.0
    for (kind, _), width in zip(shown, widths, strict=True):
        rects.append(f'<rect class="{kind}" x="{x:.2f}" y="0" width="{width * scale:.2f}" height="10"/>')
        x += width * scale
    return _svg(100, 10, "".join(rects), "stacked")


def columns(old: Sequence[int], new: Sequence[int], thresholds: Sequence[tuple[str, float]]) -> str:
    """Two histograms over 0 to 1 on a logarithmic scale: the old one behind, the new one narrower and before it."""
    most = max([1, *old, *new])
    width = 100 / len(old)
    shapes = []
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        for count, kind, inset in ((before, "old", 0.06), (after, "new", 0.28)):
            height = 60 * logarithmic(count, most)
            x, wide = (i + inset) * width, (1 - 2 * inset) * width
            shapes.append(
                f'<rect class="{kind}" x="{x:.2f}" y="{60 - height:.2f}" width="{wide:.2f}" height="{height:.2f}"/>'
            )
    for kind, threshold in thresholds:
        shapes.append(
            f'<line class="threshold {kind}" x1="{threshold * 100:.2f}" x2="{threshold * 100:.2f}" y1="0" y2="60"/>'
        )
    return _svg(100, 60, "".join(shapes), "columns")


def slope(old: float, new: float) -> str:
    """A score that moved, on a line from 0 to 1: an open mark where it was, a full one where it is."""
    kind = "up" if new >= old else "down"
    left, right = sorted((100 * old, 100 * new))
    return _svg(
        100,
        10,
        '<rect class="track" x="0" y="4.4" width="100" height="1.2"/>'
        f'<rect class="{kind}" x="{left:.2f}" y="3" width="{max(0.4, right - left):.2f}" height="4"/>'
        f'<rect class="was" x="{min(98.8, max(0.0, 100 * old - 0.6)):.2f}" y="0.5" width="1.2" height="9"/>'
        f'<rect class="{kind} is" x="{min(98.4, max(0.0, 100 * new - 0.8)):.2f}" y="0.5" width="1.6" height="9"/>',
        "slope",
    )


def logarithmic(count: int, most: int) -> float:
    """How long a bar is, 0 to 1: each ten times as many add as much."""
    return math.log10(1 + count) / math.log10(1 + most) if most > 0 else 0.0


def _svg(width: int, height: int, inside: str, kind: str) -> str:
    """Hidden from those who hear the page: the numbers beside it say the same."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true" '
        f'focusable="false">{inside}</svg>'
    )

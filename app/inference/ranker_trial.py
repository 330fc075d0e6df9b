"""What a loaded ranker is put through before it may rank: histories with known answers, and the same in other company.

Promises that a ranker which passed gives a history the same items and the same bits of scores in every batch that was
tried, among histories of all lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.errors import Fatal, RecordError
from app.inference.manifest import RankerManifest
from app.inference.trial import ROWS, SIZES_AND_ROWS

if TYPE_CHECKING:
    from app.inference.ranker import Ranking

Histories = Sequence[Sequence[str]]
Rank = Callable[[Histories], "list[Ranking]"]

_LONGEST = 300  # items of a history that is tried; no more than half of the model's


def check_ranker(manifest: RankerManifest, rank: Rank, items: tuple[str, ...]) -> None:
    """Rank for the golden histories, and for others of all lengths in many batches.

    Raises:
        Fatal: when an answer is not the manifest's, cannot be had, or depends on its company.
    """
    try:
        _check_golden(manifest, rank)
        _check_batches(manifest, rank, items)
    except (RecordError, IndexError) as error:
        raise Fatal(
            f"Model {manifest.ref} cannot rank for what its manifest says: the graph does not take or give the indexes "
            f"of {manifest.items.file}, the pad or the fallback, or gives no finite scores."
        ) from error


def _check_golden(manifest: RankerManifest, rank: Rank) -> None:
    """Items and scores must be the manifest's, to the bit."""
    found = rank([golden.history for golden in manifest.golden])
    differing = [
        place
        for place, (golden, ranking) in enumerate(zip(manifest.golden, found, strict=True), 1)
        if (golden.items, _bits(golden.scores)) != (ranking.items, _bits(ranking.scores))
    ]
    if differing:
        place = differing[0]
        golden, ranking = manifest.golden[place - 1], found[place - 1]
        raise Fatal(
            f"Model {manifest.ref} does not rank as its manifest says: golden history {place} of {len(found)} should "
            f"give {_told(golden.items, golden.scores)} and gives {_told(ranking.items, ranking.scores)} "
            f"({len(differing)} histories differ). The file, ONNX Runtime or the processor is another one than where "
            "the manifest was written."
        )


def _check_batches(manifest: RankerManifest, rank: Rank, items: tuple[str, ...]) -> None:
    """512 histories together, shuffled, and in batches of 1, 2, 3 and 64 must be answered alike."""
    histories = _many_histories(manifest, items)
    together = rank(histories)
    shuffle = np.random.default_rng(7).permutation(ROWS).tolist()
    shuffled = dict(zip(shuffle, rank([histories[place] for place in shuffle]), strict=True))
    _same(manifest, together, [shuffled[place] for place in range(ROWS)], how=f"a shuffled batch of {ROWS}")
    for size, rows in SIZES_AND_ROWS:
        parts = [ranking for first in range(0, rows, size) for ranking in rank(histories[first : first + size])]
        _same(manifest, together[:rows], parts[:rows], how=f"a batch of {size}")


def _same(manifest: RankerManifest, together: list[Ranking], apart: list[Ranking], *, how: str) -> None:
    differing = [
        (one, other)
        for one, other in zip(together, apart, strict=True)
        if (one.items, _bits(one.scores)) != (other.items, _bits(other.scores))
    ]
    if differing:
        one, other = differing[0]
        raise Fatal(
            f"Model {manifest.ref} ranks for the same history differently in other company: "
            f"{_told(one.items, one.scores)} in a batch of {ROWS} and {_told(other.items, other.scores)} in {how} "
            f"({len(differing)} of {len(apart)} differ), so a replay could not give the same answers. Round its "
            "weights so that their sums are exact in any order, or export it without operators that mix rows."
        )


def _many_histories(manifest: RankerManifest, items: tuple[str, ...]) -> list[Sequence[str]]:
    """The golden histories, and more of all lengths, short ones among long ones."""
    random = np.random.default_rng(11)
    longest = max(1, min(_LONGEST, len(items) // 2))
    histories: list[Sequence[str]] = [golden.history for golden in manifest.golden[:ROWS]]
    while len(histories) < ROWS:
        length = random.integers(1, longest + 1) if len(histories) % 2 else random.integers(1, min(20, longest) + 1)
        histories.append([items[i] for i in random.choice(len(items), length, replace=False).tolist()])
    return histories


def _bits(scores: tuple[float, ...]) -> bytes:
    return np.array(scores, np.float64).tobytes()


def _told(items: tuple[str, ...], scores: tuple[float, ...]) -> str:
    told = ", ".join(f"{item} ({score!r})" for item, score in zip(items[:3], scores[:3], strict=False))
    return (f"{told} and {len(items) - 3} more" if len(items) > 3 else told) or "nothing"

"""The dead-letter limit: a bad deploy, ours or a producer's, must not turn a whole topic into dead letters.

Each worker's process counts for itself, from its start. A batch that would pass the limit is not committed, so its
records are still there for whoever mends the cause.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from app.errors import Fatal
from app.record import Output, last_header
from app.stream.letters import source_of

WINDOW = 1000  # the last records, over which the share is taken; whole batches, so it may be one batch more
FROM = 100  # records before which a share says nothing


class Quota:
    """The share of the last records that may be dead letters; `accepted` letters beyond it are let through."""

    def __init__(self, share: float, *, accepted: int = 0) -> None:
        self._share = share
        self._accepted = accepted
        self._batches: deque[tuple[int, Counter[str]]] = deque()
        self._records = 0
        self._codes: Counter[str] = Counter()

    def count(self, records: int, letters: Sequence[Output]) -> None:
        """Take in a batch of so many records, with these dead letters among its outputs.

        Raises Fatal where the batch passes the limit; it must not be committed then.
        """
        codes = Counter(map(_why, letters))
        self._batches.append((records, codes))
        self._records += records
        self._codes += codes
        while self._records - self._batches[0][0] >= WINDOW:
            gone, of_batch = self._batches.popleft()
            self._records -= gone
            self._codes -= of_batch
        dead = self._codes.total()
        if not letters or self._records < FROM or dead <= self._share * self._records:
            return
        if self._accepted < len(letters):
            raise Fatal(self._words(dead, letters[0]))
        self._accepted -= len(letters)

    def _words(self, dead: int, letter: Output) -> str:
        code, count = self._codes.most_common(1)[0]
        return (
            f"{dead} of the last {self._records} records are dead letters, and the limit is {self._share:.1%}; most "
            f"of them ({count}) for {code}. The last batch is not committed; in it is {source_of(letter).decode()}. "
            f"Look at them with `streaminfer tail {letter.topic}`, and mend what sends them, or the contract. To go on "
            "all the same, run with --accept-dead-letters N for N more, or with another --dead-letter-limit."
        )


def _why(letter: Output) -> str:
    return "/".join(last_header(letter.headers, name).decode() for name in ("stage", "code"))

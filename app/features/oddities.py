"""What is odd about rows that others wrote: counted by what it is, and named once in the log.

A row's values are never told, nor whose they are.
"""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger(__name__)

# A row or a field that is not there is no news: the prediction says so.
WORDS = {
    "not-a-number": "is not a number of its type that fits into 32 bits",
    "no-time": "does not say when a row was written",
    "wrong-type": "is a value of another kind than a hash",
    "not-json": "is not a JSON object",
    "wrong-width": "does not have as many bytes as the fields need",
}


class Oddities:
    """Counts rows as they are read. `counts` has the words of WORDS, no-row, no-field and too-old, and no others."""

    def __init__(self, lookup: str) -> None:
        self.counts: Counter[str] = Counter()
        self._lookup = lookup
        self._named: set[tuple[str, str]] = set()

    def note(self, word: str, field: str) -> None:
        self.counts[word] += 1
        if word in WORDS and (word, field) not in self._named:
            self._named.add((word, field))
            what = f"the field {field}" if field else "a row"
            log.warning(
                "The lookup %s: %s %s; what is declared for missing values stands for it. Counted, and not said again.",
                self._lookup, what, WORDS[word],
            )  # fmt: skip

"""Whether two states of one entity are the same, and either of them in words.

They are where every read that is promised sees the same. So both are cut to what both still promise, packed, and
compared byte by byte.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.features.outcomes import Outcomes
from app.features.store import PREFIX
from app.features.views import View


def alike(view: View, stored: Any, mine: Any) -> bool:
    """Whether two states of one entity give every promised read the same."""
    if view.pack(stored) == view.pack(mine):
        return True
    if not isinstance(view, Outcomes) or stored.newest_ms != mine.newest_ms or stored.kept_ms == mine.kept_ms:
        return False
    # How much is kept for readers that are behind is each run's own setting: compare what both have kept.
    kept = max(stored.kept_ms, mine.kept_ms)
    both = replace(view, keep_ms=max(0, mine.newest_ms - view.within_ms - view.lateness_ms - kept))
    return both.pack(stored) == both.pack(mine)


def folded_in_words(view: View, state: Any) -> dict[str, object] | None:
    """A state that was folded afresh."""
    return None if state is None else {"next_offset": state.next_offset, **view.describe(state)}


def blob_in_words(view: View, blob: bytes | None) -> dict[str, object] | None:
    """A state as it is in Redis, whatever bytes it is."""
    if blob is None:
        return None
    try:
        return {"next_offset": PREFIX.unpack_from(blob)[0], **view.describe(view.unpack(blob[PREFIX.size :]))}
    except Exception as error:  # whatever those bytes are
        return {"bytes": len(blob), "unreadable": str(error) or type(error).__name__}

"""A build that is filled beside the one that serves, the swap, and throwing away what nobody names any more.

A draft is the marker of such a build, under a key of its own: flushes are fenced by it as the loop's are by the
marker, and it says how far a rebuild that was cut short had come. The swap is one compare-and-set of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

import redis

from app.features.marker import Marker, decode_marker
from app.features.store import Store, unavailable

T = TypeVar("T")

SLICE = 1000
DIGEST = 16  # letters of a digest in a key; a build's name has fewer, so an entity called `marker` is no marker

# What is at a key, whatever its type: '' where nothing is. What is no string is told by its type.
LOOK = """
local function look(key)
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'none' then return '' end
  if kind == 'string' then return redis.call('GET', key) end
  return '(' .. kind .. ')'
end
"""
FIND = LOOK + "return {look(KEYS[1]), look(KEYS[2])}"
SWAP = (
    LOOK
    + """
if look(KEYS[1]) ~= ARGV[1] or look(KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""
)
START = (
    LOOK
    + """
if look(KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
)


@dataclass(frozen=True)
class Place:
    """Where one declaration's state of one partition is in Redis, and what is there: bytes, whatever they are."""

    marker_key: str
    draft_key: str
    marker: bytes
    draft: bytes


class Drafts:
    """The drafts of one view, as it is declared. Raises Unavailable where Redis does not answer."""

    def __init__(self, store: Store, view: str, digest: str) -> None:
        self._store = store
        self._view = view
        self._digest = digest
        self._find = store.client.register_script(FIND)
        self._swap = store.client.register_script(SWAP)
        self._start = store.client.register_script(START)

    def draft_key(self, partition: int) -> str:
        return f"{self._store.tag(self._view, partition)}/{self._digest}/draft"

    def find(self, partition: int) -> Place:
        """Marker and draft at one moment."""
        keys = [self._store.marker_key(self._view, partition, self._digest), self.draft_key(partition)]
        return Place(keys[0], keys[1], *self._run(self._find, keys, []))

    def start(self, place: Place, draft: Marker) -> bool:
        """Announce a new build. False if another rebuild was quicker."""
        return bool(self._run(self._start, [place.draft_key], [place.draft, draft.encode()]))

    def swap(self, place: Place, draft: Marker, target: Marker) -> bool:
        """Let `draft` serve as `target`. False if marker or draft are not what they were."""
        keys = [place.marker_key, place.draft_key]
        return bool(self._run(self._swap, keys, [place.marker, draft.encode(), target.encode()]))

    def _run(self, script: Any, keys: list[str], args: list[bytes]) -> Any:
        try:
            return script(keys=keys, args=args)
        except redis.RedisError as error:
            raise unavailable(error) from error


def unlink(store: Store, view: str, partition: int, build: str) -> int:
    """Remove the blobs of a build that neither a marker nor a draft names. Gives how many there were."""
    prefix = store.blob_key(view, partition, build)
    return _unlink(store, store.client.scan_iter(match=prefix + "*", count=SLICE))


def forget(store: Store) -> int:
    """Remove everything that a pipeline keeps, markers too. Only for one that runs nowhere. Gives how many keys."""
    return _unlink(store, store.client.scan_iter(match=f"{{{store.pipeline}/*", count=SLICE))


@dataclass(frozen=True)
class Cleaned:
    """What was removed. `drafts` are of rebuilds that are at work or were cut short: they are kept."""

    builds: int
    blobs: int
    markers: int
    drafts: int


def clean(store: Store, view: str, *, digest: str, old: bool) -> Cleaned:
    """Remove the builds that nobody names; with `old`, also what was made for other declarations than `digest`.

    Safe beside workers and rebuilds, by the order of reading: blobs are only ever written under a build that a marker
    or a draft names. So a build that had blobs first and is named by neither afterwards is never written to again.
    """
    seen = {(key.tag, key.part) for key in _keys(store, view) if not key.is_name}
    names = {(key.tag, key.part) for key in _keys(store, view) if key.is_name}
    gone = {name for name in names if old and name[1] != digest}
    named, markers, drafts = set[tuple[bytes, str]](), 0, 0
    for tag, part in names:
        keys = [b"%b/%b/%b" % (tag, part.encode(), kind) for kind in (b"marker", b"draft")]
        if (tag, part) in gone:
            markers += _unlink(store, keys)
            continue
        marker, draft = store.mget(cast("list[str | bytes]", keys))
        drafts += draft is not None
        named |= {(tag, found.build) for raw in (marker, draft) if raw and (found := decode_marker(raw)) is not None}
    dead = seen - named
    blobs = _unlink(store, (k.key for k in _keys(store, view) if not k.is_name and (k.tag, k.part) in dead))
    return Cleaned(len(dead), blobs, markers, drafts)


@dataclass(frozen=True)
class _Key:
    """A key of a view's state: a name (marker or draft of the declaration `part`), or a blob of the build `part`."""

    key: bytes
    tag: bytes
    part: str
    is_name: bool


def _keys(store: Store, view: str) -> Iterator[_Key]:
    try:
        for raw in store.client.scan_iter(match=f"{{{store.pipeline}/{view}/*", count=SLICE):
            key = cast("bytes", raw)
            tag, _, rest = key.partition(b"}/")
            part, _, last = rest.partition(b"/")
            is_name = len(part) == DIGEST and last in (b"marker", b"draft")
            yield _Key(key, tag + b"}", part.decode(errors="replace"), is_name)
    except redis.RedisError as error:
        raise unavailable(error) from error


def _unlink(store: Store, keys: Iterable[bytes]) -> int:
    count = 0
    try:
        for part in slices(keys, SLICE):
            by_tag: dict[bytes, list[bytes]] = {}  # one slot of a cluster each
            for key in part:
                by_tag.setdefault(key.partition(b"}")[0], []).append(key)
            count += sum(store.client.unlink(*of_tag) for of_tag in by_tag.values())
    except redis.RedisError as error:
        raise unavailable(error) from error
    return count


def slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part

"""Bytes a little off: cut, doubled, spliced, flipped, or with a piece of what such formats trip over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

MOST = 64 * 1024  # bytes; what is longer is another test's

PIECES = (
    b"", b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b'"', b"'", b"{", b"}",
    b"[" * 300, b'{"a":' * 300, b"]", b",", b":", b"-0", b"-1", b"0", b"1e400", b"1E-400", b"NaN", b"Infinity",
    b"null", b"true", b"9" * 30, b"9" * 5000, b"9223372036854775808", b"18446744073709551616", b"4102444800000",
    b"0.1", b"1.0", b"&a", b"*a", b"!!python/name:os.system", b"? ", b"- ", b"|", b">", b"%", b"---", b"...", b"\t",
    b"\r\n", b" ", b"#", b"=", b"[[", b"]]", b'"""', b"inf", b"nan", b"2020-01-01", b"\x0a\x08location", b"\x7f",
    b"\x80", b"\x80\x80\x80\x01",
)  # fmt: skip

Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutated(draw: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus with one to eight changes."""
    content = bytearray(draw.choice(corpus))
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        draw.choice(CHANGES)(draw, content, corpus)
    return bytes(content[:MOST])


def _flip(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _set(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    if content:
        content[draw.randrange(len(content))] = draw.randrange(256)


def _cut(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    first, end = _span(draw, content)
    del content[first:end]


def _double(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    first, end = _span(draw, content)
    content[end:end] = content[first:end] * draw.choice((1, 2, 50))


def _insert(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    place = draw.randint(0, len(content))
    content[place:place] = draw.choice(PIECES)


def _replace(draw: random.Random, content: bytearray, _: Sequence[bytes]) -> None:
    first, end = _span(draw, content)
    content[first:end] = draw.choice(PIECES)


def _splice(draw: random.Random, content: bytearray, corpus: Sequence[bytes]) -> None:
    other = draw.choice(corpus)
    content[draw.randint(0, len(content)) :] = other[draw.randint(0, len(other)) :]


def _span(draw: random.Random, content: bytearray) -> tuple[int, int]:
    first = draw.randint(0, len(content))
    return first, min(len(content), first + draw.choice((1, 1, 2, 4, 8, 16, 64)))


CHANGES: tuple[Change, ...] = (_flip, _set, _cut, _double, _insert, _insert, _replace, _replace, _splice)

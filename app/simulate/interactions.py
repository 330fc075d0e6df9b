"""The interactions of MovieLens-100k: 943 people, 1,682 films, 100,000 ratings from September 1997 to April 1998.

Owns the file's form and the shift of its times. Promises that what it reads is the published data, byte for byte.
The data is recorded and not drawn; its licence does not let it be passed on, so `ops/setup` fetches it and it is in no
repository. Imports numpy only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import Refused

FOLDER, FILE = "ml-100k", "ml-100k.inter"  # below models/recommendation/
SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"

DAY_S = 86_400
WEEKS = 1_044  # twenty years on, in whole weeks: hours and weekdays stay, and the wire's times start in 2000
SHIFT_S = WEEKS * 7 * DAY_S
EPOCH_MS = (874_713_600 + SHIFT_S) * 1_000  # 2017-09-23 00:00 UTC, a Saturday as 1997-09-20 was
DAYS = 215

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interactions:
    """Columns of equal length: who, which film, and when, in seconds since EPOCH_MS."""

    user: Ints
    item: Ints
    seconds: Ints

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def days(self) -> int:
        """Since EPOCH_MS, as many as the published data have."""
        return DAYS

    @property
    def time_ms(self) -> Ints:
        """Milliseconds since 1970, UTC, shifted."""
        return self.seconds * 1_000 + EPOCH_MS

    def taken(self, rows: NDArray[np.bool_] | Ints) -> Interactions:
        """Those of some rows, in their order."""
        return Interactions(self.user[rows], self.item[rows], self.seconds[rows])

    def in_time_order(self) -> Interactions:
        """By time, and in the file's order where times are equal."""
        return self.taken(np.argsort(self.seconds, kind="stable"))


def read_interactions(models: Path) -> Interactions:
    """The published data in the order of its file.

    Raises:
        Refused: when it is not there or is another file, with what to run.
    """
    path = models / "recommendation" / FOLDER / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(
            f"The data of MovieLens-100k is not here ({path}: {error.strerror}): ops/setup fetches it.", exit_code=3
        ) from error
    return parse(content)


def recorded(models: Path, seed: int) -> Interactions:
    """The published data in the order of time, for whoever sends it on. Raises Refused for another seed than 0."""
    if seed:
        raise Refused("The interactions are recorded and not drawn: there is one of them, seed 0.", exit_code=2)
    return read_interactions(models).in_time_order()


def parse(content: bytes) -> Interactions:
    """The columns of the file's bytes. Raises Refused where they are not those that were published."""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise Refused(
            f"{FILE} is not the file that was published (sha256 {SHA256}): delete the folder {FOLDER} that it lies in, "
            "and run ops/setup.",
            exit_code=3,
        )
    lines = content.decode().splitlines()
    rows = np.loadtxt(lines, dtype=np.int64, delimiter="\t", skiprows=1)
    user, item, _, second = rows.T  # a rating is an interaction, whatever was thought of the film
    return Interactions(user.copy(), item.copy(), second + SHIFT_S - EPOCH_MS // 1_000)

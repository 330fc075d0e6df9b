"""Harm the pipelines on purpose while they work, and judge every answer: `ops/faults`.

Three brokers, Redis and three pipelines of their own, under a steady load. The seed gives the order of the faults.
Leaves nothing behind however it ends. Exits with 0 only if every check holds and every fault took effect.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from app.cli.main import INTERRUPTED, exit_code
from app.cli.terminal import note, say
from app.errors import StreamInferError
from app.local.leash import Leash
from tests.faults.deal import ALL, QUICK, Dealer, Outcome, Profile, long, only, soak
from tests.faults.report import figures, lines
from tests.faults.stage import Stage, Stuck

TIMES = 3  # of one kind that is looked into


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def run(profile: Profile, seed: int, *, quiet: bool, keep: Path | None = None) -> Outcome:
    """A stage, the faults, the verdict. Raises Stuck where the stage does not come to stand."""
    began, leash = time.monotonic(), Leash()

    def tell(words: str) -> None:
        (note if quiet else say)(f"{time.monotonic() - began:7.1f} s  {words}")
        sys.stdout.flush()

    home = keep or Path(tempfile.gettempdir()) / f"streaminfer-faults-{seed}-{time.time_ns():x}"
    if keep is None:
        leash.remove_at_end(home)
    stage = Stage(leash, home, profile.shape, seed=seed)
    try:
        stage.begin(tell)
        return Dealer(stage, profile, tell).run()
    finally:
        stage.close()
        leash.close(grace_s=0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/faults", description=__doc__)
    parser.add_argument("--profile", choices=("quick", "long", "soak"), default="quick", help="how many faults")
    parser.add_argument("--seed", type=int, default=1, help="which faults, on whom, in which order")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="faults of the long profile")
    parser.add_argument("--minutes", type=float, default=50.0, metavar="M", help="how long faults are dealt, but quick")
    kinds = sorted(make().name for make in ALL)
    parser.add_argument(
        "--only",
        choices=kinds,
        action="append",
        metavar="FAULT",
        help="this kind alone, three times; several kinds once each",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the logs and data in this new folder")
    parser.add_argument("--json", action="store_true", help="one object in place of the table")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    profiles = {"quick": QUICK, "long": long(options.count, options.minutes * 60), "soak": soak(options.minutes * 60)}
    profile = profiles[options.profile]
    if options.only:
        profile = replace(
            profile, order=only(options.only, TIMES if len(options.only) == 1 else 1), last=(), within_s=float("inf")
        )
    try:
        outcome = run(profile, options.seed, quiet=options.json, keep=options.keep)
    except KeyboardInterrupt:
        note("Stopped; nothing is left running.")
        return INTERRUPTED
    except Stuck as stuck:
        note(f"The pipelines do not come to work at all: {stuck}")
        return 1
    except StreamInferError as error:
        note(str(error))
        return exit_code(error)
    if options.json:
        say(json.dumps(figures(outcome)))
    else:
        for line in lines(outcome):
            say(line)
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())

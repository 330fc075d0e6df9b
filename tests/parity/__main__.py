"""Whether what comes out of the stream is what is computed offline: every feature of every payment, and the model's
published figures. On servers of its own, with payments that wait for their outcomes, and again with workers killed.

Leaves nothing behind however it ends. Exits with 0 only if all of it holds.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

from app.cli.main import INTERRUPTED, exit_code
from app.cli.terminal import note, say
from app.errors import StreamInferError
from app.simulate.payments import DAYS
from tests.parity import PARTS


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/parity", description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS, help=f"the first N days in place of all {DAYS}", metavar="N")
    parser.add_argument("--part", choices=PARTS, help="one of the two parts; both by default, payments alone if cut")
    parser.add_argument("--seed", type=int, default=0, help="which worker is killed when")
    parser.add_argument("--json", action="store_true", help="one object in place of the tables")
    options = parser.parse_args()
    if not 1 <= options.days <= DAYS:
        parser.error(f"--days is from 1 to {DAYS}")
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        from tests.parity.proof import prove  # takes long enough for a Ctrl-C to come

        parts = (options.part,) if options.part else PARTS if options.days == DAYS else PARTS[:1]
        report = prove(parts, days=options.days, seed=options.seed, quiet=options.json)
    except KeyboardInterrupt:
        note("Stopped; nothing is left running.")
        return INTERRUPTED
    except StreamInferError as error:
        note(str(error))
        return exit_code(error)
    seconds = time.monotonic() - started
    if options.json:
        say(json.dumps({"holds": report.holds, "wrong": report.wrong, "seconds": round(seconds, 1), **report.facts}))
    else:
        say(f"{seconds:7.1f} s  in all")
        say("")
        for line in report.lines():
            say(line)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())

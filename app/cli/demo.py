"""The demo, as ops/demo starts it: payments through a real Kafka, a scorer killed on the way, and an audit.

About a minute of it live on the terminal, or with --quick 20,000 payments and the end. Then the same payments are
scored again by a second model. Leaves nothing behind however it ends, Ctrl-C and kill -9 included, but for the page of
what that model changed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from app.cli.main import INTERRUPTED, exit_code
from app.cli.terminal import note, say
from app.errors import StreamInferError

SECONDS = 60
LONGEST_S = 3_000  # then the simulated payments are all sent

NEXT = """\
What to try next, with servers that stay until `down`:
  .venv/bin/streaminfer up
  .venv/bin/streaminfer topics apply
each of these in a terminal of its own:
  .venv/bin/streaminfer run fraud --workers 2
  .venv/bin/streaminfer run fraud-labels
  .venv/bin/streaminfer produce payments.labels --simulate --rate 500
  .venv/bin/streaminfer produce payments --simulate --rate 500 --start-day 6
and in one more:
  .venv/bin/streaminfer tail payments.scored
  .venv/bin/streaminfer features get customer 596
  echo 'not a payment' | .venv/bin/streaminfer produce payments --raw
  .venv/bin/streaminfer tail payments.dead --from beginning
  .venv/bin/streaminfer audit fraud"""


def _run(*, quick: bool, seconds: int) -> bool:
    from app.cli import demo_long, demo_steps

    return demo_steps.run() if quick else demo_long.run(seconds)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"it must be a number from 1 to {LONGEST_S}")
    return int(text)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 payments, told step by step, and the end")
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="how long it is shown live, 60 if left out")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.quick and wanted.seconds is not None:
        parser.error("--seconds does not go with --quick")
    started = wanted.started
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from app.cli.demo_scene import took  # takes long enough for a Ctrl-C to come

        took(time.time() - started, "$ ops/setup")
        right = _run(quick=wanted.quick, seconds=wanted.seconds or SECONDS)
    except KeyboardInterrupt:
        say("Stopped; nothing is left running.")
        return INTERRUPTED
    except StreamInferError as error:
        note(str(error))
        return exit_code(error)
    say(f"{time.time() - started:6.1f} s  in all; {'all is right' if right else 'something is NOT right, see above'}")
    say("")
    say(NEXT)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

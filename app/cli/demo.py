"""The demo, as ops/demo starts it: payments through a real Kafka, a worker killed half way, and an audit.

Leaves nothing behind however it ends, Ctrl-C and kill -9 included.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from app.cli.main import INTERRUPTED, exit_code
from app.cli.terminal import note, say
from app.errors import StreamInferError

NEXT = """\
What to try next, with servers that stay until `down`:
  .venv/bin/streaminfer up
  .venv/bin/streaminfer topics apply
  .venv/bin/streaminfer run fraud --workers 2
and in a second terminal:
  .venv/bin/streaminfer produce payments --simulate --rate 500
  .venv/bin/streaminfer tail payments.scored
  .venv/bin/streaminfer features get customer 596
  echo 'not a payment' | .venv/bin/streaminfer produce payments --raw
  .venv/bin/streaminfer tail payments.dead --from beginning
  .venv/bin/streaminfer audit fraud"""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 payments; so far the same without it")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    started = parser.parse_args().started
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from app.cli.demo_steps import run, took  # takes long enough for a Ctrl-C to come

        took(time.time() - started, "$ ops/setup")
        right = run()
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

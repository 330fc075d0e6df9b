"""`python -m app.monitor`: the monitor's process; the command `monitor` starts it, and starts it again when it dies."""

import signal
import sys

# Before the imports, which take a while: Ctrl-C goes to the whole group, and is the command's to answer.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from app.monitor.process import main  # noqa: E402

sys.exit(main())

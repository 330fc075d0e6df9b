"""`python -m app.stream`: a worker's process."""

import signal
import sys

# Before the imports, which take a while: Ctrl-C goes to the whole group, and is the supervisor's to answer.
signal.signal(signal.SIGINT, signal.SIG_IGN)

from app.stream.process import main  # noqa: E402

sys.exit(main())

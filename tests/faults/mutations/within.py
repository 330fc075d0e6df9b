"""A plugin for pytest that puts a broken copy of `app/` before the project's own.

MUTANT names the copy. Processes that tests start have it; the tests themselves only with MUTANT_INSIDE.
"""

from __future__ import annotations

import os
import sys

tree = os.environ["MUTANT"]
os.environ["PYTHONPATH"] = os.pathsep.join([tree, os.getcwd()])
os.environ["PYTHONSAFEPATH"] = "1"  # `-m` would put the working folder first
if os.environ.get("MUTANT_INSIDE"):
    assert "app" not in sys.modules
    sys.path.insert(0, tree)
    import app

    assert str(app.__file__).startswith(tree), app.__file__

"""Who comes to guarded servers: runs the commands as a user does, every setting by its variable."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from app.cli.main import cli
from app.local.leash import Leash
from app.telemetry.masking import forget
from tests.contract.cli.shell import Shell


class Visitor(Shell):
    """A shell whose servers nobody here has started. Settings that are None are left out."""

    def __init__(self, home: Path, leash: Leash, settings: Mapping[str, object]) -> None:
        self._leash = leash
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMINFER_")}
        self.settings = {f"STREAMINFER_{n.upper()}": str(v) for n, v in settings.items() if v is not None}
        self.settings["STREAMINFER_HOME"] = str(home)
        self.environment = kept | self.settings

    def here(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """As `run`, but in this process: it takes a tenth of the time."""
        done = self.tried(*arguments)
        assert done.exit_code == code, f"{arguments} exited with {done.exit_code}:\n{done.output}\n{done.exception}"
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.stdout, done.stderr

    def tried(self, *arguments: str, **variables: str) -> Result:
        """What becomes of a command in this process, with these variables too."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            return CliRunner().invoke(cli, [*arguments], env=self.settings | variables)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            forget()

    def refused(self, *arguments: str, code: int = 1) -> str:
        """What a command says on standard error that ends with this code."""
        return self.here(*arguments, code=code)[1]

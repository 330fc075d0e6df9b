"""The command `streaminfer`, and the one place where errors become sentences and exit codes.

0 done; 1 the answer is no; 2 wrong use; 3 a service is missing; 130 interrupted. A user's mistake never shows a
traceback; a mistake of ours does.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from app.cli import (
    acls,
    audit,
    completion,
    dlq,
    features,
    health,
    lag,
    models,
    monitor,
    new,
    offsets,
    produce,
    replay,
    run,
    settings,
    stack,
    status,
    tail,
    topics,
)
from app.cli.completion import PROGRAM
from app.cli.terminal import note, say
from app.errors import Refused, StreamInferError, Unavailable

INTERRUPTED = 130
# A file or folder was named that is not there, is another kind of thing, or is not the user's to write.
WRONG_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS}


class _Told(TyperGroup):
    """Runs a command and tells its errors in a sentence."""

    def get_params(self, ctx: Any) -> Any:
        """Without typer's own flags that write into a shell's start files: `completion` prints instead."""
        return [param for param in super().get_params(ctx) if not str(param.name).endswith("_completion")]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StreamInferError as error:
            note(str(error))
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _leave_quietly()
        except Exception as error:
            if (told := _told(error)) is None:
                raise
            note(told[0])
            sys.exit(told[1])


def exit_code(error: StreamInferError) -> int:
    """What a command that ended with this error exits with."""
    match error:
        case Unavailable():
            return 3
        case Refused():
            return error.exit_code
        case _:
            return 1


def _told(error: Exception) -> tuple[str, int] | None:
    """Sentence and exit code for what no room has put into words; None for what only a mistake of ours can raise."""
    home = type(error).__module__.partition(".")[0]
    if home in ("cimpl", "confluent_kafka"):
        cause: Any = error.args[0] if error.args else error
        words = cause.str() if hasattr(cause, "str") else str(cause)
        if hasattr(cause, "name") and cause.name() == "_INVALID_ARG":
            return f"The setting kafka or kafka_options is wrong: {words}.", 2
        return f"Kafka does not answer ({words}).", 3
    if home == "redis":
        return f"Redis does not answer ({type(error).__name__}: {str(error)[:200]}).", 3
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}.", 2 if error.errno in WRONG_PLACE else 1
    return None


def _leave_quietly() -> NoReturn:
    """Whoever read our output has had enough of it. Nothing may be written at exit, or Python would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


cli = typer.Typer(
    cls=_Told,
    help="Score every event of a Kafka topic once, with features that are right, and answer on another topic.",
    epilog="A first look: `streaminfer up`, `streaminfer topics apply`, `streaminfer produce payments --simulate "
    "--count 1000`, `streaminfer run fraud --until-end`, `streaminfer tail payments.scored --until-end`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
NOUNS = (
    *(stack, status, topics, produce, run, tail, features, replay, audit, dlq, lag, monitor, offsets, health),
    *(new, models, acls, settings, completion),
)
for noun in NOUNS:
    noun.add_to(cli)


@cli.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What belongs to no command."""


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _interrupt)  # whoever is told to end cleans up, as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli()


if __name__ == "__main__":
    main()

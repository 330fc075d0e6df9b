"""`completion`: what a shell needs to complete our commands, flags and names."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from app.cli.terminal import say

PROGRAM = "streaminfer"


def add_to(cli: typer.Typer) -> None:
    cli.command("completion")(completion)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="Your shell.")],
) -> None:
    """Print what makes a shell complete commands, flags, and the names of pipelines, topics and views.

    Nothing is installed: load it in the shell's own start file. Completing connects to nothing.

    \b
    Examples:
      source <(streaminfer completion bash)             # in ~/.bashrc
      source <(streaminfer completion zsh)              # in ~/.zshrc, after compinit
      streaminfer completion fish | source              # in ~/.config/fish/config.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # public, not marked so

    say(get_completion_script(prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell))

"""`status`: everything at one glance, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from app.cli import stack
from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.health import sentence
from app.cli.lag import as_object, span, verdict
from app.cli.terminal import patience, printable, say, say_json, table
from app.errors import Unavailable

if TYPE_CHECKING:
    from app.local.stack import Server
    from app.replay.lag import PipelineLag
    from app.telemetry.overview import Letters, Overview, PipelineSeen

HEAD = ("PIPELINE", "WORKERS", "LAG", "WAITED", "NOBODY", "DEAD 1 h", "MODEL", "STATE")
SHOWN = 12  # topics that a line names


def add_to(cli: typer.Typer) -> None:
    cli.command("status")(status)


def status(kafka: Kafka = None, redis: Redis = None, home: Home = None, as_json: Json = False) -> None:
    """Show servers, topics and how each pipeline stands; what is wrong comes first.

    WORKERS own a partition, wherever they run; LAG and WAITED are those of `streaminfer lag`, counted for a second at
    most; NOBODY is how many partitions nobody owns; DEAD 1 h are the dead letters of the last hour; MODEL is what a run
    would load here; STATE is how many partitions of each view have a state in Redis.

    Takes a few seconds at most, whatever is away. Exits with 1 where a server that `up` started is dead, a service does
    not answer, or a run of this machine is not ready.

    \b
    Examples:
      streaminfer status
      streaminfer status --json
    """
    from app.pipelines import PIPELINES
    from app.telemetry.overview import overview

    local = stack._stack(home)
    servers = local.status()
    try:
        where = settings(kafka=kafka, redis=redis, home=home, enter=False)
    except Unavailable as error:
        if as_json:
            say_json({"well": False, "wrong": [str(error)], "servers": _servers(servers)})
        else:
            say(f"Nothing was started in {local.home}: `streaminfer up` does." if not servers else str(error))
            _tell_servers(servers)
        raise typer.Exit(1) from None
    with patience("Looking at everything"):
        found = overview(where, list(PIPELINES.values()))
    wrong = list(_wrong(servers, found))
    if as_json:
        say_json({"well": not wrong, "wrong": wrong, "servers": _servers(servers), **as_objects(found)})
    else:
        tell(servers, found, wrong)
    if wrong:
        raise typer.Exit(1)


def as_objects(found: Overview) -> dict[str, Any]:
    """The overview as JSON has it."""
    return {
        "kafka": {"address": found.kafka.address, "answers": found.kafka.answers, "why": found.kafka.why},
        "redis": {"address": found.redis.address, "answers": found.redis.answers, "why": found.redis.why},
        "topics": found.topics,
        "missing_topics": found.missing,
        "pipelines": [_pipeline(one) for one in found.pipelines],
    }


def _pipeline(seen: PipelineSeen) -> dict[str, Any]:
    return {
        "pipeline": seen.name,
        "model": seen.model,
        "workers": seen.workers,
        "runs_here": [
            {"run": run.name, "url": run.url, "ready": run.well, "wrong": dict(run.wrong)} for run in seen.runs_here
        ],
        "missing_topics": seen.missing,
        "lag": as_object(seen.lag) if seen.lag is not None else None,
        "unowned": list(seen.lag.unowned) if seen.lag is not None else None,
        "dead_letters_last_hour": seen.letters.by_code if seen.letters is not None else None,
        "dead_letters_exact": seen.letters is not None and not seen.letters.more,
        "state": [asdict(state) for state in seen.states],
        "unknown": seen.unknown,
    }


def _servers(servers: Sequence[Server]) -> list[dict[str, Any]]:
    return [{**asdict(server), "log": str(server.log)} for server in servers]


def _wrong(servers: Sequence[Server], found: Overview) -> Iterator[str]:
    """What a person must look at, in sentences."""
    for server in servers:
        if not server.alive:
            yield f"The server {server.name} is dead; its log is {server.log}; `streaminfer up` starts it again."
    for service in (found.kafka, found.redis):
        if not service.answers:
            yield service.why
    for seen in found.pipelines:
        for run in seen.runs_here:
            if not run.well:
                yield sentence(run)
        if seen.lag is not None and seen.lag.unowned and (seen.workers or _was_run(seen.lag)):
            yield verdict(seen.lag, seen.name)
        if seen.workers and seen.missing:
            yield f"{seen.name} runs, and {', '.join(seen.missing)} is not there: `streaminfer topics apply`."


def _was_run(lag: PipelineLag) -> bool:
    """Whether records wait that somebody has begun to score: a pipeline that nobody ever ran is no trouble."""
    return lag.lag > 0 and any(partition.committed is not None for partition in lag.partitions)


def tell(servers: Sequence[Server], found: Overview, wrong: Sequence[str]) -> None:
    """The screen."""
    for line in wrong:
        say(printable(line))
    if not wrong:
        say("All is well.")
    _tell_servers(servers)
    for name, service in (("Kafka", found.kafka), ("Redis", found.redis)):
        say(f"{name} {'answers' if service.answers else 'does not answer'} at {service.address}.")
    if found.kafka.answers:
        say(f"Topics: {_listed([f'{name} ({width})' for name, width in found.topics.items()]) or 'none'}.")
    if found.missing:
        say(f"Not there: {_listed(found.missing)}; `streaminfer topics apply` makes what pipelines need.")
    for line in table([HEAD, *map(row, found.pipelines)], right=(1, 2, 3, 4, 5)):
        say(line)
    for seen in found.pipelines:
        for line in _more(seen):
            say(printable(line))


def row(seen: PipelineSeen) -> tuple[Any, ...]:
    """A pipeline's line of the table; `?` is what could not be found out, `-` what there is none of."""
    lag = seen.lag
    state = ", ".join(f"{one.view} {one.partitions}/{one.of}" for one in seen.states)
    return (
        seen.name,
        len(seen.workers) if lag is not None else "?",
        "?" if lag is None else f"{lag.lag:,}" if lag.exact else f"<= {lag.lag:,}",
        "?" if lag is None else span(lag.seconds_behind_append),
        "?" if lag is None else len(lag.unowned) or "-",
        _letters(seen.letters),
        seen.model or "-",
        state or "-",
    )


def _letters(letters: Letters | None) -> str:
    if letters is None:
        return "?"
    return f"{'> ' if letters.more else ''}{letters.count:,}" if letters.count else "-"


def _more(seen: PipelineSeen) -> Iterator[str]:
    for why in seen.unknown:
        yield f"{seen.name}: {why}"
    if seen.workers:
        yield f"{seen.name} is scored by {_listed(seen.workers)}."
    for run in seen.runs_here:
        if run.url is not None:
            yield f"{run.name} answers at {run.url}."
    if seen.letters is not None and seen.letters.count:
        kinds = ", ".join(f"{code} {count:,}" for code, count in list(seen.letters.by_code.items())[:SHOWN])
        yield f"{seen.name}, dead letters of the last hour: {kinds}."


def _tell_servers(servers: Sequence[Server]) -> None:
    if not servers:
        return
    rows = [(s.name, "runs" if s.alive else "is dead", s.address, s.pid or "", _uptime(s), s.log) for s in servers]
    for line in table([("SERVER", "", "ADDRESS", "PID", "FOR", "LOG"), *rows], right=(3, 4)):
        say(line)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _uptime(server: Server) -> str:
    if server.uptime_s is None:
        return ""
    minutes, seconds = divmod(int(server.uptime_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

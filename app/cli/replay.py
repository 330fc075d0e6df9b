"""`replay`: score events of the past once more, by a plan that is looked at first."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PipelineName, PlanId
from app.cli.replay_diff import diff
from app.cli.replay_run import resume, start
from app.cli.replaying import plan_lines, status_json, status_lines
from app.cli.terminal import counted, note, patience, say, say_json, table
from app.errors import Refused

LOOKUPS = ("asof", "logged", "current")
PAUSE_S = 90.0  # for an owner to end its loops in good order
AGAIN_S = 2.0


def add_to(cli: typer.Typer) -> None:
    nouns = typer.Typer(help="Score events of the past once more, by a plan.", no_args_is_help=True)
    nouns.command("plan")(plan)
    nouns.command("start")(start)
    nouns.command("status")(status)
    nouns.command("pause")(pause)
    nouns.command("resume")(resume)
    nouns.command("cancel")(cancel)
    nouns.command("list")(list_plans)
    nouns.command("diff")(diff)
    cli.add_typer(nouns, name="replay")


def plan(
    pipeline: PipelineName,
    since: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME|OFFSETS", help="An event time with its zone, @partition:offset,... or `beginning`."
        ),
    ],
    until: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TIME|OFFSETS",
            help="Events before this time, @partition:offset,... (without it) or `now`.",
        ),
    ] = "now",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME@VERSION", help="Default: the model that gave the old answers."),
    ] = None,
    lookups: Annotated[
        str,
        typer.Option(
            "--lookups",
            metavar="asof|logged|current",
            help="What is looked up: as of the event's time, as the old answer shows it, or as it is now.",
        ),
    ] = "asof",
    into: Annotated[
        str | None, typer.Option("--into", metavar="TOPIC", help="Where the answers go. Default: a topic of its own.")
    ] = None,
    into_live: Annotated[
        bool,
        typer.Option("--into-live", help="Answer on the live topic; the live pipeline cannot run meanwhile."),
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the partitions.")] = 1,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="N", min=1.0, help="Records a second at most, by all that answer. Default: any."
        ),
    ] = None,
    yield_at: Annotated[
        int,
        typer.Option("--yield-at", metavar="N", min=1, help="Hold still while the live pipeline lags by more records."),
    ] = 5_000,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Go on without what retention has deleted, and mark what is concerned.")
    ] = False,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fix what a replay will read and where it will answer, and show it. Nothing is answered yet.

    Reads the log to find the offsets that event times mean, and counts what lies there. The plan is kept in Kafka, so
    that any machine can start it.

    \b
    Examples:
      streaminfer replay plan fraud --from 2018-04-01T00:00Z --to 2018-07-01T00:00Z
      streaminfer replay plan fraud --from beginning --model fraud@1 --rate 5000
      streaminfer replay plan fraud --from @0:0,1:0 --to @0:5000,1:4800 --lookups logged
    """
    from app.pipelines import lasting, pipeline_named
    from app.replay import bounds
    from app.replay.asked import Asked
    from app.replay.planning import make_plan

    if lookups not in LOOKUPS:
        raise Refused(f"--lookups is one of {', '.join(LOOKUPS)}, and not {lookups!r}.", exit_code=2)
    chosen = pipeline_named(pipeline)
    asked = Asked(
        lasting(pipeline),
        bounds.since(since),
        bounds.until(until),
        model=model,
        lookups=lookups,  # type: ignore[arg-type]  # looked at above
        into=into,
        into_live=into_live,
        workers=workers,
        rate=rate,
        yield_at=yield_at,
        allow_gaps=allow_gaps,
    )
    bounds.refuse_backwards(asked.start, asked.end)
    where = settings(kafka=kafka, redis=redis, home=home, pipeline=pipeline)
    records = 0

    def progress(read: int) -> None:
        nonlocal records
        records = read

    with patience(f"Reading {chosen.source.name}", lambda: f"{records:,} records"):
        made, notes = make_plan(where, chosen, asked, progress=progress)
    if as_json:
        import msgspec

        say_json({**msgspec.to_builtins(made, str_keys=True), "notes": notes})
        return
    for line in table(plan_lines(made)):
        say(line)
    for sentence in notes:
        note(sentence)
    say(f"Start it with `streaminfer replay start {made.id}`.")


def status(plan: PlanId, kafka: Kafka = None, home: Home = None, as_json: Json = False) -> None:
    """Show how far a replay is, how fast it goes, and who runs it.

    \b
    Example:
      streaminfer replay status 1f0c2a9b --json
    """
    from app.replay.standing import status_of

    where = settings(kafka=kafka, home=home, needs="kafka")
    with patience("Asking Kafka"):
        found = status_of(where, plan)
    if as_json:
        say_json(status_json(found))
        return
    for line in status_lines(found):
        say(line)


def pause(plan: PlanId, kafka: Kafka = None, home: Home = None, as_json: Json = False) -> None:
    """End the process that runs a replay, in good order; `resume` goes on where it stands.

    \b
    Example:
      streaminfer replay pause 1f0c2a9b
    """
    from app.replay.ending import pause as wish

    where = settings(kafka=kafka, home=home, needs="kafka")
    with patience(f"Waiting for {plan} to stand still"):
        state = wish(where, plan, patience_s=PAUSE_S, again_s=AGAIN_S)
    if as_json:
        say_json({"id": plan, "state": state})
    else:
        say(f"The replay {plan} is {state}; `streaminfer replay resume {plan}` goes on where it stands.")


def cancel(plan: PlanId, kafka: Kafka = None, redis: Redis = None, home: Home = None, as_json: Json = False) -> None:
    """End a replay for good and remove what it made: its topics, its groups, its state in Redis.

    Refused for one that is done: its answers may be in use.

    \b
    Example:
      streaminfer replay cancel 1f0c2a9b
    """
    from dataclasses import asdict

    from app.replay.ending import cancel as remove

    where = settings(kafka=kafka, redis=redis, home=home)
    with patience(f"Cancelling {plan}"):
        removed = remove(where, plan)
    if as_json:
        say_json({"id": plan, "state": "cancelled", **asdict(removed)})
        return
    say(
        f"The replay {plan} is cancelled: {counted(len(removed.topics), 'topic')}, "
        f"{counted(len(removed.groups), 'group')} and {counted(removed.keys, 'key')} in Redis are removed."
    )


def list_plans(kafka: Kafka = None, home: Home = None, as_json: Json = False) -> None:
    """List all replays, the oldest plan first.

    \b
    Example:
      streaminfer replay list
    """
    from app.replay.standing import all_of

    where = settings(kafka=kafka, home=home, needs="kafka")
    with patience("Asking Kafka"):
        found = all_of(where)
    if as_json:
        say_json([status_json(one) for one in found])
    elif not found:
        say("There is no replay: `streaminfer replay plan` makes one.")
    else:
        rows = [
            (
                one.id,
                one.pipeline,
                one.state,
                f"{one.share:.0%}",
                one.plan.model,
                one.plan.since,
                one.plan.until,
                one.target,
            )
            for one in found
        ]
        for line in table([("PLAN", "PIPELINE", "STATE", "DONE", "MODEL", "FROM", "TO", "INTO"), *rows], right=(3,)):
            say(line)

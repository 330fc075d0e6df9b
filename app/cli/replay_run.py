"""`replay start` and `replay resume`: the process that runs a plan, and how it shows what it does."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import PlanId
from app.cli.replaying import bar, duration, summary
from app.cli.terminal import StatusLine, counted, note, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.replay.running import Seen
    from app.settings import Settings

EVERY_S = 10.0  # between two lines, where there is no terminal

Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=256, help="Processes that share the partitions. Default: as planned."),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="N", min=1.0, help="Records a second at most, by all that answer. Default: as planned."
    ),
]


def start(
    plan: PlanId,
    workers: Workers = None,
    rate: Rate = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Run a plan to its end, or until Ctrl-C: then, or when it is killed, `start` goes on where it stood.

    Each event of the plan is answered once, whatever dies meanwhile. One plan is run by one process at a time; its
    workers hold still while the live pipeline lags by more than was planned.

    \b
    Examples:
      streaminfer replay start 1f0c2a9b
      streaminfer replay start 1f0c2a9b --workers 3 --rate 20000
    """
    _run(plan, workers, rate, kafka=kafka, redis=redis, home=home, as_json=as_json)


def resume(
    plan: PlanId,
    workers: Workers = None,
    rate: Rate = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Go on with a replay that was begun: paused, stopped, killed or failed. On any machine.

    \b
    Example:
      streaminfer replay resume 1f0c2a9b
    """
    from app.replay.plans import Plans

    where = settings(kafka=kafka, redis=redis, home=home)
    if Plans(where).find(plan).standing.state == "planned":
        raise Refused(f"The replay {plan} was never started: `streaminfer replay start {plan}`.")
    _run(plan, workers, rate, kafka=kafka, redis=redis, home=home, as_json=as_json)


def _run(plan_id: str, workers: int | None, rate: float | None, *, as_json: bool, **connection: Any) -> None:
    from app.replay.plans import Plans
    from app.replay.running import Running, Wanted
    from app.telemetry.logs import begin_logs

    kept = Plans(settings(**connection)).find(plan_id)
    where: Settings = settings(**connection, pipeline=kept.plan.pipeline)
    begin_logs(where, pipeline=kept.plan.name)
    watch = _Watch(as_json=as_json)
    running = Running(where, plan_id, Wanted(workers, rate), watch=watch.see)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, running.stop)
    with watch.line:
        ended, result = running.run(watch.wait)
    if as_json:
        from dataclasses import asdict

        import msgspec

        seen = asdict(watch.seen) if watch.seen else {}
        say_json({"id": plan_id, "ended": ended, **seen, "result": msgspec.to_builtins(result)})
    elif result is not None:
        say(summary(kept.plan, result))
    else:
        say(f"The replay {plan_id} is {ended}; `streaminfer replay resume {plan_id}` goes on where it stands.")
    if ended not in ("done", "paused"):
        raise typer.Exit(1)


class _Watch:
    """Shows a run: one line that is written over on a terminal, now and then a line elsewhere."""

    def __init__(self, *, as_json: bool) -> None:
        self.seen: Seen | None = None
        self.line = StatusLine(wanted=not as_json)
        self._next = 0.0
        self._as_json = as_json
        self._told_wait = False

    def wait(self, who: str) -> None:
        if not self._told_wait:
            self._told_wait = True
            note(f"{who} runs this plan, or ran it a moment ago; waiting for its session to end.")

    def see(self, seen: Seen) -> None:
        self.seen = seen
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.25 if self.line.is_live else EVERY_S)
        if self.line.is_live:
            self.line.show(_words(seen))
        elif not self._as_json:
            note(_words(seen))


def _words(seen: Seen) -> str:
    left = (seen.total - seen.done) / seen.rate if seen.rate and seen.done else None
    told = f", {duration(left)} left" if left is not None else ""
    held = f"  holds still: {seen.yielding}" if seen.yielding else ""
    ahead = f"  folds {seen.folded:,} of {counted(seen.warmup, 'event')} first" if seen.warmup and not seen.done else ""
    return (
        f"{bar(seen.done, seen.total)}  {seen.done:,} of {seen.total:,}  {seen.rate:,.0f}/s{told}  "
        f"{counted(seen.workers, 'worker')}{ahead}{held}"
    )

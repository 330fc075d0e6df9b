"""`features verify`, `features rebuild` and `features clean`: state in Redis against the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.connection import Home, Json, Kafka, Redis, settings
from app.cli.naming import FoldedName, FoldedOrAll, Of, PipelineName
from app.cli.terminal import counted, in_words, note, patience, printable, say, say_json
from app.errors import Refused

if TYPE_CHECKING:
    from app.features.views import View
    from app.pipeline import Pipeline
    from app.replay.verify import Difference, Verdict


def verify(
    pipeline: PipelineName,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, help="Only one entity in N, by a hash of its name.")
    ] = 1,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Compare every state in Redis with a fresh fold of the log.

    Runs beside running workers: each state is compared as of the marker that it came with. Exits with 1 where
    anything differs, and shows both sides of the first differences. Folds one partition after the other in memory,
    about 700 bytes an entity; --sample N takes an N-th of that.

    \b
    Examples:
      streaminfer features verify fraud
      streaminfer features verify fraud-labels --sample 100 --json
    """
    from app.pipelines import pipeline_named
    from app.replay.verify import verify as compare

    chosen = pipeline_named(pipeline)
    where = settings(kafka=kafka, redis=redis, home=home)
    progress, how_far = _watched()
    with patience(f"Folding {chosen.source.name} anew", how_far):
        verdicts = compare(where, chosen, one_in=sample, progress=progress)
    ok = all(verdict.ok for verdict in verdicts)
    if as_json:
        say_json(
            {"pipeline": chosen.name, "one_in": sample, "ok": ok, "views": [asdict(verdict) for verdict in verdicts]}
        )
    else:
        for verdict in verdicts:
            _tell(verdict, sample)
    if not ok:
        raise typer.Exit(1)


def rebuild(
    view: FoldedName,
    of: Of = None,
    kafka: Kafka = None,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fold a view anew from the log, beside the state that serves, and let it serve then.

    Needs no worker, and disturbs none: they notice the new state within a second or so and go on from it. A rebuild
    that was cut short goes on where it stood. A changed declaration that is not running yet is filled in the same way,
    so that its workers find it ready.

    \b
    Example:
      streaminfer features rebuild customer
    """
    from app.replay.rebuild import rebuild as fold

    pipeline, _ = _folded(view, of)
    where = settings(kafka=kafka, redis=redis, home=home)
    progress, how_far = _watched()
    with patience(f"Folding {pipeline.source.name} into a new build of {view}", how_far):
        done = fold(where, pipeline, view, progress=progress)
    if as_json:
        say_json({"view": view, "pipeline": pipeline.name, "partitions": [asdict(part) for part in done]})
        return
    events = sum(part.events for part in done)
    say(f"{view} is folded anew from {counted(events, 'event')} in {counted(len(done), 'partition')}, and serves.")


def clean(
    view: FoldedOrAll = "",
    of: Of = None,
    old: Annotated[
        bool, typer.Option("--old", help="Also what was folded for declarations other than today's.")
    ] = False,
    redis: Redis = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove state that nothing names any more, as crashes and lost markers leave it.

    Safe beside running workers and rebuilds. --old also removes the state of other declarations: run it once no
    worker of an older version runs, for such a worker would fold its state from the log again.

    \b
    Examples:
      streaminfer features clean
      streaminfer features clean customer --old
    """
    from app.features.rebuild import clean as remove
    from app.features.store import Store, connected
    from app.pipelines import pipelines_of

    chosen = [_folded(view, of)] if view else [(p, v) for p in pipelines_of(of).values() for v in p.views]
    where = settings(redis=redis, home=home, needs="redis")
    with connected(where, least_s=5.0) as client, patience("Cleaning"):
        done = {
            part.name: remove(Store(client, pipeline.name), part.name, digest=pipeline.digest(part), old=old)
            for pipeline, part in chosen
        }
    if as_json:
        say_json({name: asdict(cleaned) for name, cleaned in done.items()})
        return
    for name, cleaned in done.items():
        markers = f" and {counted(cleaned.markers, 'marker')} of other declarations" if old else ""
        say(f"{name}: {counted(cleaned.builds, 'build')} with {counted(cleaned.blobs, 'state')}{markers} removed.")
        if cleaned.drafts:
            note(
                f"A rebuild of {name} is at work or was cut short: `streaminfer features rebuild {name}` goes on with "
                "it. Nothing of it was removed."
            )


def _folded(name: str, of: str | None) -> tuple[Pipeline, View]:
    from app.features.entity import declared
    from app.features.lookups import Written
    from app.pipelines import pipelines_of

    pipeline, part = declared(pipelines_of(of), name)
    if isinstance(part, Written):
        raise Refused(f"{name} is written by others and not folded from the log.", exit_code=2)
    return pipeline, part


def _watched() -> tuple[Callable[[int, int], None], Callable[[], str]]:
    """Takes progress in, and gives it in words."""
    at = [0, 0]

    def progress(done: int, total: int) -> None:
        at[:] = done, total

    return progress, lambda: f"{at[0]:,} of {at[1]:,} offsets"


def _tell(verdict: Verdict, sample: int) -> None:
    among = f" (one in {sample})" if sample > 1 else ""
    what = f"{counted(verdict.entities, 'state')}{among} from {counted(verdict.events, 'event')}"
    if verdict.ok:
        say(f"{verdict.view}: {what}: every one is as the log says.")
    else:
        say(f"{verdict.view}: {what}: {counted(verdict.differences, 'difference')}.")
    for partition in verdict.not_folded:
        say(f"  Nothing of partition {partition} is folded; `streaminfer features rebuild {verdict.view}` does it.")
    for difference in verdict.examples:
        _tell_difference(difference)
    if verdict.differences > len(verdict.examples):
        say(f"  and {verdict.differences - len(verdict.examples):,} more")
    if verdict.differences:
        say(f"`streaminfer features rebuild {verdict.view}` makes the state anew from the log.")
    if verdict.unjudged:
        note(
            f"{counted(verdict.unjudged, 'state')} of {verdict.view} look back beyond where the log starts by now, "
            "and could not be judged."
        )


def _tell_difference(difference: Difference) -> None:
    if difference.entity is None:
        say(f"  The state of partition {difference.partition} {difference.what}.")
        return
    say(f"  {printable(difference.entity)}, in partition {difference.partition}, {difference.what}:")
    for side, has in (("Redis has", difference.redis), ("the log says", difference.log)):
        if has is None:
            say(f"    {side}: nothing")
            continue
        say(f"    {side}:")
        for line in _lines(has):
            say(f"      {line}")


def _lines(has: dict[str, Any]) -> list[str]:
    return [printable(line) for line in in_words(has)]

"""How the long demo ends: all that was sent is answered, and what was seen is told."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.cli.demo_frame import alert_in_one_line
from app.cli.demo_scene import Workers, columns, tell
from app.cli.demo_seen import Answers, quantile
from app.cli.terminal import counted
from app.pipeline import Pipeline
from app.replay.log import Log
from app.settings import Settings

BEHIND = 0.05  # a share of marked answers that is worth a sentence
SHOWN = 3  # alerts


@dataclass
class Takeover:
    """What became of the killed machine's partitions. Times are milliseconds since 1970."""

    of: str
    by: str
    partitions: tuple[int, ...] = ()
    killed_ms: float = 0.0
    seconds: float = 0.0  # until all of them were scored again


def await_answers(settings: Settings, pipeline: Pipeline, runs: Sequence[Workers]) -> None:
    """Wait until the group has committed all of the input. Raises Fatal where it does not."""
    with contextlib.closing(Log(settings, pipeline.name, patience_s=10)) as log:
        partitions = log.partitions(pipeline.source.name)
        ends = log.ends(pipeline.source.name, partitions, settled=False)

        def answered() -> bool:
            for workers in runs:
                workers.listen()
            return log.committed(pipeline.source.name, partitions) == ends

        runs[0].await_(answered)


def tell_what_was_seen(answers: Answers, takeover: Takeover) -> None:
    """Latency, takeover, alerts and marks of the whole run."""
    before = sorted(a.took_ms for a in answers.all if a.arrived_ms < takeover.killed_ms)
    p50, p99 = (quantile(before, share) or 0.0 for share in (0.5, 0.99))
    tell(
        f"from Kafka's stamp on a payment to its committed answer at an outside reader: p50 {p50:.0f} ms, p99 "
        f"{p99:.0f} ms before the kill; {max((a.took_ms for a in answers.all), default=0.0) / 1000:.1f} s at most"
    )
    tell(
        f"{takeover.of} was killed; {named(takeover.partitions)} went to {takeover.by} and were scored again after "
        f"{takeover.seconds:.1f} s"
    )
    tell(f"{counted(answers.alerted, 'alert')}, the newest of them:")
    for alert in list(answers.alerts)[: -SHOWN - 1 : -1]:
        tell("  " + alert_in_one_line(alert, columns() - 12))
    tell(f"{answers.behind():.1%} of the predictions are marked `behind`")
    if answers.behind() > BEHIND:
        tell("This machine has other work: outcomes were not folded in time. Marked answers are not wrong ones.")


def named(partitions: Sequence[int]) -> str:
    return f"partition{'' if len(partitions) == 1 else 's'} {', '.join(map(str, partitions))}"

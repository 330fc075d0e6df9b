"""The whole proof: servers and topics, then each part on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.errors import StreamInferError
from app.local.leash import Leash
from tests.parity import PAYMENTS, RECOMMENDATIONS
from tests.parity.paying import PaymentsProof
from tests.parity.recommending import prove_recommendations
from tests.parity.report import Report
from tests.parity.shown import Shown
from tests.parity.steps import Steps
from tests.parity.world import World


def prove(parts: Sequence[str], *, days: int, seed: int, quiet: bool) -> Report:
    """Prove the parts that are named. Nothing is left of it however it ends."""
    leash = Leash()
    try:
        report, steps = Report(), Steps(World(leash), Shown(quiet=quiet))
        with steps.shown.step("a real Kafka and a real Redis, for this proof only"):
            settings = steps.world.up()
        steps.command("topics", "apply")
        if PAYMENTS in parts:
            with _told(report, PAYMENTS):
                PaymentsProof(steps, settings, report, days=days, seed=seed).run()
        if RECOMMENDATIONS in parts:
            with _told(report, RECOMMENDATIONS):
                prove_recommendations(steps, settings, report)
        return report
    finally:
        leash.close(grace_s=0.0)  # nothing of it is kept, so nothing has to end well


@contextmanager
def _told(report: Report, part: str) -> Iterator[None]:
    """A part that cannot go on does not hold; what was found out so far is told all the same."""
    try:
        yield
    except StreamInferError as error:
        report.wrong.append(f"The part {part} did not come to its end: {error}")

"""What parity found, as a table for a person and as one object for a program; and whether all of it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from app.cli.terminal import counted, table
from app.simulate.offline import FEATURES
from models.fraud.evaluation import Measures
from tests.parity.answers import Answers
from tests.parity.compare import SHARE, Again, Column, Judged, Published
from tests.parity.frontier import Stop
from tests.parity.ranked import Compared, Ranked

PUBLISHED = Measures(auc=0.862, average_precision=0.639, card_precision_100=0.273)  # the Handbook's XGBoost
NDCG_PUBLISHED, NDCG_LEAST = 0.4751, 0.475
MOST_MARKED = 0.001  # the share of predictions that may bear a mark after kills
WAITED = "Payments wait for outcomes, to the record"
ALLOWED = f"{SHARE:.0e} max(1, |x|)"
SHOWN = 10  # ids of each thing that is wrong


@dataclass
class Report:
    """Sections in the order in which they were found out; `wrong` has a sentence for each thing that does not hold."""

    sections: list[tuple[str, list[str]]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.wrong

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)

    def lines(self) -> Iterator[str]:
        for title, lines in self.sections:
            yield title
            yield from (f"  {line}" for line in lines)
            yield ""
        if self.holds:
            yield "Parity holds."
        else:
            yield "Parity does NOT hold:"
            yield from (f"  {line}" for sentence in self.wrong for line in sentence.split("\n"))

    # -- what was found ----------------------------------------------------------------------------------------------

    def answered(self, run: str, answers: Answers) -> None:
        """Every payment has one answer, and no record was refused."""
        missing, twice = int((answers.times == 0).sum()), int((answers.times > 1).sum())
        counts = {"payments": len(answers.times), "predictions": answers.read, "missing": missing, "twice": twice}
        counts |= {"dead letters": answers.dead_letters, "marked": int(answers.marked.sum())}
        self.facts[run] = {**counts, "marks": dict(answers.marks)}
        title = f"The {run}: every payment has one prediction"
        self.sections.append((title, ["   ".join(f"{what} {n:,}" for what, n in counts.items())]))
        self.must(missing == 0, f"{run}: {counted(missing, 'payment')} got no prediction.")
        self.must(twice == 0, f"{run}: {counted(twice, 'payment')} got more than one.")
        self.must(answers.dead_letters == 0, f"{run}: {counted(answers.dead_letters, 'record')} became dead letters.")

    def waited(self, stop: Stop, scored: dict[int, int]) -> None:
        """What was scored with so many outcomes, by partition up to which offset."""
        if WAITED not in self.facts:
            self.facts[WAITED] = []
            self.sections.append((WAITED, []))
        lines = next(lines for title, lines in self.sections if title == WAITED)
        found, may = sum(scored.values()), stop.scored
        lines.append(f"{stop.outcomes:>9,} outcomes sent   {may:>9,} payments may be scored   {found:>9,} are")
        self.facts[WAITED].append({"outcomes": stop.outcomes, "may be scored": may, "are scored": found})
        self.must(
            scored == stop.offsets,
            f"With {stop.outcomes:,} outcomes sent, {stop.offsets} should be scored, by partition, and {scored} are.",
        )

    def features(self, columns: list[Column], second: list[int]) -> None:
        """`second`: payments of one customer in the same second, for which the order decides."""
        rows: list[tuple[str, ...]] = [("feature", "compared", "differ", "largest difference", "allowed")]
        for column in columns:
            allowed = "none" if column.exact else ALLOWED
            largest = f"{column.largest:.2g}"
            rows.append((column.name, f"{column.compared:,}", f"{len(column.differs):,}", largest, allowed))
            self.must(
                not len(column.differs),
                f"{column.name} differs in {counted(len(column.differs), 'prediction')}: {_ids(column.differs)}.",
            )
        shown = [
            *table(rows, right=(1, 2, 3)),
            f"{counted(len(second), 'payment')} share a second with another of the same customer. Both sides take them",
            "in the stream's order, so they are compared like all others, and none is let off.",
        ]
        self.sections.append(("Every prediction's features beside those computed offline", shown))
        self.facts["payments in one second"] = second
        self.facts["features"] = {
            column.name: {
                "compared": column.compared,
                "not nought": column.telling,
                "differ": column.differs.tolist(),
                "largest": column.largest,
            }
            for column in columns
        }

    def published(self, sample: Published) -> None:
        """The sample of the published file."""
        title = f"A sample of the published file, {counted(sample.rows, 'payment')} of {len(FEATURES)} values"
        self.sections.append((title, [f"offline differs in {sample.offline}   the stream differs in {sample.stream}"]))
        self.facts["published file"] = asdict(sample)
        self.must(sample.offline == 0, f"The offline side differs from the published file in {sample.offline} values.")
        self.must(sample.stream == 0, f"The stream differs from the published file in {sample.stream} values.")

    def judged(self, found: Judged) -> None:
        """The model's measures over the published test week."""
        rows: list[tuple[Any, ...]] = [("", "AUC", "average precision", "card precision@100")]
        sides = {"the model, offline": found.offline, "the model, through the stream": found.stream}
        for who, measures in {**sides, "the Handbook's XGBoost, published": PUBLISHED}.items():
            rows.append((who, *(f"{value:.3f}" for value in asdict(measures).values())))
        shown = [*table(rows, right=(1, 2, 3)), f"largest difference between two scores: {found.largest:.2g}"]
        self.sections.append((f"The published test week, {counted(found.payments, 'payment')}", shown))
        self.facts["test week"] = asdict(found)
        for name, wanted in asdict(found.offline).items():
            ours, least = getattr(found.stream, name), getattr(PUBLISHED, name)
            words = name.replace("_", " ")
            self.must(round(ours, 3) == round(wanted, 3), f"{words} is {ours:.4f} streamed and {wanted:.4f} offline.")
            self.must(round(ours, 3) >= least, f"{words} is {ours:.4f}; published is {least}.")

    def again(self, found: Again, kills: dict[str, int], answers: Answers) -> None:
        """The run with kills beside the first."""
        share = found.marked / len(answers.times)
        killed = " and ".join(f"{count} of {pipeline}" for pipeline, count in kills.items())
        marks = ", ".join(f"{mark} {count:,}" for mark, count in answers.marks.items()) or "none"
        lines = [
            f"workers killed with -9: {sum(kills.values())} ({killed})",
            f"predictions with a mark: {found.marked:,} of {len(answers.times):,}, {share:.2%} ({marks})",
            f"other predictions whose bytes are not those of the first run: {len(found.differs):,}",
        ]
        self.sections.append(("The second run, two workers each and kills, beside the first", lines))
        self.facts["again"] = {"kills": kills, "marked": found.marked, "differ": found.differs.tolist()}
        self.must(min(kills.values()) > 0, "A run was over before a worker of it was killed.")
        self.must(share <= MOST_MARKED, f"{share:.2%} of the predictions bear a mark after kills.")
        self.must(
            not len(found.differs),
            f"{counted(len(found.differs), 'prediction')} with other bytes after kills: {_ids(found.differs)}.",
        )

    def ranked(self, found: Compared, *, whole: Ranked, live: Ranked) -> None:
        """The published measure of recommendations."""
        rows: list[tuple[str, ...]] = [
            ("", "answers", "marked", "nDCG@10"),
            ("the model, offline, whole histories", "", "", f"{found.offline:.4f}"),
            ("through the stream, whole histories", f"{whole.answers:,}", f"{whole.marked:,}", f"{found.whole:.4f}"),
            ("through the stream, as it is live", f"{live.answers:,}", f"{live.marked:,}", f"{found.live:.4f}"),
            ("BiVAE, the best published", "", "", f"{NDCG_PUBLISHED:.4f}"),
        ]
        title = (
            f"The published split of MovieLens-100k, {found.sent:,} interactions of {counted(found.people, 'person')}"
        )
        self.sections.append((title.replace("persons", "people"), list(table(rows, right=(1, 2, 3)))))
        answers = {"whole": {"answers": whole.answers, "marked": whole.marked}}
        answers |= {"live": {"answers": live.answers, "marked": live.marked}}
        self.facts["recommendations"] = {"nDCG@10": asdict(found), **answers}
        for run in (whole, live):
            self.must(run.answers == found.sent, f"{found.sent:,} interactions got {run.answers:,} answers.")
        self.must(not found.differs, f"{found.differs} people's recommendations are not those of the model offline.")
        self.must(found.whole >= NDCG_LEAST, f"nDCG@10 is {found.whole:.4f}; it must be {NDCG_LEAST} at least.")


def _ids(rows: Any) -> str:
    first = ", ".join(map(str, rows[:SHOWN].tolist()))
    return first if len(rows) <= SHOWN else f"{first} and so on"

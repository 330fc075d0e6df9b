"""Records to outputs: decode, features, score, encode. Knows no Kafka and no offsets but those in the headers.

Works a batch at a time and a column at a time where the interpreter would cost more than the work. A record that
cannot be answered by the model is answered with a dead letter; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.contracts.admission import Admission, Admitted
from app.errors import RecordError
from app.features.memory import Features, Memory
from app.inference.model import Model
from app.inference.ranker import Ranker
from app.pipeline import Pipeline
from app.record import Output, Record
from app.stream.answers import Answers, Noted, Refusal
from app.stream.letters import dead_letter, signature
from app.stream.rankings import Rankings
from app.stream.scores import Scores


class Processor:
    """Answers the records of one pipeline with one model; a pipeline that only folds has none."""

    def __init__(self, pipeline: Pipeline, model: Model | Ranker | None, memory: Memory) -> None:
        self.pipeline = pipeline
        self.memory = memory
        self.model = model
        self.admission = Admission(pipeline)
        self._answers = _answers_of(pipeline, model) if model is not None else None
        # Of the last answer: what is worth counting of those that are no dead letters, if there are any.
        self.noted: Noted | None = None

    def admit(self, records: Sequence[Record]) -> tuple[list[Admitted], list[Refusal]]:
        """Which records are events, in order, and why the others are not. No effect."""
        admitted: list[Admitted] = []
        refused: list[Refusal] = []
        admit = self.admission.admit
        for record in records:
            event = admit(record)
            if isinstance(event, RecordError):
                refused.append((record, event))
            else:
                admitted.append(event)
        return admitted, refused

    def answer(self, admitted: Sequence[Admitted], refused: Sequence[Refusal]) -> list[Output]:
        """One output for each record, or for each refused one where nothing is scored.

        Folds the events into memory, where their states must have been loaded.
        """
        refusals = list(refused)
        outputs: list[Output] = []
        self.noted = None
        if self._answers is None:
            self.memory.fold_only(admitted)
        else:
            outputs = self._answered(admitted, refusals, self._answers)
        outputs.extend(self.letter(record, error) for record, error in refusals)
        return outputs

    def letter(self, record: Record, error: RecordError) -> Output:
        """The answer to a record that has no other."""
        signed = signature(self.pipeline, self.admission.topic_id)
        return dead_letter(self.pipeline.dead_letters, record, error, signed=signed)

    def _answered(self, admitted: Sequence[Admitted], refusals: list[Refusal], answers: Answers) -> list[Output]:
        """Answers to the events that have one; the others are added to `refusals`."""
        known: list[Admitted] = []
        features: list[Features] = []
        for event in admitted:
            try:
                features.append(self.memory.features(event))
            except RecordError as error:
                refusals.append((event.record, error))
            else:
                known.append(event)
        if not known:
            return []
        outputs = answers.outputs(known, features, refusals)
        self.noted = answers.noted
        return outputs


def _answers_of(pipeline: Pipeline, model: Model | Ranker) -> Answers:
    """The kind of answers that the model's kind gives."""
    return Rankings(pipeline, model) if isinstance(model, Ranker) else Scores(pipeline, model)

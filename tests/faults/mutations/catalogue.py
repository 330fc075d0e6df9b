"""Which rule each patch breaks, and the smallest test that sees it. Rules are those of ops/decisions/0001."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mutation:
    """`scenario` is a test of the suite. `inside`: it runs the broken code itself, and not in workers of its own."""

    name: str
    rule: str
    breaks: str
    scenario: str
    inside: bool = False
    folder: Path = HERE

    @property
    def patch(self) -> Path:
        return self.folder / f"{self.name}.patch"


KILLS = "tests/contract/loop/test_kills.py::test_a_worker_killed_after_a_step_is_made_good_by_the_next"
OWNERS = (
    "tests/contract/features/test_owners.py::"
    "test_whoever_dies_wherever_in_a_flush_every_row_is_right_and_no_event_counts_twice[one server-range(0, 50)]"
)
INPUTS = "tests/contract/loop/test_inputs.py"
RULES = "tests/faults/test_rules.py"
LATE = "tests/faults/test_late.py"
RAN_OUT = f"{RULES}::test_a_batch_whose_transaction_ran_out_of_time_is_scored_again_and_none_behind_it_committed"

MUTATIONS = (
    Mutation(
        "offsets-outside-the-transaction", "P1", "answers are committed first, their offsets in another transaction",
        f"{KILLS}[offsets-sent]",
    ),
    Mutation("flush-before-commit", "B3", "Redis gets a batch's states before Kafka has the batch", f"{KILLS}[begun]"),
    Mutation("no-compare-and-set", "B4", "a flush does not look at the marker that is there", OWNERS, inside=True),
    Mutation("blobs-without-their-marker", "B2", "states are read whoever wrote them last", OWNERS, inside=True),
    Mutation(
        "fresh-group-metadata", "A2b", "the group's metadata is read at the commit and not with the batch",
        f"{RULES}::test_what_was_polled_before_its_partition_went_to_another_does_not_commit", inside=True,
    ),
    Mutation(
        "group-without-a-member", "A2b", "a commit is made with metadata that the broker does not check",
        f"{RULES}::test_who_is_no_member_yet_has_nothing_to_commit_with", inside=True,
    ),
    Mutation("memory-kept-after-an-abort", "B3", "states go on with what did not commit", RAN_OUT),
    Mutation("next-batch-commits-though-one-failed", "A1", "batch n+1 is committed though n failed", RAN_OUT),
    Mutation("no-rewind-after-an-abort", "A4", "reading goes on where it was, not from what is committed", RAN_OUT),
    Mutation(
        "suspect-producer-kept", "A3", "a producer whose request was sent twice is used again",
        f"{LATE}::test_late_offsets_do_not_move_back_what_a_later_transaction_commits[dropped]", inside=True,
    ),
    Mutation(
        "retry-that-doubles", "A4", "a commit without an answer is made again without asking what is committed",
        f"{LATE}::test_a_commit_whose_answer_is_lost_fails_and_is_done_once", inside=True,
    ),
    Mutation(
        "read-uncommitted", "P1", "aborted inputs are answered",
        f"{INPUTS}::test_records_of_an_aborted_transaction_are_not_answered_and_do_not_hide_the_end",
    ),
    Mutation(
        "ignored-revocation", "A2", "partitions that were given away are kept as one's own",
        f"{RULES}::test_who_gives_partitions_away_has_them_no_more",
    ),
    Mutation(
        "flush-with-a-batch-in-flight", "B4", "a partition is flushed while a batch of it may still fail",
        f"{RULES}::test_a_partition_is_not_flushed_while_a_batch_of_it_is_in_flight",
    ),
    Mutation(
        "letters-outside-the-transaction", "P1", "dead letters are sent beside the transaction",
        f"{RULES}::test_a_worker_that_dies_before_its_letters_are_committed_leaves_none_of_them",
    ),
    Mutation("catch-up-skipped", "B6", "states are not folded from the marker to the offset", f"{KILLS}[confirmed]"),
    Mutation("scored-from-the-marker", "B6", "scoring starts at the marker, not at the offset", f"{KILLS}[confirmed]"),
    Mutation(
        "older-state-replaces-newer", "B4", "a flush overwrites states that are ahead of it",
        "tests/contract/features/test_store.py::test_no_older_blob_replaces_a_newer[one server-7-6-7-server]",
        inside=True,
    ),
    Mutation("marker-moves-first", "B4", "the marker moves before all states are written", OWNERS, inside=True),
    Mutation(
        "refused-flush-taken-as-done", "B5", "a flush that wrote nothing counts as written",
        "tests/contract/features/test_held.py::test_a_zombie_s_flush_behind_the_new_owner_writes_nothing[one server]",
        inside=True,
    ),
    Mutation("folded-twice", "B4", "what a half-written flush holds already is folded again", OWNERS, inside=True),
    Mutation(
        "watermark-one-too-far", "C2", "a time counts as complete when another event may still bear it",
        "tests/contract/features/test_asof.py::"
        "test_a_payment_at_the_watermark_is_marked_because_another_outcome_may_bear_that_time[one server]", inside=True,
    ),
    Mutation(
        "lookup-kept-for-ever", "C2", "what was looked up once is used beyond its watermark",
        "tests/contract/features/test_asof.py::test_what_lies_before_a_watermark_is_read_once[one server]",
        inside=True,
    ),
    Mutation(
        "window-one-millisecond-off", "P3", "a window holds what lies exactly its span back",
        "tests/unit/features/test_window.py::test_the_window_is_open_behind_and_closed_in_front", inside=True,
    ),
)  # fmt: skip

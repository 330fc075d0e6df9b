"""Every wait of a run: what bounds it, what happens then, and the test that reached the bound.

The one source of the second table in ops/reference/limits.md. `setting` names a field of Settings, or is empty
where the bound is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """One wait. `test` is `path::name` below tests/."""

    what: str
    bound: str
    setting: str
    then: str
    test: str


_LOOP = "contract/loop"
_TURN = "the kernel ends the process (SIGALRM), whatever holds the interpreter; it is started again"
_WATCHDOG = "the watchdog ends the process (exit code 70); it is started again"

WAITS: tuple[Wait, ...] = (
    Wait("records (consume)", "0.1 s, then the turn begins anew; a batch never waits to fill", "",
         "the loop goes on", f"{_LOOP}/test_waits.py::test_a_record_is_answered_though_the_batch_never_fills"),
    Wait("a topic's description, the committed offsets, the log's bounds", "1 s each", "",
         "each is asked for by itself, 0.1 to 0.4 s, again after 0.5 s; the others go on meanwhile",
         f"{_LOOP}/test_groups.py::test_who_waits_for_a_dead_worker_s_transaction_scores_its_other_partitions_meanwhile"),
    Wait("the report of a record that Kafka refuses", "0.3 s", "",
         "the batch is tried again record by record without it",
         f"{_LOOP}/test_undelivered.py::test_a_letter_that_is_too_large_becomes_a_stub_with_digest_and_sizes"),
    Wait("any call of the consumer, a callback, a fold, a load of the model", "one turn of the loop",
         "max_poll_interval_ms", _TURN,
         f"{_LOOP}/test_waits.py::test_a_loop_that_stands_still_is_ended_and_its_records_are_answered_by_the_next"),
    Wait("a batch's features and scores", "20 s", "score_deadline_s",
         "the process is ended (SIGALRM); at the second time its records are scored one by one, and the one that "
         "hangs alone becomes a dead letter",
         f"{_LOOP}/test_deadly.py::test_a_record_that_kills_its_worker_is_dead_lettered_alone"),
    Wait("Redis: reading states and lookups", "1 s an answer", "redis_timeout_s",
         "partitions that need it wait and are tried again after 0.5 s; what is in memory goes on",
         f"{_LOOP}/test_outages.py::test_without_redis_a_miss_waits_and_what_is_in_memory_goes_on"),
    Wait("Redis: a flush", "1 s a slice of 500 states", "redis_timeout_s",
         "states stay in memory, up to dirty_entities",
         f"{_LOOP}/test_outages.py::test_without_redis_a_miss_waits_and_what_is_in_memory_goes_on"),
    Wait("producers to be initialised", "half of commit_deadline_s each, again and again", "commit_deadline_s",
         "said once; nothing is scored until Kafka answers",
         f"{_LOOP}/test_waits.py::test_a_worker_that_starts_while_kafka_hangs_waits_for_it_and_leaves_when_told"),
    Wait("producers that are never initialised (librdkafka ignores its time-out)", "2 x commit_deadline_s",
         "commit_deadline_s", _WATCHDOG,
         "unit/stream/test_committer.py::test_what_waits_for_a_call_that_never_returns_is_ended_with_the_process"),
    Wait("produce, send offsets, commit", "15 s together", "commit_deadline_s",
         "the batch is aborted and answered again",
         f"{_LOOP}/test_outages.py::test_without_kafka_the_loop_waits_says_so_once_and_goes_on"),
    Wait("offsets that are handed over to a transaction, and never are", "commit_deadline_s and 2 s",
         "commit_deadline_s", _WATCHDOG,
         "unit/stream/test_committer.py::test_offsets_that_are_never_handed_over_end_the_process_after_the_time_out_"
         "that_they_were_given"),
    Wait("a transaction's call that never returns", "2 x commit_deadline_s", "commit_deadline_s", _WATCHDOG,
         "unit/stream/test_committer.py::test_what_waits_for_a_call_that_never_returns_is_ended_with_the_process"),
    Wait("the loop for the transactions' thread: to hand a batch over, to hear of it, to end it",
         "2 x commit_deadline_s", "commit_deadline_s", _WATCHDOG,
         "unit/stream/test_committer.py::test_what_waits_for_a_call_that_never_returns_is_ended_with_the_process"),
    Wait("a connection to Kafka that is dead and does not say so", "10 s (socket.timeout.ms)", "kafka_options",
         "it is made anew; a producer whose request was on it is replaced after its commit",
         "faults/test_half_open.py::test_a_worker_gives_dead_connections_up_and_answers_what_came_meanwhile"),
    Wait("the same records that do not commit", "5 times", "",
         "Fatal, with their offsets; exit code 1, not started again",
         f"{_LOOP}/test_undelivered.py::test_where_not_even_a_stub_is_taken_the_worker_ends_with_the_offsets_named"),
    Wait("a broker's transaction that its producer has left open", "20 s", "transaction_timeout_ms",
         "the broker aborts it; until then its partitions' committed offsets are asked for again",
         f"{_LOOP}/test_kills.py::test_a_worker_killed_after_a_step_is_made_good_by_the_next"),
    Wait("a worker that is told to leave", "45 s", "",
         "it is killed; what it had not committed is answered by the next",
         "unit/stream/test_supervisor.py::test_a_worker_that_does_not_leave_in_time_is_killed"),
    Wait("a leaving worker for Kafka or Redis", "their own bounds above", "commit_deadline_s",
         "it leaves without its last flush or commit",
         f"{_LOOP}/test_waits.py::test_a_worker_that_is_told_to_leave_while_a_server_hangs_leaves"),
    Wait("a leaving worker for its client to give its partitions back", "2 s, and 5 s to tell the group",
         "", "it leaves all the same; the group misses it after its session",
         f"{_LOOP}/test_waits.py::test_questions_about_partitions_end_in_time"),
    Wait("the last lines of a worker that has ended", "2 s", "", "it counts as ended",
         "unit/stream/test_supervisor.py::test_a_worker_counts_as_ended_though_its_child_holds_its_output_open"),
    Wait("a worker that does not read its job", "its thread's alone", "", "the supervisor goes on with the others",
         "unit/stream/test_supervisor.py::test_a_worker_that_does_not_read_its_job_holds_nobody_up"),
    Wait("a worker whose supervisor is gone", "it leaves by itself, within a turn", "max_poll_interval_ms",
         "its standard input ends",
         "unit/stream/test_process.py::test_a_worker_whose_supervisor_is_gone_leaves"),
    Wait("an earlier redrive that is still a member of its group", "its session and 2 s", "session_timeout_ms",
         "the redrive is refused: another one is at work",
         "contract/letters/test_redrive.py::test_a_second_redrive_is_refused_while_the_first_is_at_work"),
    Wait("a replay's owner that was killed, and is a member of the plan's group until its session ends", "15 s", "",
         "the second `replay start` is refused; at once where the plan's standing moves, for then the owner lives",
         "contract/replay/test_replay.py::test_it_is_run_by_one_process_and_paused_and_resumed"),
    Wait("a replay that answers and folds nothing, though nobody holds it still", "10 minutes", "",
         "it ends with what its workers wait for, exit code 1; `replay resume` goes on",
         "contract/replay/test_still.py::test_it_ends_and_says_what_it_waits_for_and_goes_on_from_there"),
    Wait("Kafka to let a replay's owner into the plan's group; again, once it was in", "20 s; 10 minutes", "",
         "exit code 3; nobody else owns the plan meanwhile",
         "contract/replay/test_fence.py::test_a_plan_has_one_owner_and_the_next_one_only_after_it"),
    Wait("a worker that dies again and again", "5 deaths with no commit between", "", "the run ends with exit code 1",
         "unit/stream/test_supervisor.py::test_after_five_deaths_without_a_commit_it_gives_up_and_says_so"),
    Wait("a worker that is fenced", "twice in a minute", "", "at the third time the run ends with exit code 1",
         "unit/stream/test_supervisor.py::test_what_a_restart_cannot_mend_ends_all_with_the_worker_s_own_words"),
    Wait("the monitor's outcomes for the predictions that were there at its start", "10 minutes", "",
         "outcomes are read; one whose prediction comes later counts as one without",
         "unit/monitor/test_waits.py::"
         "test_outcomes_are_read_in_the_end_though_the_predictions_before_them_never_are"),
    Wait("the monitor's process to leave", "5 s", "", "it is killed; what it has not written is read again",
         "unit/monitor/test_waits.py::test_a_process_that_does_not_leave_is_killed"),
)  # fmt: skip


def table() -> str:
    """The rows as Markdown."""
    lines = ["| what is waited for | at most | setting | then |", "|---|---|---|---|"]
    lines += [f"| {w.what} | {w.bound} | {f'`{w.setting}`' if w.setting else ''} | {w.then} |" for w in WAITS]
    return "\n".join(lines) + "\n"

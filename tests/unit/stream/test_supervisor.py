"""Workers that die, give up, leave or do not: each a script of some lines in place of a worker."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings
from app.stream import supervisor as supervisor_room
from app.stream.committer import WATCHDOG_EXIT
from app.stream.process import FATAL, FENCED
from app.stream.supervisor import DEATHS, Event, Supervisor

SCRIPT = """
import json, os, pathlib, signal, sys, time
job = json.loads(sys.stdin.readline())
lives = pathlib.Path(sys.argv[1], job["slot"])
with lives.open("a") as file:
    file.write("x")
life = lives.stat().st_size
def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)
def commit(batches=1):
    say("progress", batches=batches, records=batches)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def leave(*_):
    say("leaving")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1], "ready" + job["slot"][-2:]).touch()
def wait_for(i):
    while not pathlib.Path(sys.argv[1], f"ready-{i}").exists():
        time.sleep(0.005)
"""
STAY = "\nwhile True: signal.pause()"
Heard = Callable[[Event], object]


class Watched:
    """A supervisor of scripts. `on` says what happens when something is told, in the loop's own thread."""

    def __init__(
        self,
        folder: Path,
        body: str,
        *,
        workers: int = 1,
        ends: dict[int, int] | None = None,
        site: bool = False,
        command: tuple[str, ...] = (),
    ) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []
        self.on: dict[str, Heard] = {}
        bare = () if site else ("-S",)  # it starts faster, but has no packages
        command = command or (sys.executable, *bare, "-c", SCRIPT + body, str(folder))
        settings = Settings(kafka="k:1", redis="redis://r:1", home=folder)
        self.supervisor = Supervisor(
            settings, "fraud", instance="here", workers=workers, ends=ends, tell=self._tell, command=command
        )

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(time.monotonic())
        if (hear := self.on.get(event["event"])) is not None:
            hear(event)

    def run(self) -> int:
        return self.supervisor.run()

    def told(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]

    def times_of(self, kind: str) -> list[float]:
        return [at for event, at in zip(self.events, self.times, strict=True) if event["event"] == kind]

    def stop(self, _: Event) -> None:
        self.supervisor.stop()

    def stop_after(self, kind: str, count: int) -> Heard:
        """Stop when this many of the kind were told."""
        return lambda _: self.supervisor.stop() if len(self.told(kind)) == count else None


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_room, "BACKOFF_S", (0.0, 0.01, 0.02, 0.03, 0.04))


# -- death -------------------------------------------------------------------------------------------------------------


def test_a_worker_that_was_killed_is_started_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_room, "BACKOFF_S", (0.0, 1e9, 1e9, 1e9, 1e9))
    watched = Watched(tmp_path, "die() if life == 1 else commit()" + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0
    first, second = watched.told("worker")
    assert first["slot"] == second["slot"] == "fraud.here-0"
    assert first["pid"] != second["pid"]
    assert [event["code"] for event in watched.told("ended")] == [-signal.SIGKILL, 0]


def test_one_that_dies_again_and_again_waits_longer_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = (0.0, 0.05, 0.1, 0.2, 0.4)
    monkeypatch.setattr(supervisor_room, "BACKOFF_S", waits)
    watched = Watched(tmp_path, "die()")
    assert watched.run() == 1
    at = {
        kind: [t for e, t in zip(watched.events, watched.times, strict=True) if e["event"] == kind]
        for kind in ("ended", "worker")
    }
    gaps = [start - end for end, start in zip(at["ended"], at["worker"][1:], strict=False)]
    assert len(gaps) == DEATHS - 1
    assert all(gap >= wait for gap, wait in zip(gaps, waits, strict=False))


def test_after_five_deaths_without_a_commit_it_gives_up_and_says_so(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "if job['slot'].endswith('-1'): wait_for(0), die()" + STAY, workers=2)
    assert watched.run() == 1
    assert "fraud.here-1 died 5 times without committing anything" in (watched.supervisor.failure or "")
    assert "killed by SIGKILL" in (watched.supervisor.failure or "")
    slots = [event["slot"] for event in watched.told("worker")]
    assert (slots.count("fraud.here-0"), slots.count("fraud.here-1")) == (1, DEATHS)
    assert watched.events[-1] == {
        **watched.told("worker")[0],
        "event": "ended",
        "code": 0,
    }  # the sound one left in peace


def test_a_commit_between_deaths_starts_the_count_anew(tmp_path: Path) -> None:
    watched = Watched(tmp_path, f"commit(9 if life == 1 else 1)\nif life <= {DEATHS + 2}: die()" + STAY)
    watched.on["progress"] = watched.stop_after("worker", DEATHS + 3)
    assert watched.run() == 0
    assert watched.supervisor.failure is None


def test_a_worker_that_tells_of_no_commit_is_as_good_as_silent(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "commit(0)\ndie()")
    assert watched.run() == 1
    assert len(watched.told("worker")) == DEATHS


def test_an_exit_code_that_means_nothing_is_a_death(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "sys.exit(70)")
    assert watched.run() == 1
    assert "ended with exit code 70" in (watched.supervisor.failure or "")


def test_a_worker_counts_as_ended_though_its_child_holds_its_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_room, "ECHO_S", 0.1)
    body = """
import subprocess
if life == 1:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    say("child", pid=child.pid)
    die()
commit()
"""
    watched = Watched(tmp_path, body + STAY)
    watched.on["progress"] = watched.stop
    try:
        assert watched.run() == 0
        assert len(watched.told("worker")) == 2
    finally:
        os.kill(watched.told("child")[0]["pid"], signal.SIGKILL)


NOTED = """
from app.stream.pulse import ALONE, BATCH, Note
note = Note(job["note"])
"""


def test_what_a_worker_died_of_is_told_to_the_next(tmp_path: Path) -> None:
    body = """
say("verdict", verdict=job["verdict"])
if life < 3: note.write(BATCH, {2: (10, 20)}), sys.exit(3)
if life == 3: note.write(ALONE, {2: (14, 15)}), sys.exit(3)
say("progress", batches=1, offsets={"2": 20})
if life == 4: sys.exit(3)
"""
    watched = Watched(tmp_path, NOTED + body + STAY, site=True)
    watched.on["verdict"] = watched.stop_after("verdict", 5)
    assert watched.run() == 0
    verdicts = [event["verdict"] for event in watched.told("verdict")]
    nothing: dict[str, object] = {"alone": {}, "condemned": []}
    suspected: dict[str, object] = {"alone": {"2": [10, 20]}, "condemned": []}
    assert verdicts == [nothing, nothing, suspected, suspected | {"condemned": [[2, 14]]}, nothing]


def test_who_overran_the_time_of_a_transaction_blames_no_record(tmp_path: Path) -> None:
    body = f"note.write(BATCH, {{2: (10, 20)}}), say('verdict', verdict=job['verdict']), sys.exit({WATCHDOG_EXIT})"
    watched = Watched(tmp_path, NOTED + body, site=True)
    assert watched.run() == 1
    assert all(not event["verdict"]["alone"] for event in watched.told("verdict"))


def test_one_that_dies_in_the_same_offsets_again_and_again_names_them(tmp_path: Path) -> None:
    watched = Watched(tmp_path, NOTED + "note.write(BATCH, {2: (10, 20)}), sys.exit(3)", site=True)
    assert watched.run() == 1
    assert "while it scored (partition: offsets) 2: 10 to 19" in (watched.supervisor.failure or "")


def test_one_that_hangs_is_said_to_have_hung(tmp_path: Path) -> None:
    watched = Watched(
        tmp_path, NOTED + "note.write(BATCH, {2: (10, 20)})\nos.kill(os.getpid(), signal.SIGALRM)", site=True
    )
    assert watched.run() == 1
    assert "was ended after 20 s (score_deadline_s) while it scored" in (watched.supervisor.failure or "")
    watched = Watched(tmp_path, "os.kill(os.getpid(), signal.SIGALRM)")
    assert watched.run() == 1
    assert "stood still for 120 s (max_poll_interval_ms) and was ended" in (watched.supervisor.failure or "")


def test_a_worker_that_left_by_itself_is_replaced(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "sys.exit(0) if life == 1 else commit()" + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0


@pytest.mark.parametrize(("code", "lives"), [(FATAL, 1), (FENCED, 3)], ids=["fatal", "fenced"])
def test_what_a_restart_cannot_mend_ends_all_with_the_worker_s_own_words(tmp_path: Path, code: int, lives: int) -> None:
    body = f"if job['slot'].endswith('-1'): wait_for(0), say('fatal', message='It is over.'), sys.exit({code})"
    watched = Watched(tmp_path, body + STAY, workers=2)
    assert watched.run() == 1
    assert watched.supervisor.failure == "It is over."
    assert len(watched.told("worker")) == 1 + lives
    assert sorted(event["code"] for event in watched.told("ended")) == [0, *[code] * lives]


def test_a_worker_that_was_fenced_once_goes_on(tmp_path: Path) -> None:
    body = f"if life == 1: say('fatal', message='Another.'), sys.exit({FENCED})\ncommit()"
    watched = Watched(tmp_path, body + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0
    assert watched.supervisor.failure is None
    assert [event["code"] for event in watched.told("ended")] == [FENCED, 0]


def test_a_fence_long_ago_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_room, "FENCES_WITHIN_S", 0.0)
    watched = Watched(tmp_path, f"sys.exit({FENCED}) if life < 4 else commit()" + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0
    assert len(watched.told("worker")) == 4


@pytest.mark.parametrize("code", [FATAL, FENCED], ids=["fatal", "fenced"])
def test_a_worker_that_gives_up_without_words_is_named(tmp_path: Path, code: int) -> None:
    watched = Watched(tmp_path, f"sys.exit({code})")
    assert watched.run() == 1
    assert "fraud.here-0" in (watched.supervisor.failure or "")


def test_a_worker_that_does_not_read_its_job_holds_nobody_up(tmp_path: Path) -> None:
    far = dict.fromkeys(range(10000), 10**9)  # a job that no pipe takes at once
    watched = Watched(
        tmp_path, "", workers=2, ends=far, command=(sys.executable, "-S", "-c", "import signal\nsignal.pause()")
    )
    watched.on["worker"] = watched.stop_after("worker", 2)
    assert watched.run() == 0
    assert [event["code"] for event in watched.told("ended")] == [-signal.SIGTERM] * 2


# -- the end -----------------------------------------------------------------------------------------------------------


def test_it_ends_when_every_end_is_reached_by_whichever_worker(tmp_path: Path) -> None:
    body = "for p in (0, 1) if job['slot'].endswith('-0') else (1, 2): say('reached', partition=p)"
    watched = Watched(tmp_path, body + STAY, workers=2, ends={0: 5, 1: 5, 2: 7})
    assert watched.run() == 0
    assert len(watched.told("leaving")) == 2


def test_an_end_that_was_reached_stays_reached_when_its_worker_dies(tmp_path: Path) -> None:
    body = "say('reached', partition=life - 1)\nif life == 1: die()"
    watched = Watched(tmp_path, body + STAY, ends={0: 5, 1: 5})
    assert watched.run() == 0
    assert len(watched.told("worker")) == 2


def test_where_there_is_nothing_to_reach_it_ends(tmp_path: Path) -> None:
    watched = Watched(tmp_path, STAY, ends={})
    assert watched.run() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_workers_are_asked_to_leave(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    watched = Watched(tmp_path, "commit()" + STAY, workers=2)
    watched.on["progress"] = lambda _: os.kill(os.getpid(), number) if len(watched.told("progress")) == 2 else None
    assert watched.run() == 0
    assert len(watched.told("leaving")) == 2
    assert [event["code"] for event in watched.told("ended")] == [0, 0]
    assert signal.getsignal(number) == before


def test_a_worker_that_does_not_leave_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_room, "LEAVE_S", 0.2)
    watched = Watched(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ncommit()" + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0
    assert [event["code"] for event in watched.told("ended")] == [-signal.SIGKILL]


def test_who_asks_twice_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_room, "LEAVE_S", 1e9)
    watched = Watched(tmp_path, "signal.signal(signal.SIGTERM, lambda *_: say('busy'))\ncommit()" + STAY)
    watched.on["progress"] = watched.on["busy"] = watched.stop
    assert watched.run() == 0
    assert [event["code"] for event in watched.told("ended")] == [-signal.SIGKILL]


def test_one_that_dies_while_all_leave_is_not_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "signal.signal(signal.SIGTERM, lambda *_: die())\ncommit()" + STAY)
    watched.on["progress"] = watched.stop
    assert watched.run() == 0
    assert len(watched.told("worker")) == 1


# -- words -------------------------------------------------------------------------------------------------------------


def test_what_a_worker_is_told_is_the_whole_job(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "say('job', job=job)" + STAY, ends={3: 17})
    watched.on["job"] = watched.stop
    watched.run()
    (told,) = watched.told("job")
    job = told["job"]
    assert (job["pipeline"], job["slot"], job["ends"]) == ("fraud", "fraud.here-0", {"3": 17})
    again = Settings.model_validate(job["settings"])
    assert (again.kafka, again.redis, again.home) == ("k:1", "redis://r:1", tmp_path)
    assert again == Settings(kafka="k:1", redis="redis://r:1", home=tmp_path)


def test_lines_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    noise = ["57.16", "null", "[]", '"x"', "{}", '{"event', "Traceback (most recent call last):", ""]
    body = f"for line in {noise!r}: print(line, flush=True)\nos.write(1, b'\\xff\\xfe\\n')\nsay('reached', partition=0)"
    watched = Watched(tmp_path, body + STAY, ends={0: 1})
    assert watched.run() == 0
    assert [event["event"] for event in watched.events] == ["worker", "reached", "leaving", "ended"]


CUT_OFF = """
os.write(1, b'{"event": "reached", "part')
if life == 1: die()
os.write(1, b"\\n")
say("reached", partition=0)
"""


def test_a_line_that_was_cut_off_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    watched = Watched(tmp_path, CUT_OFF + STAY, ends={0: 1})
    assert watched.run() == 0
    assert len(watched.told("worker")) == 2


def test_what_a_worker_says_is_told_on_with_its_slot(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "commit(4)" + STAY, workers=2)
    watched.on["progress"] = watched.stop_after("progress", 2)
    watched.run()
    told = sorted(watched.told("progress"), key=lambda event: str(event["slot"]))
    assert told == [{"slot": f"fraud.here-{i}", "event": "progress", "batches": 4, "records": 4} for i in range(2)]

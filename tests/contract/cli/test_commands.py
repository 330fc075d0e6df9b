"""The commands as a user runs them, on servers of their own: what they print, what they exit with, what they leave."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import murmur2

from app.local.leash import Leash
from app.replay.group import Group
from app.settings import Settings
from app.simulate.payments import Payments
from app.simulate.resume import Simulation
from tests.contract.cli.shell import Shell
from tests.contract.loop.rig import wait_for
from tests.payments import payment
from tests.progress import PROGRESS, without_progress

pytestmark = [pytest.mark.broker, pytest.mark.redis]
GOOD, BAD = payment(), [b"not json", b"", payment(amount_cents=-1), b"\xff", payment(customer_id=...)]


@pytest.fixture(scope="module")
def shell(new_shell: Callable[[], Shell]) -> Shell:
    return new_shell()


def test_up_finds_what_is_up_and_prints_exactly_where(shell: Shell) -> None:
    endpoints = shell.stack.endpoints()
    assert endpoints is not None

    assert shell.json("up") == {"kafka": endpoints.kafka, "redis": endpoints.redis}
    assert {server["alive"] for server in shell.json("status")["servers"]} == {True}


def test_nothing_is_sent_to_or_scored_from_topics_that_are_not_there(shell: Shell) -> None:
    for command in ("run fraud", "run fraud --until-end", "produce payments --simulate --count 1", "produce payments"):
        out, why = shell.run(*command.split(), code=1)
        assert out == ""
        assert "payments" in why
        assert "`streaminfer topics apply`" in why


def test_topics_are_made_once(shell: Shell) -> None:
    names = ["payments", "payments.scored", "payments.dead"]

    assert [(t["topic"], t["did"]) for t in shell.json("topics", "apply", "fraud")] == [(n, "created") for n in names]
    assert {t["did"] for t in shell.json("topics", "apply", "fraud")} == {"unchanged"}
    assert shell.json("topics", "list") == [{"topic": name, "partitions": 6} for name in sorted(names)]


def test_lines_that_are_no_events_are_refused_by_number_and_the_others_are_sent(shell: Shell, tmp_path: Path) -> None:
    lines = b"\n".join([GOOD, *BAD, payment(payment_id="2")])
    out, why = shell.run("produce", "payments", stdin=lines, code=1)

    assert out.startswith("2 events sent to payments")
    assert [line.split(":")[0] for line in why.splitlines()] == [f"line {n}" for n in (2, 3, 4, 5, 6)]
    (tmp_path / "lines.gz").write_bytes(gzip.compress(lines))
    done = shell.json("produce", "payments", "--file", str(tmp_path / "lines.gz"), code=1)
    assert (done["sent"], done["refused"], done["failed"]) == (2, 5, 0)
    assert [record["key"] for record in shell.records("payments")] == ["596"] * 4


def test_raw_lines_are_sent_whatever_they_are_and_become_dead_letters(shell: Shell) -> None:
    done = shell.json("produce", "payments", "--raw", stdin=b"\n".join(BAD) + b"\n")
    assert done["sent"] == len(BAD)
    out, log = shell.run("run", "fraud", "--until-end", "--workers", "2")

    assert "9 records answered" in out
    assert "5 dead letters" in out
    dead = shell.records("payments.dead")
    assert sorted(record["headers"]["code"] for record in dead) == [
        "empty", "missing-field", "not-json", "not-utf8", "out-of-range",
    ]  # fmt: skip
    assert "not json" not in log
    assert shell.json("audit", "fraud") == {
        "inputs": 9, "predictions": 4, "dead_letters": 5, "missing": 0, "duplicated": 0, "unexplained": 0,
        "redriven": 0, "parked": 0,
    }  # fmt: skip


def test_an_answer_that_nobody_asked_for_fails_the_audit(shell: Shell) -> None:
    scored = json.dumps(shell.records("payments.scored")[0]["value"]).encode()
    shell.run("produce", "payments.scored", stdin=scored)

    assert shell.json("audit", "fraud", code=1)["unexplained"] == 1
    out, _ = shell.run("audit", "fraud", code=1)
    assert "payments.scored/" in out


def test_what_is_folded_of_an_entity_is_shown(shell: Shell) -> None:
    shell.run("features", "get", "terminal", "3156", code=1)
    shell.run("topics", "apply")
    paid, known = 1_522_540_831_000, 1_523_145_631_000
    label = {"payment_id": "1", "terminal_id": "3156", "payment_time_ms": paid, "known_at_ms": known, "fraud": True}
    shell.run("produce", "payments.labels", stdin=json.dumps(label).encode())
    assert "1 record answered" in shell.run("run", "fraud-labels", "--until-end")[0]

    found = shell.json("features", "get", "terminal", "3156")["state"]
    assert (found["outcomes"], found["as_of_newest"]["terminal_risk_30d"]) == (1, 1.0)
    other = next(str(i) for i in range(99) if murmur2(str(i).encode(), 6) == murmur2(b"3156", 6))
    _, why = shell.run("features", "get", "terminal", other, code=1)
    assert f"has nothing of {other}" in why
    state = shell.json("features", "get", "customer", "596")
    assert (state["partition"], state["state"]["events"]) == (2, 4)
    assert "customer_count_1d: 4" in shell.run("features", "get", "customer", "596")[0]


def test_a_simulation_that_was_killed_goes_on_and_every_event_is_there_once(shell: Shell, payments: Payments) -> None:
    command = ["produce", "payments", "--simulate", "--start-day", "129"]
    before = shell.sent("payments")
    for _ in range(3):
        so_far = shell.sent("payments")
        process = shell.start(*command, "--rate", "20000", stdout=subprocess.DEVNULL)
        wait_for("events", lambda so_far=so_far: shell.sent("payments") > so_far + 500)  # type: ignore[misc]
        process.kill()
        process.wait()
    killed = shell.sent("payments") - before
    done = shell.json(*command, "--count", "5000")

    simulation = Simulation("payments", payments)
    first = simulation.start(129)
    ids = [int(r["value"]["payment_id"]) for r in shell.records("payments") if "customer_id" in (r["value"] or ())]
    rows = sorted(row for row in ids if row >= first)  # those of the other tests are small
    assert done["sent"] == 5000
    assert len(rows) == len(set(rows)) == killed + 5000
    assert rows[:1000] == list(range(first, first + 1000))


def test_ctrl_c_tells_how_much_was_sent(shell: Shell) -> None:
    before = shell.sent("payments")
    argv = ["produce", "payments", "--simulate", "--rate", "500", "--json"]
    process = shell.start(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for("events", lambda: shell.sent("payments") > before)
    _, why_not = shell.run("produce", "payments", "--simulate", "--count", "1", code=1)
    assert "Another `produce payments --simulate`" in why_not
    process.send_signal(signal.SIGINT)
    out, why = process.communicate(timeout=30)

    assert (process.returncode, without_progress(why.decode())) == (130, "")
    assert json.loads(out)["sent"] == shell.sent("payments") - before


def test_a_reader_that_has_had_enough_is_no_error(shell: Shell) -> None:
    shell.run("produce", "payments", "--simulate", "--count", "20000")
    process = shell.start("tail", "payments", "--until-end", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert without_progress(process.stderr.read().decode()) == ""
    process.stderr.close()
    assert process.wait(30) == 0


def test_what_a_person_reads_moves_no_cursor(shell: Shell) -> None:
    shell.run("produce", "payments.dead", "--raw", stdin=b"\x1b[2J\x07\xc2\x9b31m\n")
    out, _ = shell.run("tail", "payments.dead", "--from", "beginning", "--until-end")

    assert "\\x1b[2J\\x07\\x9b31m" in out
    assert all(line.isprintable() for line in out.split("\n"))


def test_ctrl_c_ends_a_run_in_good_order(shell: Shell) -> None:
    process = shell.start("run", "fraud", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and "live" in event["partitions"].values():
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["event"], last["exit_code"]) == (0, "summary", 0)


def test_a_run_that_ends_before_the_end_that_was_asked_for_says_so(shell: Shell) -> None:
    shell.run("produce", "payments", "--simulate", "--count", "20000")
    argv = ["run", "fraud", "--until-end", "--json"]
    process = shell.start(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, why = process.communicate(timeout=60)

    assert process.returncode == 1
    assert b"Stopped before the end of partition 0, 1, 2, 3, 4, 5." in why


def test_a_run_waits_for_a_kafka_that_is_away_and_says_so_once(shell: Shell, leash: Leash) -> None:
    endpoints = shell.stack.endpoints()
    assert endpoints is not None
    where = ["--kafka", endpoints.kafka, "--redis", endpoints.redis]
    shell.run("down")
    shell.run("tail", "payments", *where[:2], code=3)
    _, why = shell.run("run", "fraud", code=3)
    assert "`streaminfer up`" in why
    process = shell.start("run", "fraud", "--until-end", *where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = next(line for line in map(bytes.decode, process.stderr) if not PROGRESS.match(line))
    shell.stack.up(leash=leash)
    out, why_bytes = process.communicate(timeout=120)

    assert "Kafka does not answer" in told
    assert "Waiting for it." in told
    assert process.returncode == 0, why_bytes
    assert why_bytes.decode().splitlines()[0] == "Kafka answers."
    assert "records answered" in out.decode()


def test_down_stops_what_up_started(shell: Shell) -> None:
    assert set(shell.json("down")["stopped"]) == {"kafka-1", "redis"}
    assert {server["alive"] for server in shell.json("status", code=1)["servers"]} == {False}


def test_a_run_that_was_named_keeps_its_place_for_a_session_and_any_other_gives_it_up(
    new_shell: Callable[[], Shell],
) -> None:
    shell = new_shell()
    shell.environment |= {"STREAMINFER_SESSION_TIMEOUT_MS": "100000"}
    shell.run("topics", "apply")
    shell.run("produce", "payments", "--simulate", "--count", "500")
    ended: dict[str, list[str]] = {}
    for name in ("named", ""):
        words = ["--instance", name] if name else []
        running = shell.start("run", "fraud", "--json", *words, stdout=subprocess.PIPE)
        assert running.stdout is not None
        assert any(b'"live"' in line for line in running.stdout)
        running.terminate()
        running.communicate(timeout=60)
        ended[name] = members(shell)
        if name:  # the same again, and now for good
            shell.run("run", "fraud", "--until-end", *words)
    assert ended == {"named": ["fraud.named-0"], "": []}


def members(shell: Shell) -> list[str]:
    """Who is in the group of the pipeline fraud."""
    endpoints = shell.stack.endpoints()
    assert endpoints is not None
    settings = Settings(kafka=endpoints.kafka, redis="-")
    with contextlib.closing(Group(settings, "fraud", patience_s=20.0)) as group:
        return group.members()


def test_two_runs_until_the_end_share_the_partitions_and_both_end(new_shell: Callable[[], Shell]) -> None:
    shell = new_shell()
    shell.run("topics", "apply")
    shell.run("produce", "payments", "--simulate", "--count", "3000")
    lasting = shell.start("run", "fraud", "--json", stdout=subprocess.PIPE)
    assert lasting.stdout is not None
    assert any(b'"records": 3000' in line for line in lasting.stdout)
    shell.run("run", "fraud", "--until-end", "--workers", "2")
    assert lasting.poll() is None
    lasting.terminate()
    lasting.communicate(timeout=60)
    assert shell.json("audit", "fraud")["missing"] == 0

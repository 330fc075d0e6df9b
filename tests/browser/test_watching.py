"""What somebody on call sees while payments are scored: who owns what, a takeover, recall as outcomes come, drift."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.pipelines.fraud import FRAUD
from tests.browser.chromium import PATIENCE_MS, Opened
from tests.browser.conftest import Monitor
from tests.contract.cli.shell import Shell
from tests.contract.loop.rig import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.redis]

RATE = 60  # payments a second: nobody is to be hurried
DAY = 20  # of the simulation, by which there are frauds
SIMULATED = ("--simulate", "--drift", str(DAY + 1))  # the world changes with the next day
REST = 9_400  # payments, nearly all of that day
JUDGED = 2_000  # outcomes of them
CHANGED = 6_000  # more payments, most of them on the next day
expect.set_options(timeout=PATIENCE_MS)


class Load:
    """Two machines that score, and payments that come."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        shell.run("topics", "apply")
        self._started = {
            "labels": shell.start("run", "fraud-labels"),
            "a": shell.start("run", "fraud", "--instance", "a"),
            "b": shell.start("run", "fraud", "--instance", "b"),
        }
        self.pay()

    def pay(self) -> None:
        flags = (*SIMULATED, "--rate", str(RATE), "--start-day", str(DAY))
        self._started["payments"] = self.shell.start("produce", "payments", *flags)

    @property
    def sent(self) -> int:
        return self.shell.sent("payments")

    def stop_paying(self) -> None:
        self._started["payments"].send_signal(signal.SIGINT)
        self._started["payments"].wait(60)

    def kill(self, name: str) -> None:
        """The machine goes: whoever supervises, and its workers."""
        os.killpg(self._started[name].pid, signal.SIGKILL)
        self._started[name].wait(30)

    def end(self) -> None:
        for process in self._started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


@pytest.fixture(scope="module")
def load(shell: Shell) -> Iterator[Load]:
    load = Load(shell)
    yield load
    load.end()


@pytest.fixture(scope="module")
def page(load: Load, monitor: Monitor, browser: Browser) -> Iterator[Page]:
    """One page, open all the while, as on a wall."""
    opened = Opened(browser, viewport={"width": 1440, "height": 900})
    opened.page.goto(f"{monitor.address}?pipeline=fraud")
    yield opened.page
    assert opened.complaints == []
    opened.context.close()


def owners(page: Page) -> list[str]:
    return page.locator("#partitions tbody tr td:nth-child(2) > span:first-child").all_inner_texts()


def takeovers(page: Page) -> list[list[str]]:
    """What each partition's row says of who had it before."""
    rows = page.locator("#partitions tbody tr").all_inner_texts()
    return [re.findall(r"taken over from \S+ at [\d:]+", row) for row in rows]


def figure(page: Page, name: str) -> str:
    return page.locator("#figures > div", has_text=name).locator("dd").first.inner_text()


def test_it_is_seen_that_payments_are_scored_how_late_and_by_whom(page: Page) -> None:
    wait_for(
        "both machines to own partitions",
        lambda: {owner.split("-")[0] for owner in owners(page)} == {"fraud.a", "fraud.b"},
        within_s=90,
    )
    assert len(owners(page)) == FRAUD.partitions
    expect(page.locator("#latency")).to_have_attribute("aria-label", re.compile(r"p50 [\d.]+ m?s, p99 [\d.]+ m?s"))
    expect(page.locator("#throughput canvas")).to_be_visible()
    wait_for("a rate", lambda: re.fullmatch(r"[1-9][\d.,]*/s", figure(page, "Throughput")) is not None, within_s=60)
    page.get_by_text("Throughput as a table").click()
    expect(page.locator("#throughput-table tbody tr").first).to_contain_text(re.compile(r"\d\d:\d\d:\d\d UTC"))


def test_a_killed_machines_partitions_change_owner_on_the_page(page: Page, load: Load) -> None:
    before, known = owners(page), takeovers(page)  # the machines have shared partitions out when they came
    lost = [p for p, owner in enumerate(before) if owner.startswith("fraud.b")]
    assert lost

    load.kill("b")

    for p in lost:
        row = page.locator("#partitions tbody tr").nth(p)
        expect(row).to_contain_text(re.compile(rf"taken over from {before[p]} at \d\d:\d\d:\d\d UTC"))
        expect(row.locator("td").first.locator("span").first).to_have_text(re.compile(r"^fraud\.a-\d+$"))
    expect(page.locator("#spoken")).to_contain_text(f"Partition {lost[-1]} went from {before[lost[-1]]} to fraud.a-")
    kept = [p for p in range(FRAUD.partitions) if p not in lost]
    assert [takeovers(page)[p] for p in kept] == [known[p] for p in kept]
    # The mark goes, the sentence stays.
    expect(page.locator("#partitions tr.moved")).to_have_count(0)
    expect(page.locator("#partitions tbody tr").nth(lost[0])).to_contain_text("taken over from")


def test_recall_is_seen_when_outcomes_come(page: Page, load: Load) -> None:
    expect(page.locator("#quality-none")).to_be_visible()
    assert figure(page, "Recall") == "–"
    load.stop_paying()
    for topic, count in {"payments": REST - load.sent, "payments.labels": JUDGED}.items():
        load.shell.run("produce", topic, *SIMULATED, "--start-day", str(DAY), "--count", str(count))

    wait_for("recall", lambda: re.fullmatch(r"[01]\.\d\d", figure(page, "Recall")) is not None, within_s=90)
    expect(page.locator("#quality-table tbody tr").first).to_contain_text("2018-04-21")
    expect(page.locator("#quality")).to_have_attribute("aria-label", re.compile(r"recall [01]\.\d\d"))
    expect(page.locator("#verdict-facts")).to_contain_text(re.compile(r"recall [01]\.\d\d"))
    expect(page.locator("#labels-said")).to_contain_text("joined with a kept prediction")
    expect(page.locator("#calibration tbody tr").first).to_be_visible()


def test_one_of_the_newest_alerts_is_shown_in_full(page: Page) -> None:
    page.locator("#newest a").first.click()

    one = page.locator("#one")
    for words in ("What was said", "fraud@1", "What customer", "Looked up: terminal", "payments.scored/"):
        expect(one).to_contain_text(words)
    event = one.locator("dt:text-is('Event') + dd").inner_text()
    assert re.search(r"[?&]id=", page.url)
    page.fill("#ask-id", event)
    page.press("#ask-id", "Enter")
    expect(page.locator("#one dt:text-is('Event') + dd")).to_have_text(event)
    assert page.url.endswith(f"id={event}")


def test_a_drift_alert_is_seen_when_the_simulator_drifts(page: Page, load: Load) -> None:
    drift = page.locator("#drift tbody tr", has=page.locator("th:text-is('amount')"))
    expect(drift).to_contain_text("steady")
    alert = page.locator("#alerts li[data-open=true]", has_text="amount lies otherwise than in training")
    expect(alert).to_have_count(0)

    load.shell.run("produce", "payments", *SIMULATED, "--count", str(CHANGED))

    expect(alert).to_have_count(1)
    expect(alert).to_contain_text("Do: ")
    expect(alert).to_contain_text("ops/runbook.md, drift")
    expect(drift).to_contain_text("drifted")
    expect(page.locator("#verdict-level")).to_have_text(re.compile("Look at this today|Act now"))

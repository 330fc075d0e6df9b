"""A browser, and the real monitor on a Kafka of the module's own. Without a Chromium all of these tests skip."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from app.local.leash import Leash
from app.local.stack import Stack
from app.settings import home_folder
from app.simulate.payments import simulate
from tests.browser.chromium import NAMES, Opened, found, launched
from tests.contract.cli.shell import Shell
from tests.contract.loop.rig import wait_for


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if found() is None:
        pytest.skip(f"There is no {NAMES[0]} in PATH: `apt-get install chromium`.")
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens an address; at the end nothing may have been complained of, and nobody else asked."""
    opened: list[Opened] = []

    def opens(address: str, **options: Any) -> Opened:
        seen = Opened(browser, **options)
        opened.append(seen)
        seen.page.goto(address)
        return seen

    yield opens
    for seen in opened:
        seen.context.close()
        assert {re.sub(r"^(https?://[^/]+).*$", r"\1", url) for url in seen.asked} <= {seen.host}


class Monitor:
    """`streaminfer monitor` as somebody starts it."""

    def __init__(self, shell: Shell) -> None:
        self.process = shell.start("monitor", "--json", stdout=subprocess.PIPE)
        self._told: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        wait_for("the monitor's page", self._answers, within_s=90)

    @property
    def address(self) -> str:
        return str(self._of("page")[0]["url"])

    def tell(self, what: signal.Signals) -> None:
        """To the process that counts and serves, as it is now."""
        os.kill(int(self._of("process")[-1]["pid"]), what)

    def started_ms(self) -> int:
        """When the process that serves now was started; 0 while none answers."""
        try:
            with urllib.request.urlopen(f"{self.address}api/seen", timeout=10) as answer:
                return int(json.loads(answer.read())["monitor"]["started_ms"])
        except OSError:
            return 0

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.address, timeout=10) as answer:
                return bool(answer.status == 200)
        except (IndexError, OSError):
            return False

    def _of(self, event: str) -> list[dict[str, Any]]:
        return [told for told in self._told if told["event"] == event]

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._told.append(json.loads(line))


@pytest.fixture(scope="module")
def shell(browser: Browser, new_stack: Callable[[], Stack], leash: Leash) -> Iterator[Shell]:
    """On servers of the module's own, with no topic; the simulation is not made again for them."""
    simulate(cache=home_folder() / "cache")
    stack = new_stack()
    (stack.home / "cache").symlink_to(home_folder() / "cache")
    stack.up(leash=leash)
    yield Shell(stack, leash)
    stack.down()


@pytest.fixture(scope="module")
def monitor(shell: Shell) -> Iterator[Monitor]:
    monitor = Monitor(shell)
    yield monitor
    monitor.process.send_signal(signal.SIGINT)
    assert monitor.process.wait(30) == 0

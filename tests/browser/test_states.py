"""The page while nothing is scored: empty, stale, without an answer, and with strangers' strings on the topics."""

from __future__ import annotations

import re
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import quote

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Error, Page, expect

from schemas.scored import FraudFeatures, FraudPrediction, ModelRef
from tests.browser.chromium import PATIENCE_MS, Opened
from tests.browser.conftest import Monitor
from tests.contract.cli.shell import Shell
from tests.contract.loop.rig import wait_for
from tests.payments import NOON_MS

pytestmark = [pytest.mark.broker, pytest.mark.redis]

SCRIPT = "<script>window.hit=1</script>"
IMAGE = "<img src=x onerror=window.hit=1>"
PHONE = {"width": 360, "height": 740}
expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., Opened]


def is_live(page: Page) -> None:
    expect(page.locator("#link")).to_have_attribute("data-state", "live")


def too_wide(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def test_before_there_are_topics_the_page_says_what_to_do(monitor: Monitor, open_page: Open) -> None:
    seen = open_page(monitor.address)
    page = seen.page

    is_live(page)
    expect(page.locator("#verdict-level")).to_have_text("Nothing to judge yet")
    expect(page.locator("#verdict-said")).to_contain_text("streaminfer topics apply")
    expect(page.locator("#sources")).to_contain_text("not there yet")
    for panel, words in {
        "#alerts-none": "None has been raised.",
        "#dead-none": "nothing was refused",
        "#quality-none": "No outcome",
        "#throughput-none": "Nothing was answered",
        "#scores-none": "Nothing has been scored yet.",
    }.items():
        expect(page.locator(panel)).to_contain_text(words)
    expect(page.locator("canvas")).to_have_count(0)
    assert seen.complaints == []


def test_a_monitor_that_stands_still_makes_the_page_stale_and_not_green(monitor: Monitor, open_page: Open) -> None:
    page = open_page(monitor.address).page
    is_live(page)

    monitor.tell(signal.SIGSTOP)
    try:
        expect(page.locator("#link")).to_have_attribute("data-state", "stale")
        expect(page.locator("#notice")).to_contain_text("what is shown is old")
        expect(page.locator("#notice")).to_contain_text("streaminfer monitor")
        expect(page.locator("#verdict-level")).to_have_text("Not known")
        expect(page.locator("#verdict-said")).to_contain_text(re.compile(r"Not known since \d\d:\d\d:\d\d UTC"))
        page.get_by_role("link", name="fraud-labels").click()  # another pipeline is as old
        assert page.locator("#verdict-level").inner_text() == "Not known"
    finally:
        monitor.tell(signal.SIGCONT)

    is_live(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#verdict-level")).not_to_have_text("Not known")


def test_the_page_goes_on_by_itself_when_the_monitor_was_killed_and_started_again(
    monitor: Monitor, open_page: Open
) -> None:
    page = open_page(monitor.address).page
    is_live(page)
    before = monitor.started_ms()

    monitor.tell(signal.SIGKILL)

    wait_for("another process", lambda: monitor.started_ms() > before, within_s=60)
    after = monitor.started_ms()
    link = page.locator("#link")
    wait_for("what that process says", lambda: int(link.get_attribute("data-at-ms") or 0) > after, within_s=60)
    is_live(page)


def test_without_an_answer_the_page_says_so_and_with_a_refusal_why(monitor: Monitor, open_page: Open) -> None:
    page = open_page("about:blank").page
    page.route("**/api/live", lambda route: route.abort())
    page.goto(monitor.address)

    expect(page.locator("#notice-what")).to_have_text("The monitor does not answer.")
    expect(page.locator("#verdict-said")).to_have_text("Nothing has come from the monitor yet.")
    expect(page.locator("#notice-do")).to_contain_text("streaminfer monitor")

    page.unroute("**/api/live")
    refusal = '{"said": "64 pages are open already: close one of them."}'
    page.route("**/api/live", lambda route: route.fulfill(status=503, content_type="application/json", body=refusal))
    expect(page.locator("#notice-do")).to_have_text("64 pages are open already: close one of them.")

    page.unroute("**/api/live")
    is_live(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_pipeline_or_a_prediction_that_is_not_there_is_a_sentence(
    monitor: Monitor, open_page: Open, topics: None
) -> None:
    page = open_page(f"{monitor.address}?pipeline={quote(SCRIPT)}").page
    expect(page.locator("#verdict-said")).to_have_text(f"There is no pipeline {SCRIPT} here: choose one above.")
    expect(page.locator("#seen")).to_be_hidden()

    page.get_by_role("link", name="fraud", exact=True).click()
    page.keyboard.press("/")
    page.keyboard.type("nobody-has-it")
    page.keyboard.press("Enter")

    expect(page.locator("#one-said")).to_contain_text("There is no such prediction")
    assert page.url.endswith("?pipeline=fraud&id=nobody-has-it")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{monitor.address}api/predictions/fraud/nobody-has-it", timeout=30)


@pytest.fixture(scope="module")
def topics(shell: Shell) -> None:
    shell.run("topics", "apply")


@pytest.fixture(scope="module")
def strange(shell: Shell, topics: None) -> None:
    """A stranger's prediction and dead letter: all that may hold text holds markup."""
    endpoints = shell.stack.endpoints()
    assert endpoints is not None
    features = dict.fromkeys(FraudFeatures.model_fields, 1.0)
    prediction = FraudPrediction(
        id=SCRIPT,
        event_id=IMAGE,
        customer_id=IMAGE,
        time_ms=NOON_MS,
        score=0.9,
        threshold=0.39,
        decision="alert",
        model=ModelRef(name=IMAGE, version=1),
        features=FraudFeatures(**features),
        marks=[IMAGE],
    )
    headers: list[tuple[str, str | bytes | None]] = [
        ("source", f"payments/0/0{IMAGE}".encode()),
        (IMAGE, IMAGE.encode()),
    ]
    why: list[tuple[str, str | bytes | None]] = [
        ("stage", SCRIPT.encode()),
        ("code", IMAGE.encode()),
        ("reason", f"{SCRIPT} {IMAGE}".encode()),
    ]
    producer = Producer({"bootstrap.servers": endpoints.kafka})
    producer.produce("payments.scored", prediction.model_dump_json().encode(), IMAGE.encode(), headers=headers)
    producer.produce("payments.dead", b"\xff", IMAGE.encode(), headers=[*headers, *why])
    assert producer.flush(30) == 0


def test_a_strangers_markup_is_text_wherever_it_stands(monitor: Monitor, open_page: Open, strange: None) -> None:
    seen = open_page(f"{monitor.address}?pipeline=fraud&id={quote(SCRIPT)}")
    page = seen.page

    expect(page.locator("#dead")).to_contain_text(f"{SCRIPT} {IMAGE}")
    expect(page.locator("#dead")).to_contain_text(f"{SCRIPT}/{IMAGE}")
    expect(page.locator("#marks")).to_contain_text(IMAGE)
    expect(page.locator("#verdict-facts")).to_contain_text(f"{SCRIPT}/{IMAGE}")
    expect(page.locator("#newest a").first).to_have_text(IMAGE)
    one = page.locator("#one")
    expect(one.locator("dd", has_text=SCRIPT)).not_to_have_count(0)
    for words in (f"{IMAGE}@1", f"payments/0/0{IMAGE}", f"What customer {IMAGE} held"):
        expect(one).to_contain_text(words)
    page.locator("#newest a").first.click()
    expect(one).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.locator("img, #seen script").count() == 0
    assert seen.complaints == []


def test_the_browser_is_told_to_run_nothing_but_the_pages_own_scripts(monitor: Monitor, open_page: Open) -> None:
    seen = open_page(monitor.address)
    is_live(seen.page)
    seen.page.evaluate("""() => {
        const script = document.createElement("script");
        script.append("window.hit = 1");
        document.body.append(script);
    }""")

    assert seen.page.evaluate("window.hit") is None
    assert any("TrustedScript" in complaint or "Content Security" in complaint for complaint in seen.complaints)
    with pytest.raises(Error, match="TrustedHTML"):
        seen.page.evaluate("document.body.innerHTML = '<b>markup</b>'")


def test_a_phone_shows_every_pipeline_without_scrolling_sideways(
    monitor: Monitor, open_page: Open, strange: None
) -> None:
    page = open_page(monitor.address, viewport=PHONE).page

    for pipeline in ("fraud", "fraud-labels", "recommendation"):
        link = page.get_by_role("link", name=pipeline, exact=True)
        link.click()
        expect(link).to_have_attribute("aria-current", "page")
        expect(page.locator("#figures")).to_be_visible()
        assert too_wide(page) == 0


def test_all_can_be_done_by_keys_and_the_focus_is_seen(monitor: Monitor, open_page: Open, topics: None) -> None:
    page = open_page(monitor.address, color_scheme="dark").page
    is_live(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"

    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["To the verdict", "fraud", "fraud-labels", "recommendation", "Theme: system"]
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.reload()
    is_live(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"

    page.get_by_role("link", name="recommendation").press("Enter")
    expect(page).to_have_title(re.compile("recommendation"))
    assert page.url.endswith("?pipeline=recommendation")
    expect(page.locator("#hits-panel")).to_be_visible()
    expect(page.locator("#drift-panel")).to_be_hidden()
    page.go_back()
    expect(page.locator("#drift-panel")).to_be_visible()

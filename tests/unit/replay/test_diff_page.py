"""The page of a difference stands alone, shows hostile names as text, and a real browser has nothing to complain of."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.replay_diff import lines
from app.replay.diff import of_pairs
from app.replay.diff_join import Pair
from app.replay.diff_page import page
from app.replay.diff_told import Told, as_object
from tests.unit.replay.differing import answer, asked, pairs, ranking

MARKUP = '</title><script>document.title="owned"</script><img src="http://127.0.0.1:9/x" onerror=alert(1)>'
HOSTILE = f"{MARKUP}\u202e&amp;\x1b[31m"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOADING = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background", "style", "xlink:href"}


@pytest.fixture(scope="module")
def told() -> Told:
    """Every kind of input, and hostile text wherever a topic may hold text."""
    moved = answer(0.1, event_id=HOSTILE), answer(0.9, marks=["behind", HOSTILE], features={HOSTILE: 1.0})
    both = pairs(
        *((answer(i / 100), answer(i / 90, version=2)) for i in range(90)),
        moved,
        (answer(0.2), answer(0.3, version=2, threshold=0.4)),
        (answer(0.1), answer(0.3, decision=HOSTILE)),
        (answer(0.1, model={"name": HOSTILE, "version": 1}), answer(0.1)),
        (answer(0.1), answer(0.1)),
        (ranking("a", HOSTILE), ranking(HOSTILE, "b", version=2)),
        key=HOSTILE.encode(),
    )
    rest = [
        Pair((1, 0), answer(0.1)),
        Pair((1, 1), None, answer(0.1)),
        Pair((1, 2), answer(0.1), new_letter=HOSTILE),
        Pair((1, 3), None, answer(0.1), old_letter=HOSTILE),
        Pair((1, 4), old_letter="a", new_letter="b"),
    ]
    return as_object(of_pairs(asked(), [*both, *rest]))


@pytest.fixture(scope="module")
def written(told: Told) -> str:
    return page(told, title=f"Replay {HOSTILE}")


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes, and whether each that was opened is closed."""

    VOID = frozenset({"meta", "rect", "line"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_nothing_is_loaded_and_nothing_runs(written: str) -> None:
    elements = Elements(written)
    assert elements.open == []
    names = {tag for tag, _ in elements.found}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "a", "form", "image", "use"}
    attributes = {name for _, attrs in elements.found for name in attrs}
    assert not attributes & LOADING
    assert not {name for name in attributes if name.startswith("on")}
    style = written.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src &#x27;none&#x27;" in written or "default-src 'none'" in written


def test_hostile_names_are_text(written: str) -> None:
    assert written.count("&lt;/title&gt;&lt;script&gt;") >= 5
    assert "<script" not in written
    assert "onerror=alert(1)>" not in written
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", written)


def test_what_is_told_on_the_terminal_moves_no_cursor(told: Told) -> None:
    assert all(line.isprintable() for line in lines(told))


def test_pictures_are_hidden_from_those_who_hear_the_page_and_details_open_by_key(written: str) -> None:
    elements = Elements(written)
    pictures = [attrs for tag, attrs in elements.found if tag == "svg"]
    assert len(pictures) > 20
    assert all(attrs["aria-hidden"] == "true" for attrs in pictures)
    opened = [tag for tag, _ in elements.found]
    assert opened.count("summary") == opened.count("details") > 20
    assert all(attrs["tabindex"] == "0" for tag, attrs in elements.found if attrs.get("role") == "region")


@pytest.mark.parametrize("both", [[], [Pair((0, 0), old_letter="a", new_letter="a")]])
def test_a_difference_with_no_prediction_has_a_page_too(both: list[Pair]) -> None:
    told = as_object(of_pairs(asked(), both))
    assert Elements(page(told, title="Nothing")).open == []
    assert lines(told)[-1].startswith("Nothing is broken")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine to show the page in")
    profile = tmp_path_factory.mktemp("chromium")
    return [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
        *("--enable-logging=stderr", "--disable-background-networking", "--virtual-time-budget=2000"),
    ]


def shown(browser: list[str], path: Path) -> tuple[str, list[str]]:
    """The page as the browser has it, and what it says on its console."""
    argv = [*browser, "--dump-dom", path.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_it_and_has_nothing_to_complain_of(browser: list[str], written: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(written, encoding="utf-8")
    dom, console = shown(browser, path)
    assert console == []
    title = dom.partition("<title>")[2].partition("</title>")[0]
    assert title.startswith("Replay &lt;/title&gt;&lt;script&gt;")
    assert dom.count("<details") == written.count("<details")

    # The same browser does complain where there is a reason to: what is not refused above would be seen.
    path.write_text(written.replace("<main>", "<main><script>1</script>"), encoding="utf-8")
    _, console = shown(browser, path)
    assert any("Content Security Policy" in line for line in console)

"""The page's files: what is vendored is what was taken, nothing is fetched from elsewhere, text stays text."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

import pytest

from app.settings import PROJECT

PAGE = PROJECT / "app" / "monitor" / "page"
VENDOR = PAGE / "vendor"
OWN = sorted(PAGE.glob("*.*"))
READABLE = 4.5  # the contrast that small text needs (WCAG 2.2, 1.4.3)
FOUND = 3.0  # and a graphic that says something (1.4.11)


class Markup(HTMLParser):
    """The elements of the page, with their attributes, and what stands inside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style"):
            self.inside += data.strip()

    def all(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name))]


@pytest.fixture(scope="module")
def markup() -> Markup:
    return Markup((PAGE / "index.html").read_text())


def test_what_is_vendored_is_what_was_taken_with_its_licence() -> None:
    noted = [line.split() for line in (VENDOR / "SHA256SUMS").read_text().splitlines() if not line.startswith("#")]

    assert {name for _, name in noted} == {path.name for path in VENDOR.iterdir()} - {"SHA256SUMS"}
    for digest, name in noted:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert "Permission is hereby granted" in (VENDOR / "uPlot-LICENSE.txt").read_text()
    version = re.search(r"\(v([\d.]+)\)", (VENDOR / "uPlot.iife.min.js").read_text())
    assert version is not None
    assert f"uPlot {version[1]}," in (VENDOR / "SHA256SUMS").read_text()


def test_whatever_the_page_asks_for_is_there_and_here(markup: Markup) -> None:
    asked = markup.all("src") + [href for href in markup.all("href") if not href.startswith(("#", "/api/"))]
    for script in PAGE.glob("*.js"):
        asked += [f"/static/{name}" for name in re.findall(r'from "\./([\w.]+)"', script.read_text())]

    assert "/static/page.js" in asked
    for path in asked:
        assert path.startswith("/static/"), path
        assert (PAGE / path.removeprefix("/static/")).is_file(), path


def test_nothing_comes_from_another_host() -> None:
    for path in OWN:
        found = re.findall(
            r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
        )
        assert [url for url in found if url != "http://www.w3.org/2000/svg"] == [], path.name


def test_no_script_and_no_style_stands_in_the_markup(markup: Markup) -> None:
    assert markup.inside == ""
    for tag, attributes in markup.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag


def test_text_from_outside_cannot_become_markup() -> None:
    for path in PAGE.glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc", path.read_text()
        )
        assert found == [], path.name


def test_every_element_that_the_scripts_look_for_is_in_the_page_once(markup: Markup) -> None:
    ids = markup.all("id")
    assert len(ids) == len(set(ids))
    for path in PAGE.glob("*.js"):
        for name in re.findall(r'(?:find|getElementById)\("([\w-]+)"\)', path.read_text()):
            assert name in ids, (path.name, name)
    for name in markup.all("aria-labelledby") + markup.all("for"):
        assert name in ids, name


def test_what_is_written_in_a_colour_can_be_read_in_both_themes() -> None:
    css = (PAGE / "page.css").read_text()
    light = _colours(css, ":root {")
    dark = light | _colours(css, ':root[data-theme="dark"] {')

    for theme in (light, dark):
        for text in ("ink", "quiet", "link", "ok", "warning", "critical"):
            assert _contrast(theme[text], theme["panel"]) >= READABLE, text
        for ground in ("ground", "track", "moved-ground"):
            assert _contrast(theme["ink"], theme[ground]) >= READABLE, ground
        for level in ("ok", "warning", "critical"):
            assert _contrast(theme[level], theme[f"{level}-ground"]) >= READABLE, level
            assert _contrast(theme["ink"], theme[f"{level}-ground"]) >= READABLE, level
        for drawn in ("one", "two", "three"):
            assert _contrast(theme[drawn], theme["panel"]) >= FOUND, drawn


def _colours(css: str, rule: str) -> dict[str, str]:
    body = css.split(rule, 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", body))


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

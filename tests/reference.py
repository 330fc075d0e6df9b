"""The tables in ops/reference/ that the tests run: `python -m tests.reference` puts them into the pages anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests import hostile, waits

FOLDER = Path(__file__).parent.parent / "ops" / "reference"
TABLES = {"kinds": hostile.table, "waits": waits.table}
PAGES = ("hostile-input.md", "limits.md")

_PLACE = re.compile(r"(?<=<!-- table: )(\w+)( -->\n).*?(?=<!-- end of the table -->)", re.DOTALL)


def renewed(text: str) -> str:
    """A page with its tables as they are now."""
    return _PLACE.sub(lambda place: place[1] + place[2] + "\n" + TABLES[place[1]]() + "\n", text)


def main() -> int:
    for name in PAGES:
        page = FOLDER / name
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

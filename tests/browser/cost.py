"""What the page costs and how late it is: `python -m tests.browser.cost ADDRESS [SECONDS]`, with a monitor that runs.

CPU is that of all of Chromium's processes, from /proc; lateness is from the snapshot's own time to the picture of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.browser.chromium import Opened, launched

SETTLE_S = 5.0
FRAMES = """seconds => new Promise(done => {
    const link = document.getElementById("link"), late = [], started = performance.now();
    let shown = link.dataset.atMs;
    const look = () => {
        if (link.dataset.atMs !== shown) { shown = link.dataset.atMs; late.push(Date.now() - Number(shown)); }
        if (performance.now() - started < 1000 * seconds) requestAnimationFrame(look); else done(late);
    };
    look();
})"""


def cpu_s() -> dict[str, float]:
    """Seconds of CPU that each kind of Chromium's processes, children of this one, has used."""
    found: dict[str, float] = {}
    parents = {int(path.name): _stat(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    for pid, stat in parents.items():
        if stat is not None and _is_ours(pid, parents):
            command = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "chrom" in command.split(" ")[0]:
                kind = command.partition("--type=")[2].split(" ")[0] or "browser"
                found[kind] = found.get(kind, 0.0) + stat[1]
    return found


def _stat(process: Path) -> tuple[int, float] | None:
    try:
        words = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(words[1]), (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _is_ours(pid: int, parents: dict[int, tuple[int, float] | None]) -> bool:
    while pid != os.getpid():
        above = parents.get(pid)
        if above is None or above[0] == 0:
            return False
        pid = above[0]
    return True


def measured(address: str, seconds: float) -> dict[str, Any]:
    with launched() as browser:
        seen = Opened(browser, viewport={"width": 1440, "height": 900})
        seen.page.goto(address)
        seen.page.wait_for_selector("#link[data-state=live]")
        time.sleep(SETTLE_S)  # what loading costs is paid once
        # Lateness is looked at in a time of its own: looking at each frame costs more than the page.
        before, started = cpu_s(), time.monotonic()
        time.sleep(seconds)
        took_s, after = time.monotonic() - started, cpu_s()
        used = {kind: after[kind] - before.get(kind, 0.0) for kind in after}
        late = sorted(seen.page.evaluate(FRAMES, seconds))
        return {
            "seconds": round(took_s, 1),
            "percent_of_a_core": {kind: round(100 * spent / took_s, 2) for kind, spent in sorted(used.items())},
            "percent_of_a_core_in_all": round(100 * sum(used.values()) / took_s, 2),
            "snapshots": len(late),
            "late_ms": {"p50": late[len(late) // 2], "most": late[-1]} if late else None,
            "complaints": seen.complaints,
        }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20.0), indent=2))

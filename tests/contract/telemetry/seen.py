"""A run that a test looks at as a probe would, through its port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from tests.contract.loop.rig import Rig, wait_for


class SeenRun:
    """A supervisor's process over `workers` workers with a fate (the words of `watched`), or none."""

    def __init__(self, rig: Rig, *fate: str, workers: int = 1, **settings: object) -> None:
        self.rig = rig
        argv = [sys.executable, "-m", "tests.contract.loop.observed"]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        whole = json.loads(rig.settings.model_dump_json()) | {"observe": "127.0.0.1:0"} | settings
        job = {"tag": rig.tag, "settings": whole, "workers": workers, "fate": list(fate)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout is not None
        self.url = str(json.loads(self.process.stdout.readline())["url"])
        self.events: list[dict[str, Any]] = []
        self.log = b""
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._hear, self._read_log)]
        for reader in self._readers:
            reader.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def checks(self, path: str = "/readyz") -> dict[str, str]:
        """Each part's word; the status must say the same as all of them."""
        status, body = self.get(path)
        checks: dict[str, str] = json.loads(body)["checks"]
        well = all(words == "ok" for words in checks.values())
        assert (status, json.loads(body)["ready" if path == "/readyz" else "alive"]) == (200 if well else 503, well)
        return checks

    def says(self, part: str, words: str, *, path: str = "/readyz", within_s: float = 40.0) -> dict[str, str]:
        """Waits until a part says these words. Gives what all parts said at that moment."""
        told: dict[str, str] = {}

        def said() -> bool:
            assert self.process.poll() is None, self.log.decode()
            told.clear()
            told.update(self.checks(path))
            return words in told.get(part, "")

        try:
            wait_for(f"{part} to say {words!r}", said, within_s=within_s)
        except AssertionError as never:
            raise AssertionError(f"{never}; it said {told}\n{self.log.decode()[-3000:]}") from None
        return told

    def is_ready(self) -> bool:
        return all(words == "ok" for words in self.checks().values())

    def gets_ready(self) -> None:
        try:
            wait_for("it to be ready", self.is_ready, within_s=60)
        except AssertionError as never:
            raise AssertionError(f"{never}; it said {self.checks()}\n{self.log.decode()[-3000:]}") from None

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Every sample by name and the values of its labels but the pipeline."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1].decode()):
            for sample in family.samples:
                labels = [value for name, value in sorted(sample.labels.items()) if name != "pipeline"]
                found[(sample.name.removeprefix("streaminfer_"), *labels)] = sample.value
        return found

    def metric(self, *name: str) -> float:
        return self.metrics().get(name, 0.0)

    @property
    def pids(self) -> list[int]:
        """The workers' processes, by slot as they were last started."""
        last = {event["slot"]: event["pid"] for event in list(self.events) if event["event"] == "worker"}
        return [last[slot] for slot in sorted(last)]

    def close(self) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.terminate()  # the second one ends the workers at once
                self.process.wait(30)
        for reader in self._readers:
            reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

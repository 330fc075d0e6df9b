"""Prometheus' files, the dashboards and the runbook: they name what a run exposes, and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PROJECT
from tests.unit.telemetry.test_exposition import FULL, exposed

OPS = PROJECT / "ops"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = yaml.safe_load((OPS / "prometheus" / "alerts_test.yml").read_text())["tests"]
DASHBOARDS = sorted((OPS / "grafana" / "dashboards").glob("*.json"))
ENTRIES = re.findall(r"^## (.+)$", (OPS / "runbook.md").read_text(), re.MULTILINE)
METRIC = re.compile(r"\bstreaminfer_[a-z_]+")


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def expressions(path: Path) -> list[str]:
    return [target["expr"] for panel in panels(path) for target in panel["targets"]]


def promtool(*words: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool on this machine; Debian's package prometheus has it")
    done = subprocess.run([program, *words], capture_output=True, text=True, cwd=OPS / "prometheus", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_files() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_every_alert_comes_when_it_should_and_stays_away_when_it_should() -> None:
    promtool("test", "rules", "alerts_test.yml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_tried_both_ways_and_names_its_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    checks = [check for test in TESTS for check in test["alert_rule_test"] if check["alertname"] == rule["alert"]]
    assert {bool(check["exp_alerts"]) for check in checks} == {True, False}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook"] == f"ops/runbook.md#{rule['alert']}"
    assert rule["alert"] in ENTRIES


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    dashboard, found = json.loads(path.read_text()), panels(path)
    assert dashboard["uid"] == f"streaminfer-{path.stem}"
    assert len({panel["id"] for panel in found}) == len(found)
    assert len({panel["title"] for panel in found}) == len(found)
    assert all(panel["description"].endswith(".") for panel in found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not taken & cells, f"{panel['title']} lies on another panel"
        taken |= cells


def test_rules_and_dashboards_name_only_what_a_run_exposes() -> None:
    text = exposed(FULL)
    there = set(METRIC.findall(text))
    asked = {name for rule in RULES for name in METRIC.findall(rule["expr"])}
    asked |= {name for path in DASHBOARDS for expression in expressions(path) for name in METRIC.findall(expression)}
    assert len(asked) > 20
    assert asked <= there, sorted(asked - there)


def test_prometheus_understands_the_dashboards_expressions(tmp_path: Path) -> None:
    asked = [one for path in DASHBOARDS for one in expressions(path)]
    plain = [one.replace("$__rate_interval", "1m").replace("$pipeline", "fraud") for one in asked]
    rules = [{"record": f"panel:number{i}", "expr": expression} for i, expression in enumerate(plain)]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_runbook_s_links_lead_somewhere() -> None:
    text = (OPS / "runbook.md").read_text()
    assert set(re.findall(r"\]\(#([a-z-]+)\)", text)) <= set(ENTRIES)
    for entry in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        words = [entry.find(f"**{word}") for word in ("One sees", "Look", "Do")]
        assert -1 not in words, entry[:40]
        assert words == sorted(words), entry[:40]

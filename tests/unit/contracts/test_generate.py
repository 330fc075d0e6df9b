"""The generated files: up to date, the same every time, and different as soon as the wire is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from app.contracts import generate
from app.contracts.jsonschema import DIALECT, json_schema
from schemas import TOPICS, Payment, TopicContract

ANSWERS = ("payments.scored", "recommendations", "monitor.alerts")  # strict: what goes out is ours to the last field


def test_the_committed_files_are_what_the_schemas_say() -> None:
    assert generate.stale(generate.FOLDER) == [], f"run {generate.COMMAND} and look at the difference"


def test_the_check_passes_on_what_was_written_and_names_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    capsys.readouterr()
    (tmp_path / "json/payments.schema.json").write_text("{}")
    (tmp_path / "json/gone.schema.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["schemas/json/gone.schema.json", "schemas/json/payments.schema.json"]
    assert all(generate.COMMAND in line for line in said)
    generate.main([])
    assert generate.stale(tmp_path) == []


def test_a_change_of_the_wire_is_a_change_of_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = create_model("Payment", __base__=Payment, __doc__=Payment.__doc__, currency=(str, "EUR"))
    payments = TOPICS["payments"]
    changed = TopicContract(payments.name, grown, payments.key, payments.time, payments.id, payments.description)
    monkeypatch.setitem(TOPICS, "payments", changed)
    assert generate.stale(generate.FOLDER) == ["json/payments.schema.json"]


@pytest.mark.parametrize("contract", TOPICS.values(), ids=TOPICS)
def test_a_schema_says_its_dialect_its_topic_and_every_bound_in_words_and_in_numbers(contract: TopicContract) -> None:
    schema = json_schema(contract)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, f"streaminfer:{contract.name}")
    for part in (schema, *schema.get("$defs", {}).values()):
        assert part["type"] == "object"
        assert part["required"] == list(part["properties"])
        assert part.get("additionalProperties", True) is (contract.name not in ANSWERS)
        for field in part["properties"].values():
            assert field["description"].endswith(".")
            assert _is_bounded(field), field


def _is_bounded(field: dict[str, Any]) -> bool:
    match field.get("type"):
        case "string":
            return "maxLength" in field or "enum" in field
        case "integer":
            return "minimum" in field and ("maximum" in field or "exclusiveMaximum" in field)
        case "number":
            return "minimum" in field
        case "array":
            return "maxItems" in field and _is_bounded(field["items"])
    return "$ref" in field or field.get("type") == "boolean"


def test_asyncapi_has_every_topic_and_every_reference_leads_somewhere() -> None:
    document = json.loads(generate.generated()["asyncapi.json"])
    assert document["asyncapi"] == "3.0.0"
    assert "servers" not in document
    assert set(TOPICS) | {"payments.dead"} <= set(document["channels"])
    actions = {
        (operation["action"], operation["channel"]["$ref"].removeprefix("#/channels/"))
        for name, operation in document["operations"].items()
        if name.startswith("fraud-")
    }
    wanted = {("receive", "payments"), ("send", "payments.scored"), ("send", "payments.dead")}
    assert wanted <= actions
    files = generate.generated()
    for reference in _references(document):
        if reference.startswith("./"):
            assert reference.removeprefix("./") in files
            continue
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for item in node for reference in _references(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for item in node.values() for reference in _references(item)]
    return []


def test_headers_of_answers_and_dead_letters_are_documented() -> None:
    messages = json.loads(generate.generated()["asyncapi.json"])["components"]["messages"]
    answer = messages["payments.scored"]["headers"]
    live = ["content-type", "source", "model", "scored-at"]
    assert sorted(answer["properties"]) == sorted([*live, "replay", "lookups", "attempt", "traceparent"])
    assert answer["required"] == live
    letter = messages["payments.dead"]
    assert {"source", "stage", "reason", "code", "attempt"} <= set(letter["headers"]["required"])
    assert "payload" not in letter
    assert "headers" not in messages["payments"]

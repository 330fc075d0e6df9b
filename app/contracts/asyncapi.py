"""AsyncAPI 3.0 of the declared pipelines: topics, messages, headers, and who reads and writes what.

Servers are left out, since where Kafka is differs from place to place and the contract does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.pipeline import Pipeline
from schemas.headers import DEAD_LETTER_HEADERS, PREDICTION_HEADERS, Header
from schemas.topics import TopicContract

WIRE_VERSION = "1.0.0"  # of the contracts together: raised by hand when one of them changes
BINDING_VERSION = "0.5.0"


def asyncapi(pipelines: Iterable[Pipeline], topics: Mapping[str, TopicContract]) -> dict[str, Any]:
    """The document. Payloads are references to the JSON Schema files beside it."""
    pipelines = tuple(pipelines)
    answered = {pipeline.answers.name for pipeline in pipelines if pipeline.answers is not None}
    sources = {pipeline.dead_letters: pipeline.source for pipeline in pipelines}
    channels = {name: _channel(name, contract.description) for name, contract in topics.items()}
    messages = {name: _message(contract, answer=name in answered) for name, contract in topics.items()}
    for name, source in sources.items():
        channels[name] = _channel(name, f"Records of {source.name} that could not be scored, and why.")
        messages[name] = _dead_letter(name, source)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streaminfer",
            "version": WIRE_VERSION,
            "description": "Every event of a topic is answered once, by a prediction or by a dead letter.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {name: body for pipeline in pipelines for name, body in _operations(pipeline)},
        "components": {"messages": messages},
    }


def _channel(name: str, description: str) -> dict[str, Any]:
    message = {"$ref": f"#/components/messages/{name}"}
    return {"address": name, "description": description, "messages": {name: message}}


def _message(contract: TopicContract, *, answer: bool) -> dict[str, Any]:
    key = contract.model.model_fields[contract.key].description
    message: dict[str, Any] = {
        "name": contract.model.__name__,
        "summary": contract.description,
        "contentType": "application/json",
        "payload": {"$ref": f"./json/{contract.name}.schema.json"},
        "bindings": _key_binding(f"The value's {contract.key}, as UTF-8. {key}"),
    }
    return message | {"headers": _headers(PREDICTION_HEADERS)} if answer else message


def _dead_letter(name: str, source: TopicContract) -> dict[str, Any]:
    return {
        "name": name,
        "summary": f"A record of {source.name}: value, key and headers byte for byte, with headers that say why.",
        "contentType": "application/octet-stream",
        "headers": _headers(DEAD_LETTER_HEADERS),
        "bindings": _key_binding("The key of the record that was refused, if it had one."),
    }


def _headers(headers: Iterable[Header]) -> dict[str, Any]:
    headers = tuple(headers)
    return {
        "type": "object",
        "required": [header.name for header in headers if header.required],
        "properties": {header.name: {"type": "string", "description": header.description} for header in headers},
    }


def _key_binding(description: str) -> dict[str, Any]:
    return {"kafka": {"key": {"type": "string", "description": description}, "bindingVersion": BINDING_VERSION}}


def _operations(pipeline: Pipeline) -> Iterable[tuple[str, dict[str, Any]]]:
    group = {"kafka": {"groupId": {"type": "string", "const": pipeline.name}, "bindingVersion": BINDING_VERSION}}
    read = _operation(
        "receive", pipeline.source.name, f"{pipeline.name} reads what it {'folds' if pipeline.fold_only else 'scores'}."
    )
    yield f"{pipeline.name}-receives-{pipeline.source.name}", read | {"bindings": group}
    if pipeline.answers is not None:
        answers = f"{pipeline.name} writes one prediction for each record that it could score."
        yield f"{pipeline.name}-sends-{pipeline.answers.name}", _operation("send", pipeline.answers.name, answers)
    refused = f"{pipeline.name} writes each record that is no event, in the transaction that commits its offset."
    yield f"{pipeline.name}-sends-{pipeline.dead_letters}", _operation("send", pipeline.dead_letters, refused)


def _operation(action: str, topic: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{topic}"}],
    }

"""YAML as plain as a manifest is: no value is written once and meant many times, and none lies deep.

A page of aliases of aliases stands for more values than any memory holds, and libyaml crashes on a deep value. Both are
looked for in the text's events, before any value is made.
"""

from __future__ import annotations

from typing import Any

import yaml

DEPTH = 32

# libyaml reads a manifest in 2 ms, the Python reader in 40; wheels have it, a build from source may not.
_Loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def plain_yaml(text: bytes) -> Any:
    """The value. Raises yaml.YAMLError for what is no YAML, and ValueError for what is not plain."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias{_where(event)}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"something more than {DEPTH} levels deep{_where(event)}")
    return yaml.load(text, _Loader)  # noqa: S506 - a safe one


def _where(event: yaml.Event) -> str:
    return f", in line {event.start_mark.line + 1}" if event.start_mark is not None else ""

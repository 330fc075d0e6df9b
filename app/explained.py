"""Every setting with its value and who gave it, fit to be shown: what is or may be a secret is masked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_settings import EnvSettingsSource, SettingsError

from app.errors import Refused
from app.settings import Settings, Started, load_settings, read_file, refuse_unknown, settings_file
from app.telemetry.masking import MASK, SECRET_NAME

NOBODY = "nobody"
UNKNOWN = "not known"  # stands for an address that nothing names, and which only some commands need

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/@\s]*?)(?P<password>:[^/\s]*)?@", re.IGNORECASE)
_GIVEN = re.compile(
    r"(?P<name>(?:password|passphrase|secret|token|api.?key|authorization)\s*[=:]\s*)[^\s&;,'\"]+", re.IGNORECASE
)


@dataclass(frozen=True)
class Explained:
    """One setting. `value` is None where nothing gives one; secrets in it are masked."""

    name: str
    value: Any
    source: str
    description: str

    @property
    def shown(self) -> str:
        """The value as one would write it in the file."""
        if self.value is None:
            return UNKNOWN if self.source == NOBODY else "not set"
        return json.dumps(self.value, ensure_ascii=False)

    def as_object(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "source": self.source, "description": self.description}


def explained(**flags: Any) -> list[Explained]:
    """All settings in the order of their declaration. Raises Refused where one is wrong."""
    refuse_unknown()
    flags = {name: value for name, value in flags.items() if value is not None}
    by = {name: source for source, values in reversed(_given(flags)) for name in values}
    nowhere = [name for name in ("kafka", "redis") if name not in by]
    found = load_settings(**flags, **dict.fromkeys(nowhere, UNKNOWN))
    values = json.loads(found.model_dump_json())
    return [
        Explained(
            name,
            None if name in nowhere else masked(name, values[name]),
            by.get(name, NOBODY if name in nowhere else "default"),
            str(field.description),
        )
        for name, field in Settings.model_fields.items()
    ]


def _given(flags: dict[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Who gives which settings, those first that come first."""
    file = settings_file(flags.get("home"))
    try:
        variables = EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise Refused(f"The settings cannot be read: {error}.", exit_code=2) from None
    said: list[tuple[str, Mapping[str, Any]]] = [("flag", flags)]
    said += [(f"variable STREAMINFER_{name.upper()}", {name: value}) for name, value in variables.items()]
    said.append((f"file {file}", read_file(file)))
    started = Started(Settings)
    for _, values in reversed(said):
        started.current_state.update(values)
    said.append(("up", started()))
    return said


def masked(name: str, value: Any) -> Any:
    """The value without what is, by its name or its form, a secret."""
    if isinstance(value, Mapping):
        return {key: masked(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(name, inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if SECRET_NAME.search(name):
        return MASK
    if not isinstance(value, str):
        return value
    return _GIVEN.sub(lambda it: it["name"] + MASK, _USER_INFO.sub(_without_password, value))


def _without_password(found: re.Match[str]) -> str:
    """Of `user:password@` the user stays; a lone word before the @ may be a token."""
    user = f"{found['user']}:{MASK}" if found["password"] else MASK
    return f"{found['scheme']}{user}@"

"""The one place where secrets are taken out of what a person or a program is shown.

What is secret is learnt from the settings when they are read; whatever is shown about how it goes (log lines, errors,
health) passes through `mask`. Data of topics do not: they are shown as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
LEAST = 3  # a shorter secret would take letters out of every word; in a URL it is found all the same
SECRET_NAME = re.compile(
    # `pas+w`: a name that is spelled wrongly (sasl.passwort, ssl.key.pasword) has a secret all the same.
    r"^(?!.*_file$).*(pas+w|passphrase|secret|token|credential|jaas|\.pem$|oauthbearer\.config|api.?key)",
    re.IGNORECASE,
)
# Up to the last @ before the path: a password that nobody has quoted may hold any other character.
_IN_URL = re.compile(r"(?<=://)[^/\s\"'<>]*@")

_known: set[str] = set()


def learn(urls: Iterable[str | None], options: Mapping[str, str]) -> None:
    """Take what is secret in these URLs and librdkafka options for secret from now on, in this process."""
    found: list[str] = [value for name, value in options.items() if SECRET_NAME.search(name)]
    for url in urls:
        found += _secrets_of(url or "")
    for secret in found:
        _known.update(form for form in (secret, quote(secret, safe=""), unquote(secret)) if len(form) >= LEAST)


def forget() -> None:
    """As in a new process."""
    _known.clear()


def mask(text: str) -> str:
    """The text without secrets: user and password of URLs, and everything that was learnt."""
    text = _IN_URL.sub(f"{MASK}@", text)
    for secret in sorted(_known, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, MASK)
    return text


def _secrets_of(url: str) -> list[str]:
    """The password, as it stands and as it is meant; also of a URL that nobody can parse."""
    place = url.partition("://")[2]
    if "@" not in place:
        return []
    _, _, password = place.rpartition("@")[0].partition(":")
    found = [password] if password else []
    try:
        parsed = urlsplit(url).password
    except ValueError:
        parsed = None
    return found + ([parsed] if parsed else [])

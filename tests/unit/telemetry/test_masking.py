"""No secret in anything that is shown about how it goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.explained import masked
from app.telemetry.masking import forget, learn, mask


@pytest.fixture(autouse=True)
def _nothing_learnt() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter22@cache:6379/0",
        "rediss://app:hunter22@cache/0",
        "redis://app:p@ss:hunter22@cache:6379",
        "http://u:hunter22@collector:4318/v1/traces",
    ],
)
def test_user_and_password_of_a_url_are_taken_out_though_nobody_has_learnt_them(url: str) -> None:
    told = mask(f"Redis at {url} does not answer.")

    assert "hunter22" not in told
    assert told.startswith(f"Redis at {url.partition('://')[0]}://***@c")


def test_an_address_without_a_secret_stays_as_it_is() -> None:
    for text in ("redis://127.0.0.1:6379/0", "someone@example.org wrote", "http://h:1/a@b", "127.0.0.1:9092"):
        assert mask(text) == text


def test_a_learnt_secret_is_taken_out_wherever_it_stands_in_each_of_its_forms() -> None:
    learn(["redis://:s%40cret-one@h"], {"sasl.password": "s3cret-two", "ssl.key.password": "s3cret-two-and-more"})

    told = mask("one s%40cret-one, s@cret-one, two s3cret-two, three s3cret-two-and-more.")
    assert told == "one ***, ***, two ***, three ***."


@pytest.mark.parametrize(
    ("option", "is_secret"),
    [
        ("sasl.password", True),
        ("ssl.keystore.password", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("ssl.key.pem", True),
        ("sasl.jaas.config", True),
        ("sasl.passwort", True),
        ("ssl.key.pasword", True),
        ("sasl.oauthbearer.method", False),
        ("sasl.username", False),
        ("ssl.ca.location", False),
    ],
)
def test_which_options_are_secret_is_told_by_their_names(option: str, is_secret: bool) -> None:
    learn([], {option: "the-value"})

    assert ("the-value" not in mask("it is the-value")) == is_secret
    assert masked(option, "the-value") == ("***" if is_secret else "the-value")


def test_a_secret_of_two_letters_does_not_take_all_words_apart() -> None:
    learn(["redis://:at@cache"], {})

    assert mask("What is at redis://:at@cache?") == "What is at redis://***@cache?"


def test_what_nobody_can_parse_is_masked_all_the_same() -> None:
    learn(["redis://:[hunter22@h:port"], {})

    assert mask("[hunter22") == "***"
    assert "hunter22" not in mask("redis://:[hunter22@h:port")

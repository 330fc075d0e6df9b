"""The little web server: where it listens, what it answers, and that nobody can hold it."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from app.errors import Refused
from app.telemetry import server as server_room
from app.telemetry.ask import asked
from app.telemetry.server import AT_ONCE, Page, Server, json_page

PAGES: dict[str, Callable[[], Page]] = {
    "/metrics": lambda: Page(b"one 1\n"),
    "/readyz": lambda: json_page({"ready": False, "checks": {"kafka": "ok", "redis": "Redis is away."}}, 503),
}


@pytest.fixture
def started() -> Iterator[Server]:
    server = Server("127.0.0.1:0", PAGES)
    server.start()
    yield server
    server.stop()


def get(server: Server, path: str, method: str = "GET") -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()


def open_to(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=5)


def test_a_page_is_answered_whatever_is_asked_behind_its_path(started: Server) -> None:
    assert get(started, "/metrics") == (200, b"one 1\n")
    assert get(started, "/metrics?name[]=x") == (200, b"one 1\n")
    assert get(started, "/metrics", "HEAD") == (200, b"")


def test_what_is_not_there_is_told_with_what_is(started: Server) -> None:
    assert get(started, "/secret") == (404, b"There are:\n/metrics\n/readyz\n")
    assert get(started, "/")[0] == 200
    assert get(started, "/metrics", "POST")[0] == 501


def test_auto_takes_the_next_port_where_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        monkeypatch.setattr(server_room, "FIRST_PORT", taken)
        server = Server("auto", PAGES)
        assert urlsplit(server.url).port not in (None, taken)
        assert urlsplit(server.url).hostname == "127.0.0.1"
        server._http.server_close()


def test_an_address_that_was_named_and_is_taken_is_refused_with_what_to_do() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(Refused, match=f"{address}.*is taken.*observe=auto") as refused:
            Server(address, PAGES)
        assert refused.value.exit_code == 1


def test_an_address_that_this_machine_does_not_have_is_wrong_use() -> None:
    with pytest.raises(Refused, match="cannot be listened on") as refused:
        Server("192.0.2.1:0", PAGES)
    assert refused.value.exit_code == 2


def test_every_address_of_the_machine_is_shown_as_one_that_can_be_opened() -> None:
    server = Server("0.0.0.0:0", PAGES)
    assert server.url.startswith("http://127.0.0.1:")
    server._http.server_close()


def test_connections_that_ask_nothing_are_cut_and_the_others_are_answered(
    started: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "REQUEST_S", 0.5)
    silent = [open_to(started) for _ in range(AT_ONCE)]
    for connection in silent:
        connection.sendall(b"GET /metr")
    for connection in silent:
        assert connection.recv(1) == b"", "the server cuts it"
        connection.close()
    assert get(started, "/metrics") == (200, b"one 1\n")


def test_more_than_it_takes_at_once_are_turned_away_and_not_kept(started: Server) -> None:
    held = [open_to(started) for _ in range(AT_ONCE)]
    for connection in held:
        connection.sendall(b"GET /metr")
    with open_to(started) as one_more, contextlib.suppress(ConnectionError):
        assert one_more.recv(1) == b""
    for connection in held:
        connection.sendall(b"ics HTTP/1.0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.0 200"
        connection.close()


def test_a_verdict_is_asked_and_no_answer_is_one(started: Server) -> None:
    verdict = asked("fraud.here", started.url)
    assert (verdict.well, dict(verdict.wrong)) == (False, {"redis": "Redis is away."})
    assert not asked("fraud.here", started.url, alive=True).well, "a page that is not there is no word of a run"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "does not answer as a run does" in asked("x", nobody).wrong["answer"]


def test_one_that_takes_the_question_and_says_nothing_is_given_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        verdict = asked("x", f"http://127.0.0.1:{mute.getsockname()[1]}", patience_s=0.2)
    assert not verdict.well


@pytest.mark.parametrize("url", ["127.0.0.1:9464", "ftp://h", "http://", "http://h:x", "http://h/metrics"])
def test_what_is_no_address_of_a_run_is_wrong_use(url: str) -> None:
    with pytest.raises(Refused, match="say http://HOST:PORT") as refused:
        asked("x", url)
    assert refused.value.exit_code == 2

"""The page and what it asks for, served by Faust's own web server.

On loopback anybody on this machine may look, but only under a loopback name: a page from elsewhere that a browser was
fooled into calling this machine is refused. With a token everybody needs it: as `Authorization: Bearer ...`, or once
as /?token=..., which sets a cookie and takes it out of the address.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web
from faust.web.drivers.aiohttp import Web

from app.errors import Refused, Unavailable
from app.monitor.lookup import prediction
from app.monitor.seen import NotThere, Seen
from app.monitor.state import State

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "page"
COOKIE = "streaminfer-monitor"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LIVES = 64  # pages that may be open at once
ID_LENGTH = 256
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """What is shown: the newest snapshot, and who is waiting for the next one."""

    def __init__(self, state: State, token: str | None) -> None:
        self.state = state
        self._token = token
        self.whole = b""
        self.lives = 0
        self.ends = False
        self.first: Callable[[], Coroutine[Any, Any, None]] | None = None  # runs as long as the server does
        self._next: asyncio.Event | None = None

    def show(self, snapshot: Seen) -> None:
        self.whole = snapshot.model_dump_json().encode()
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.set()

    async def after(self) -> bytes:
        """The next snapshot."""
        if self._next is None:
            self._next = asyncio.Event()
        await self._next.wait()
        return self.whole

    def lets_in(self, request: web.Request) -> bool:
        if self._token is None:
            return host_of(request.host) in LOOPBACK
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.cookies.get(COOKIE, "")
        return self.knows(given)

    def knows(self, given: str) -> bool:
        wanted = (self._token or "").encode()
        return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted)


class Pages(Web):
    """Faust's web server with these pages and none of its own, which would tell too much."""

    default_blueprints: ClassVar[Any] = []
    production_blueprints: ClassVar[Any] = []
    debug_blueprints: ClassVar[Any] = []
    optional_blueprints: ClassVar[Any] = []
    handler_shutdown_timeout = 1.0

    def __init__(self, app: Any, page: Page, **options: Any) -> None:
        super().__init__(app, **options)
        self._page = page
        self._first: asyncio.Task[None] | None = None
        self.web_app.middlewares.append(_guard(page))
        routes = self.web_app.router
        routes.add_get("/", _index)
        routes.add_get("/api/seen", _seen(page))
        routes.add_get("/api/live", _live(page))
        routes.add_get("/api/predictions/{pipeline}/{id}", _prediction(page))
        if FOLDER.is_dir():
            routes.add_static("/static", FOLDER)

    async def start_server(self) -> None:
        await super().start_server()
        if self._page.first is not None:
            self._first = asyncio.create_task(self._page.first())
            self._first.add_done_callback(_told)

    async def stop_server(self) -> None:
        if self._first is not None:
            self._first.cancel()
        self._page.ends = True
        if self._page.whole:
            self._page.show(Seen.model_validate_json(self._page.whole))
        await super().stop_server()


def _told(task: asyncio.Task[None]) -> None:
    """Nobody awaits it: what it dies of is said here."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("The page is not kept up to date any more.", exc_info=error, extra={"event": "page-stopped"})


def _guard(page: Page) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.query.get("token")
        if given is not None and request.path == "/" and page.knows(given):
            response = web.Response(status=303, headers={"Location": "/", **HEADERS})
            response.set_cookie(COOKIE, given, httponly=True, samesite="Strict", path="/")
            return response
        if not page.lets_in(request):
            return said(401, "This page needs its token: open /?token=... once, or send it as a bearer token.")
        try:
            answer = await handler(request)
        except web.HTTPNotFound:
            return said(404, "There is nothing here; the page is at /.")
        except web.HTTPMethodNotAllowed:
            return said(405, "Nothing can be changed here: only GET is answered.")
        if not answer.prepared:
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
        return answer

    return guard


async def _index(_: web.Request) -> web.StreamResponse:
    path = FOLDER / "index.html"
    if not path.is_file():
        return said(404, "The page's files are not installed; /api/seen answers what it would show.")
    return web.Response(body=path.read_bytes(), content_type="text/html", charset="utf-8")


def _seen(page: Page) -> Handler:
    async def whole(_: web.Request) -> web.StreamResponse:
        return _json(200, page.whole or await page.after())

    return whole


def _live(page: Page) -> Handler:
    async def live(request: web.Request) -> web.StreamResponse:
        if page.lives >= LIVES:
            return said(503, f"{LIVES} pages are open already: close one of them.")
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        page.lives += 1
        try:
            await stream.prepare(request)
            whole = page.whole or await page.after()
            while not page.ends:
                await stream.write(b"event: seen\ndata: " + whole + b"\n\n")
                whole = await page.after()
        except ConnectionError:
            pass  # the page was closed
        finally:
            page.lives -= 1
        return stream

    return live


def _prediction(page: Page) -> Handler:
    asked = asyncio.Semaphore(2)  # each may search the log for seconds

    async def one(request: web.Request) -> web.StreamResponse:
        pipeline, wanted = request.match_info["pipeline"], request.match_info["id"]
        if len(wanted) > ID_LENGTH:
            return said(404, f"No id is longer than {ID_LENGTH} characters.")
        async with asked:
            try:
                found = await asyncio.to_thread(prediction, page.state, pipeline, wanted)
            except Refused as error:
                return said(404, str(error))
            except Unavailable as error:
                return said(503, str(error))
        return _json(200, found.model_dump_json().encode())

    return one


def said(status: int, sentence: str) -> web.Response:
    return _json(status, NotThere(said=sentence).model_dump_json().encode())


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=HEADERS)


def host_of(named: str) -> str:
    """The host of a Host header or an address, without its port."""
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return named.rpartition(":")[0] if ":" in named else named

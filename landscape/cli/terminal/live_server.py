"""`landscape report --watch`: a page on this machine that follows a file while it is being filled.

A browser may not read files again by itself, so a server of the standard library, reachable from this machine only,
hands out the report in a frame, and tells the page around it (server-sent events) when there is a new one. That page
keeps the reader's place, switches and cameras. The report is the same file that is written without --watch.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from landscape.errors import LandscapeError

POLL = 0.5  # seconds between looks at the files
ALIVE = 10.0  # seconds between signs of life to a browser
Stamp: TypeAlias = tuple[Any, ...]


def stamp(paths: Sequence[Path]) -> Stamp:
    """Return sizes and times of analysis files and their journals, which change with them."""
    states: list[Any] = []
    for path in paths:
        for part in (path, path.with_name(path.name + ".journal")):
            try:
                status = part.stat()
                states.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError:
                states.append(None)
    return tuple(states)


class Watched:
    """The page that is being followed: its bytes, its number, and a sentence on its progress."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._page = b""
        self._number = 0
        self._events = 0  # counts pages and messages
        self._message = "waiting for results …"
        self.ended = False

    def show(self, page: bytes, message: str) -> None:
        """Replace the page."""
        with self._changed:
            self._page, self._message = page, message
            self._number += 1
            self._tell()

    def say(self, message: str) -> None:
        """Replace the message, and keep the page."""
        with self._changed:
            if message != self._message:
                self._message = message
                self._tell()

    def end(self) -> None:
        """Release all waiting browsers."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    @property
    def page(self) -> bytes:
        """The page as it is now."""
        return self._page

    def messages(self) -> Iterator[str]:
        """Yield the message now and whenever it changes; an empty text as a sign of life."""
        heard = -1
        while not self.ended:
            with self._changed:
                if heard == self._events:
                    self._changed.wait(ALIVE)
                news = heard != self._events
                heard = self._events
                message = {"page": self._number, "words": self._message}
            if not self.ended:
                yield json.dumps(message) if news else ""

    def _tell(self) -> None:
        self._events += 1
        self._changed.notify_all()


@contextlib.contextmanager
def served(watched: Watched, *, port: int = 0) -> Iterator[str]:
    """Serve a page to browsers on this machine, and give its address.

    The address holds a secret, so that other users of the machine and pages of other sites cannot read it.

    Raises:
        LandscapeError: where the port is taken.
    """
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(watched, secrets.token_urlsafe(16)))
    except OSError as error:
        raise LandscapeError(
            f"cannot listen on port {port}: {error.strerror or error}; choose another --port"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{server.RequestHandlerClass.secret}/"  # type: ignore[attr-defined]
    finally:
        watched.end()
        server.shutdown()
        server.server_close()


def follow(
    paths: Sequence[Path],
    render: Callable[[], tuple[bytes, str]],
    watched: Watched,
    *,
    on_error: Callable[[str], None] = lambda _: None,
) -> None:
    """Render again whenever the files change, until Ctrl-C.

    Args:
        paths: The files.
        render: returns the page and a sentence on its progress; if it raises a LandscapeError, the old page is kept.
        watched: What the browser sees.
        on_error: Called with the message of each such error.
    """
    seen: Stamp | None = None
    while True:
        now = stamp(paths)
        if now != seen:
            seen = now
            started = time.monotonic()
            try:
                watched.show(*render())
            except LandscapeError as error:
                watched.say(str(error))
                on_error(str(error))
            took = time.monotonic() - started
            time.sleep(max(POLL, 2 * took))  # most of the time is left to what fills the file
        else:
            time.sleep(POLL)


def _handler(watched: Watched, key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        secret = key

        def do_GET(self) -> None:
            token, _, rest = self.path.removeprefix("/").partition("/")
            if not secrets.compare_digest(token.encode(), key.encode()):
                self.send_error(HTTPStatus.NOT_FOUND)
            elif rest == "":
                self._send(_frame(), "text/html; charset=utf-8")
            elif rest.partition("?")[0] == "page":
                self._send(watched.page, "text/html; charset=utf-8")
            elif rest == "events":
                self._send_events()
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _send(self, content: bytes, kind: str) -> None:
            self._begin(kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the browser went away
                self.wfile.write(content)

        def _send_events(self) -> None:
            self._begin("text/event-stream")
            self.end_headers()
            with contextlib.suppress(OSError):
                for message in watched.messages():
                    self.wfile.write(f"data: {message}\n\n".encode() if message else b": alive\n\n")
                    self.wfile.flush()

        def _begin(self, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("X-Content-Type-Options", "nosniff")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name the base class gives it
            """Say nothing."""

    return Handler


def _frame() -> bytes:
    """Return the page around the report."""
    return files("landscape.figures.report").joinpath("templates", "watch.html").read_bytes()

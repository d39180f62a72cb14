"""`landscape report --watch`: a real process, a real file that is being filled, and (marked) a real browser."""

import contextlib
import dataclasses
import http.client
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cases import synthetic as make
from cases.processes import LANDSCAPE

from landscape.cli.terminal import live_server as watching
from landscape.cli.terminal.live_server import Watched, served, stamp
from landscape.errors import LandscapeError
from landscape.storage.result_file import ResultFile

WHOLE = make.surface("a", nx=7, ny=5)  # 4 rows a point
PATIENCE = 90


@dataclasses.dataclass
class Watching:
    """A process that watches, what it says, and where."""

    process: subprocess.Popen[str]
    lines: "queue.Queue[str]"
    address: str

    def said(self, words: str) -> str:
        end = time.monotonic() + PATIENCE
        while True:
            line = self.lines.get(timeout=max(end - time.monotonic(), 0.01))
            if words in line:
                return line

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def watch(folder: Path, *words: str) -> Iterator[Watching]:
    command = [*LANDSCAPE, "report", *words, "--watch"]
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "300"}
    )
    lines: queue.Queue[str] = queue.Queue()
    assert process.stderr is not None
    threading.Thread(target=lambda: [lines.put(line) for line in process.stderr or ()], daemon=True).start()
    try:
        found = Watching(process, lines, "")
        found.address = found.said("watching").split(" at ")[1].split(" (")[0]
        yield found
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def get(address: str, rest: str = "") -> tuple[int, str]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request("GET", parts.path + rest)
    answer = connection.getresponse()
    body = answer.read().decode("utf-8")
    connection.close()
    return answer.status, body


def events(address: str) -> Iterator[dict[str, object]]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request("GET", f"{parts.path}events")
    for line in connection.getresponse():
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_a_surface_that_is_being_computed_is_followed_row_by_row_until_ctrl_c(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "f.h5") as file:
        file.begin("a/plane", dataclasses.replace(WHOLE, points=WHOLE.points[:0]))
        file.append(WHOLE.points[:28])
        with watch(tmp_path, "f.h5", "--out", "page.html") as seen:
            news = events(seen.address)
            first = next(message for message in news if message["page"])
            assert "a/plane: 7 of 35 points" in str(first["words"])
            status, page = get(seen.address, f"page?{first['page']}")
            assert status == 200
            assert "7 of 35 points computed so far" in page
            assert page == (tmp_path / "page.html").read_text("utf-8")
            file.append(WHOLE.points[28:56])
            second = next(message for message in news if message["page"] != first["page"])
            assert "a/plane: 14 of 35 points" in str(second["words"])
            assert "14 of 35 points computed so far" in get(seen.address, "page")[1]
            file.put("a/plane", WHOLE)
            assert any("1 result, all complete" in str(message["words"]) for message in news)
            assert seen.stop() == 0
            seen.said("stopped watching; the page as it was last is page.html")
    assert "computed so far" not in (tmp_path / "page.html").read_text("utf-8")


def test_a_file_that_is_not_there_yet_is_waited_for(run, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(10))

    def sleep(_: float) -> None:
        if next(looks) == 2:
            raise KeyboardInterrupt
        with ResultFile("later.h5") as file:
            file.put("a/plane", WHOLE)

    monkeypatch.setattr(watching.time, "sleep", sleep)
    outcome = run("report", "later.h5", "--watch", "--out", "r.html")
    assert outcome.code == 0
    assert "waiting for later.h5" in outcome.err
    assert "1 result, all complete" in outcome.err
    assert outcome.err.endswith("stopped watching; the page as it was last is r.html\n")
    assert Path("r.html").exists()


def test_the_page_is_given_to_those_who_know_its_address_only() -> None:
    watched = Watched()
    watched.show(b"<p>secret", "words")
    with served(watched) as address:
        root = address.removesuffix("/").rpartition("/")[0] + "/"
        assert get(address, "page") == (200, "<p>secret")
        assert "EventSource" in get(address)[1]
        for rest in ("", "page", "events", "wrong/page", "../etc/passwd"):
            assert get(root, rest)[0] == 404
        assert get(address, "else")[0] == 404
        with (
            pytest.raises(LandscapeError, match=r"cannot listen on port \d+"),
            served(Watched(), port=urlsplit(address).port or 0),
        ):
            pass
    with pytest.raises(ConnectionError):
        get(address)


def test_a_page_that_cannot_be_made_leaves_the_one_before_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, watched, looks = tmp_path / "f.h5", Watched(), iter(range(100))

    def render() -> tuple[bytes, str]:
        if path.read_bytes() == b"bad":
            raise LandscapeError("it is damaged")
        return path.read_bytes(), "fine"

    def sleep(_: float) -> None:
        match next(looks):
            case 0:
                path.write_bytes(b"bad")
            case 1:
                assert watched.page == b"good"
                assert next(watched.messages()) == json.dumps({"page": 1, "words": "it is damaged"})
                path.write_bytes(b"good again")
            case 2:
                assert watched.page == b"good again"
            case 3:  # nothing has changed
                assert next(watched.messages()) == json.dumps({"page": 2, "words": "fine"})
                raise KeyboardInterrupt

    path.write_bytes(b"good")
    monkeypatch.setattr(watching.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        watching.follow([path], render, watched)


def test_the_journal_and_the_file_both_count_as_changes(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    seen = [stamp([path])]
    for part in (path, path.with_name("f.h5.journal")):
        for content in (b"1", b"12"):
            part.write_bytes(content)
            seen.append(stamp([path]))
    assert len(set(seen)) == 5


@pytest.mark.browser
def test_the_open_page_follows_and_keeps_the_readers_place_switches_and_camera(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:  # one event loop of playwright a thread; tests/browser holds this one's
        thread.submit(_follow_an_open_page, tmp_path).result()


def _follow_an_open_page(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))))
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(ResultFile(tmp_path / "f.h5"))
        file.put("a/history", make.history("a"))
        file.begin("a/plane", dataclasses.replace(WHOLE, points=WHOLE.points[:0]))
        file.append(WHOLE.points[:84])
        seen = stack.enter_context(watch(tmp_path, "f.h5"))  # after the points, so that its first page has them all
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        problems: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(seen.address)
        ready = "() => document.querySelector('iframe')?.contentDocument?.documentElement?.dataset.ready"
        page.wait_for_function(ready, timeout=120_000)
        number = page.evaluate("document.documentElement.dataset.page")
        page.evaluate(
            """async () => {
                const frame = document.querySelector("iframe").contentWindow;
                const plot = [...frame.document.querySelectorAll(".js-plotly-plot")].find((p) => p._fullLayout.scene);
                await frame.Plotly.relayout(plot, { "scene.camera": { eye: { x: 2, y: 0.5, z: 0.3 } } });
                const other = frame.document.querySelector("input[type=radio][value=accuracy]");
                other.click();
                frame.scrollTo({ top: 333, behavior: "instant" });
            }"""
        )
        file.append(WHOLE.points[84:112])
        page.wait_for_function(f"() => document.documentElement.dataset.page !== '{number}'", timeout=120_000)
        page.wait_for_function("() => document.querySelectorAll('iframe').length === 1")
        found = page.evaluate(
            """() => {
                const frame = document.querySelector("iframe").contentWindow;
                const plot = [...frame.document.querySelectorAll(".js-plotly-plot")].find((p) => p._fullLayout.scene);
                const other = frame.document.querySelector("input[type=radio][value=accuracy]");
                const { eye } = plot._fullLayout.scene.camera;
                return [eye, other.checked, frame.scrollY, frame.document.body.textContent];
            }"""
        )
        assert found[0] == pytest.approx({"x": 2, "y": 0.5, "z": 0.3})
        assert found[1] is True
        assert found[2] == pytest.approx(333, abs=2)
        assert "28 of 35 points computed so far" in found[3]
        seen.stop()
        page.wait_for_function("() => document.getElementById('status').className === 'ended'")
        assert [problem for problem in problems if "ERR_" not in problem] == []  # what is said when the server ends
        browser.close()

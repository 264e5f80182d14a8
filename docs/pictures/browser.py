"""A real browser over its debugging pipe: opens a file, looks at it, takes a picture.

It speaks just enough of the Chrome DevTools Protocol for pictures; which pictures is `shoot`'s
business.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab of a headless browser."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._last, self._waiting = 0, b""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self._call("Page.enable")
        self.problems: list[str] = []  # what the browser asked the network for, or complained of
        self._call("Network.enable")
        self._call("Log.enable")

    def look(self, page: Path, *, width: int, dark: bool = False, script: bool = True) -> None:
        """Open a page at a width and in a scheme, and wait until it stands."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        self._call("Emulation.setScriptExecutionDisabled", value=not script)
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,  # noqa: PLR2004
        )  # fmt: skip
        self._call("Page.navigate", url=page.resolve().as_uri())
        self._until("Page.loadEventFired")

    def ask(self, script: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """Return what a line of JavaScript evaluates to in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def shoot(self, to: Path, *, element: str | None = None, height: int | None = None) -> None:
        """Save the page, or one element of it, as PNG; ``height`` cuts it."""
        chosen = f"document.querySelector({json.dumps(element)})" if element else "document.body"
        box = self.ask(
            f"(({{x, y, width, height}}) => ({{x: x + scrollX, y: y + scrollY, width, height}}))"
            f"({chosen}.getBoundingClientRect())"
        )
        if height is not None:
            box["height"] = min(box["height"], height)
        shot = self._call(
            "Page.captureScreenshot", format="png", clip={**box, "scale": 1},
            captureBeyondViewport=True,
        )  # fmt: skip
        to.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - the protocol is JSON
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _until(self, event: str) -> None:
        while self._read().get("method") != event:
            pass

    def _read(self) -> Any:  # noqa: ANN401 - the protocol is JSON
        while b"\0" not in self._waiting:
            chunk = os.read(self._back, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser went away; start it by hand to see why")
            self._waiting += chunk
        line, _, self._waiting = self._waiting.partition(b"\0")
        message = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.problems.append(f"request: {url}")
        if message.get("method") == "Log.entryAdded":
            self.problems.append(f"{params['entry']['level']}: {params['entry']['text']}")


def installed() -> str | None:
    """Return the browser's program, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a fresh profile, and end it."""
    program = installed()
    if program is None:
        raise RuntimeError(f"none of {', '.join(NAMES)} is installed; install chromium")
    their_in, ours_out = os.pipe()
    ours_in, their_out = os.pipe()
    # The protocol fixes the numbers: the browser reads on 3 and writes on 4.
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (their_in, their_out)]
    os.close(their_in)
    os.close(their_out)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={profile}"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
        for end in high:
            os.close(end)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(ours_out)
            os.close(ours_in)

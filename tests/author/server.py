"""A real HTTP server that answers like an OpenAI-compatible one, well or badly, on request.

It owns the wire: status lines, headers, server-sent events, stalls and broken connections. Each
request takes the next of the answers it was given; the last one repeats.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

KEY = "sk-test-0123456789abcdef0123456789abcdef"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One response: a stream of pieces, or an error; `ends` says how the stream ends."""

    pieces: tuple[str, ...] = ("Hello", ", ", "world")
    thoughts: tuple[str, ...] = ()
    finish: str | None = "stop"
    usage: dict[str, Any] | None = None
    status: int = 200
    headers: dict[str, str] = {}
    error: str | None = None
    error_code: str | None = None
    body: str | None = None  # instead of anything else
    ends: Literal["whole", "broken", "early", "stalled", "commenting", "error"] = "whole"
    piece_seconds: float = 0.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sent, and when."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float


class Server:
    """Serves the answers in turn on a free local port, and remembers what it was asked."""

    def __init__(self, *answers: Answer, hold_seconds: float = 3.0) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.hold_seconds = hold_seconds
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def api_base(self) -> str:
        """Return the address a client is given."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def take(self, request: Request) -> Answer:
        """Note a request and return the answer to it."""
        with self._lock:
            self.requests.append(request)
            return self.answers[min(len(self.requests), len(self.answers)) - 1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, wire: Server) -> None:
        self.wire = wire
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing when a client goes away; the tests look at `requests`."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length))
        answer = self.server.wire.take(
            Request(
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
                at=time.monotonic(),
            )
        )
        try:
            self._answer(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self, answer: Answer) -> None:
        if answer.body is not None:
            self._plain(answer, answer.body.encode())
        elif answer.error is not None and answer.ends != "error":
            error = {"message": answer.error, "type": "error", "code": answer.error_code}
            self._plain(answer, json.dumps({"error": error}).encode())
        else:
            self._stream(answer)

    def _plain(self, answer: Answer, content: bytes) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for thought in answer.thoughts:
            self._delta({"reasoning_content": thought})
        for piece in answer.pieces:
            time.sleep(answer.piece_seconds)
            self._delta({"role": "assistant", "content": piece})
        if answer.ends in {"stalled", "commenting"}:
            self._hold(commenting=answer.ends == "commenting")
        if answer.ends in {"stalled", "commenting", "broken"}:
            self.close_connection = True
            return
        if answer.ends == "error":
            self._event({"error": {"message": answer.error, "code": answer.error_code}})
        if answer.ends == "whole":
            self._delta({}, finish=answer.finish)
            if answer.usage is not None:
                self._event(self._chunk([], usage=answer.usage))
            self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _hold(self, *, commenting: bool) -> None:
        until = time.monotonic() + self.server.wire.hold_seconds
        while time.monotonic() < until and not self.server.wire.closing.wait(0.05):
            if commenting:
                self._write(b": still thinking\n\n")

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> None:
        self._event(self._chunk([{"index": 0, "delta": delta, "finish_reason": finish}]))

    def _chunk(self, choices: list[Any], **more: Any) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "served",
            "choices": choices,
            **more,
        }

    def _event(self, content: dict[str, Any]) -> None:
        self._write(f"data: {json.dumps(content)}\n\n".encode())

    def _write(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing; the tests look at `requests`."""

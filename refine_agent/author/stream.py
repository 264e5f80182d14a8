"""One call to a model: sent once, read piece by piece, given up when it stalls.

It owns the stream and its deadlines; whether to call again is `model`'s business.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import openai

from refine_agent.author.door import litellm
from refine_agent.author.failures import BrokenStreamError, NoStreamError, UnforeseenError
from refine_agent.records import Usage

if TYPE_CHECKING:
    from refine_agent.loop import Watch
    from refine_agent.records import Message

CONNECT_SECONDS = 30.0
# Four megabytes are a thousand kernels: whoever sends more does not send a reply.
MAX_REPLY_CHARS = 4 << 20


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long one call may take.

    Models that think in silence send their first piece after minutes; once they write, they do
    not pause for long.
    """

    first_piece_seconds: float = 600.0
    stall_seconds: float = 120.0
    answer_seconds: float = 1800.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent to the model."""

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    reasoning_effort: str | None = None
    api_base: str | None = None
    api_key: str | None = None
    mark_cacheable: bool = False


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, whole."""

    text: str
    reasoning: str | None
    finish_reason: str | None
    usage: Usage
    raw_usage: Any = None  # litellm's own object, which prices cached tokens right


class _Piece(msgspec.Struct, frozen=True):
    text: str
    reasoning: str
    finish_reason: str | None

    @property
    def chars(self) -> int:
        return len(self.text) + len(self.reasoning)


class _End(msgspec.Struct, frozen=True):
    finished: bool  # whether the provider said that it was done
    raw_usage: Any


def receive(
    request: Request, deadlines: Deadlines, watch: Watch, *, broken_off: list[int] | None = None
) -> Received:
    """Send a request and return the whole answer; each piece is shown as it comes.

    ``broken_off`` collects the characters of an answer that began and did not come whole: it is
    paid for all the same.

    Raises ``BrokenStreamError`` when it stalls or stops short, and litellm's errors otherwise.
    The stream is read in a thread of its own, because a server that sends comments to keep the
    line open never lets a read time out.
    """
    arrivals: SimpleQueue[_Piece | _End | Exception] = SimpleQueue()
    pieces: list[_Piece] = []
    given_up = threading.Event()
    reader = threading.Thread(
        target=_read, args=(request, deadlines, arrivals, given_up), daemon=True, name="reply"
    )
    reader.start()
    try:
        return _collect(arrivals, deadlines, watch, pieces)
    except Exception:
        if pieces and broken_off is not None:
            broken_off.append(sum(piece.chars for piece in pieces))
        raise
    finally:
        given_up.set()


def _collect(
    arrivals: SimpleQueue[_Piece | _End | Exception],
    deadlines: Deadlines,
    watch: Watch,
    pieces: list[_Piece],
) -> Received:
    """Return the answer once it is whole; until then ``pieces`` holds what has come of it."""
    began = time.monotonic()
    finish_reason: str | None = None
    silence, size = deadlines.first_piece_seconds, 0
    while True:
        arrived = _next(arrivals, silence, began + deadlines.answer_seconds)
        silence = deadlines.stall_seconds
        if isinstance(arrived, Exception):
            raise arrived
        if isinstance(arrived, _End):
            break
        pieces.append(arrived)
        watch.text(arrived.text)  # while it only thinks, too: whoever watches may have left
        finish_reason = arrived.finish_reason or finish_reason
        size += arrived.chars
        if size > MAX_REPLY_CHARS:
            arrived, finish_reason = _End(finished=True, raw_usage=None), "length"
            break
    text = "".join(piece.text for piece in pieces)
    reasoning = "".join(piece.reasoning for piece in pieces)
    if not arrived.finished:
        raise _broken_off(len(text))
    return Received(
        text=text,
        reasoning=reasoning or None,
        finish_reason=finish_reason,
        usage=_usage(arrived.raw_usage),
        raw_usage=arrived.raw_usage,
    )


def _next(
    arrivals: SimpleQueue[_Piece | _End | Exception], silence: float, deadline: float
) -> _Piece | _End | Exception:
    left = deadline - time.monotonic()
    try:
        return arrivals.get(timeout=max(0.0, min(silence, left)))
    except Empty:
        if silence < left:
            raise BrokenStreamError(f"nothing came for {silence:g} s") from None
        raise BrokenStreamError("the answer took longer than it may") from None


def _broken_off(received: int) -> BrokenStreamError:
    if received:
        return BrokenStreamError(f"the stream broke off after {received:,} characters")
    return NoStreamError("what came was no stream of an answer")


def _read(
    request: Request,
    deadlines: Deadlines,
    arrivals: SimpleQueue[_Piece | _End | Exception],
    given_up: threading.Event,
) -> None:
    """Read the stream into the queue; whatever goes wrong is raised by whoever waits for it."""
    try:
        stream = litellm.completion(**_arguments(request, deadlines))
        for chunk in stream:
            if given_up.is_set():
                stream.completion_stream.close()
                return
            if chunk.choices:
                arrivals.put(_piece(chunk.choices[0]))
        arrivals.put(_end(stream))
    except (openai.OpenAIError, httpx.HTTPError) as error:
        arrivals.put(error)
    except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
        arrivals.put(UnforeseenError(f"{type(error).__name__}: {error}"))


def _arguments(request: Request, deadlines: Deadlines) -> dict[str, Any]:
    given: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(m, cacheable=request.mark_cacheable) for m in request.messages],
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        # litellm and the SDK below it each retry by themselves, and their retries multiply.
        "max_retries": 0,
        "num_retries": 0,
        "timeout": httpx.Timeout(deadlines.first_piece_seconds, connect=CONNECT_SECONDS),
        "temperature": request.temperature,
        "reasoning_effort": request.reasoning_effort,
        "api_base": request.api_base,
        "api_key": request.api_key,
    }
    return {name: value for name, value in given.items() if value is not None}


def _message(message: Message, *, cacheable: bool) -> dict[str, Any]:
    if not cacheable or message.role != "system":
        return {"role": message.role, "content": message.content}
    block = {"type": "text", "text": message.content, "cache_control": {"type": "ephemeral"}}
    return {"role": message.role, "content": [block]}


def _piece(choice: Any) -> _Piece:  # noqa: ANN401 - litellm ships no types
    delta = choice.delta
    return _Piece(
        getattr(delta, "content", None) or "",
        getattr(delta, "reasoning_content", None) or "",
        choice.finish_reason,
    )


def _end(stream: Any) -> _End:  # noqa: ANN401 - litellm ships no types
    """Return how the stream ended, by what the provider sent rather than by what litellm adds.

    To a stream that stops short litellm adds the finish reason "stop", and where usage is missing
    it estimates one (1.106, streaming_handler.py).
    """
    reasons = [
        getattr(stream, f"{kind}_finish_reason", None) for kind in ("received", "intermittent")
    ]
    chunks = getattr(stream, "chunks", None) or []
    counted = [u for chunk in chunks if (u := getattr(chunk, "usage", None)) is not None]
    return _End(any(reasons), counted[-1] if counted else None)


def _usage(raw: Any) -> Usage:  # noqa: ANN401 - litellm ships no types
    if raw is None:
        return Usage()
    prompt_details = getattr(raw, "prompt_tokens_details", None)
    completion_details = getattr(raw, "completion_tokens_details", None)
    return Usage(
        input_tokens=raw.prompt_tokens,
        cached_tokens=getattr(prompt_details, "cached_tokens", None),
        output_tokens=raw.completion_tokens,
        reasoning_tokens=getattr(completion_details, "reasoning_tokens", None),
    )

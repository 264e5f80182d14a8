"""Models over the wire: what is sent, what is tried again, what is said when nothing helps."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from refine_agent import prompts
from refine_agent.author import AuthorFault, open_author
from refine_agent.records import Message, Options, Usage
from tests.author.server import KEY, Answer, Server
from tests.prompts import sessions

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.author.model import Model, Patience
    from refine_agent.records import Prompt, Reply
    from refine_agent.transcript import Transcript

# litellm reads deprecated attributes of pydantic's while it streams usage.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")

PROMPT = prompts.prompt_of(
    (Message(role="system", content="You write kernels."), Message(role="user", content="Go."))
)
USAGE = {
    "prompt_tokens": 50,
    "completion_tokens": 7,
    "total_tokens": 57,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
QUOTA = "You exceeded your current quota, please check your plan and billing details."
TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
UPSTREAM_BROKE = Answer(status=500, error="boom")


class Looking:
    """A watch that remembers what it was shown."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.shown = ""

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def text(self, piece: str) -> None:
        self.shown += piece


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "REFINE_AGENT_PRICING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Make one call before the clock matters: litellm imports half of itself on the first."""
    with Server(Answer()) as server:
        opened("served", at=server, patience=impatient(first_piece_seconds=30)).ask(
            PROMPT, attempt=1, watch=Looking()
        )


def impatient(
    *,
    attempts: int = 4,
    first_piece_seconds: float = 10,
    stall_seconds: float = 10,  # a busy machine is late, and that is no stall
    answer_seconds: float = 20,
) -> Patience:
    from refine_agent.author.model import Patience  # noqa: PLC0415 - imports litellm
    from refine_agent.author.stream import Deadlines  # noqa: PLC0415

    return Patience(
        attempts=attempts,
        total_seconds=60,
        shortest_wait_seconds=0.01,
        longest_wait_seconds=0.02,
        deadlines=Deadlines(
            first_piece_seconds=first_piece_seconds,
            stall_seconds=stall_seconds,
            answer_seconds=answer_seconds,
        ),
    )


def opened(
    *models: str,
    at: Server | None = None,
    options: Options | None = None,
    run: Transcript | None = None,
    patience: Patience | None = None,
) -> Model:
    from refine_agent.author.model import open_model  # noqa: PLC0415 - imports litellm

    return open_model(
        models,
        options=options or Options(),
        transcript=run,
        api_base=at.api_base if at is not None else None,
        patience=patience or impatient(),
    )


def ask(*answers: Answer, model: str = "served", patience: Patience | None = None) -> Asked:
    """Put the prompt to a server that answers so."""
    with Server(*answers) as server:
        watch = Looking()
        author = opened(model, at=server, patience=patience)
        try:
            reply = author.ask(PROMPT, attempt=1, watch=watch)
        except AuthorFault as fault:
            return Asked(server=server, watch=watch, fault=str(fault))
        return Asked(server=server, watch=watch, reply=reply)


class Asked:
    """What came of asking."""

    def __init__(
        self,
        *,
        server: Server,
        watch: Looking,
        reply: Reply | None = None,
        fault: str | None = None,
    ) -> None:
        self.requests = server.requests
        self.watch = watch
        self._reply, self._fault = reply, fault

    @property
    def reply(self) -> Reply:
        assert self._reply is not None, self._fault
        return self._reply

    @property
    def fault(self) -> str:
        assert self._fault is not None, self._reply
        return self._fault

    @property
    def waited(self) -> float:
        return self.requests[1].at - self.requests[0].at


# --- what is sent --------------------------------------------------------------------------------


def test_a_call_is_streamed_bounded_and_without_tools() -> None:
    asked = ask(Answer())
    (request,) = asked.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "served"
    assert request.body["stream"] is True
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.body["max_tokens"] > 1000
    assert not {"tools", "functions", "temperature"} & set(request.body)
    assert [m["role"] for m in request.body["messages"]] == ["system", "user"]
    assert request.body["messages"][0]["content"] == "You write kernels."


def test_options_reach_the_model() -> None:
    options = Options(max_tokens=777, temperature=0.25, reasoning_effort="high")
    with Server(Answer()) as server:
        opened("served", at=server, options=options).ask(PROMPT, attempt=1, watch=Looking())
    body = server.requests[0].body
    assert body["max_tokens"] == 777
    assert body["temperature"] == 0.25
    assert body["reasoning_effort"] == "high"


def test_the_stable_system_message_is_marked_for_caches_that_want_it() -> None:
    (block,) = (
        ask(Answer(), model="claude-behind-a-proxy").requests[0].body["messages"][0]["content"]
    )
    assert block["cache_control"] == {"type": "ephemeral"}
    assert block["text"] == "You write kernels."


@pytest.mark.parametrize("name", ["served", "meta-llama/Llama-4", "Qwen/Qwen3-Coder"])
def test_with_an_api_base_a_name_without_provider_is_the_servers_own(name: str) -> None:
    asked = ask(Answer(), model=name)
    assert asked.requests[0].body["model"] == name
    assert asked.reply.model == f"openai/{name}"


def test_a_server_without_keys_is_sent_none_of_ours() -> None:
    (request,) = ask(Answer()).requests
    assert request.headers["authorization"] == "Bearer no-key-needed"


def test_the_key_in_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ask(Answer()).requests[0].headers["authorization"] == f"Bearer {KEY}"


# --- what comes back -----------------------------------------------------------------------------


def test_an_answer_comes_piece_by_piece_with_its_reasoning_and_its_tokens() -> None:
    asked = ask(Answer(thoughts=("banks ", "conflict"), usage=USAGE))
    reply = asked.reply
    assert reply.text == asked.watch.shown == "Hello, world"
    assert reply.reasoning == "banks conflict"
    assert reply.finish_reason == "stop"
    assert reply.answers == PROMPT.digest
    assert reply.usage == Usage(
        input_tokens=50, cached_tokens=40, output_tokens=7, reasoning_tokens=3
    )
    assert reply.note is None
    assert len(asked.requests) == 1


def test_tokens_nobody_counted_are_unknown_not_estimated() -> None:
    reply = ask(Answer()).reply
    assert reply.usage == Usage()
    assert reply.cost_usd is None


def test_an_empty_answer_is_an_answer() -> None:
    asked = ask(Answer(pieces=(), usage=USAGE))
    assert asked.reply.text == ""
    assert asked.reply.finish_reason == "stop"
    assert len(asked.requests) == 1


def test_an_answer_cut_at_its_length_is_an_answer() -> None:
    asked = ask(Answer(finish="length"))
    assert asked.reply.text == "Hello, world"
    assert asked.reply.finish_reason == "length"
    assert len(asked.requests) == 1


def test_half_a_surrogate_pair_becomes_something_a_file_can_hold() -> None:
    reply = ask(Answer(pieces=("speed \ud83d", " up"), thoughts=("\udc80",))).reply
    assert reply.text.encode() == b"speed ? up"
    assert reply.reasoning == "?"


def claude(*, stop_reason: str | None) -> Answer:
    """Return an answer in Anthropic's own events; without a stop reason it stops short."""
    events: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": [],
                "usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "hm"},
        },
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "text_delta", "text": "Hello"},
        },
    ]
    if stop_reason is not None:
        done = {"stop_reason": stop_reason}
        events.append({"type": "message_delta", "delta": done, "usage": {"output_tokens": 15}})
        events.append({"type": "message_stop"})
    return Answer(body="".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events))


def test_claudes_own_wire_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    model = "anthropic/claude-opus-5"
    asked = ask(claude(stop_reason=None), claude(stop_reason="max_tokens"), model=model)
    (system,) = asked.requests[0].body["system"]
    assert system["cache_control"] == {"type": "ephemeral"}
    assert asked.requests[0].headers["x-api-key"] == KEY
    assert asked.reply.note == (
        "asked 2 times (the stream broke off after 5 characters); "
        "its cost holds an estimate of 1 that broke off"
    )
    assert asked.reply.text == "Hello"
    assert asked.reply.reasoning == "hm"
    assert asked.reply.finish_reason == "length"
    assert asked.reply.usage == Usage(input_tokens=125, cached_tokens=100, output_tokens=15)
    # 5 dollars per million of input, 0.50 where cached, 25 of output; of what broke off nobody
    # counted the tokens, and a token is taken for four characters.
    counted = 25 * 5.0 + 100 * 0.5 + 15 * 25.0
    broken_off = prompts.tokens_in(PROMPT.messages) * 5.0 + 2 * 25.0
    assert asked.reply.cost_usd == pytest.approx((counted + broken_off) / 1e6)


# --- what is tried again, and how often ----------------------------------------------------------


def test_a_rate_limit_is_waited_out_as_long_as_it_asks() -> None:
    asked = ask(Answer(status=429, error="slow down", headers={"Retry-After": "1"}), Answer())
    assert asked.reply.text == "Hello, world"
    assert asked.reply.note == "asked 2 times (rate limit)"
    assert 1.0 <= asked.waited < 2.5
    assert len(asked.requests) == 2
    assert asked.watch.phases == ["model (again in 1 s: rate limit)", "model"]


def test_a_moment_to_come_back_at_is_waited_for() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=2)
    headers = {"Retry-After": format_datetime(moment, usegmt=True)}
    asked = ask(Answer(status=503, error="busy", headers=headers), Answer())
    assert asked.reply.text == "Hello, world"
    assert 0.8 <= asked.waited < 3.5
    assert len(asked.requests) == 2


@pytest.mark.parametrize("stated", ["soon", "-3", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_wait_that_makes_no_sense_is_no_wait(stated: str) -> None:
    asked = ask(Answer(status=429, error="slow down", headers={"Retry-After": stated}), Answer())
    assert asked.reply.text == "Hello, world"
    assert asked.waited < 0.7


def test_a_wait_longer_than_our_patience_is_reported_instead() -> None:
    asked = ask(Answer(status=429, error="slow down", headers={"Retry-After": "3600"}), Answer())
    assert len(asked.requests) == 1
    assert "asks to wait 3,600 s" in asked.fault
    assert "was asked once" in asked.fault


GROQ = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_x` service tier "
    "`on_demand` on tokens per minute (TPM): Limit 12000, Used 4437, Requested 9854. Please try "
    "again in {wait}. Need more tokens? Upgrade to Dev Tier today at "
    "https://console.groq.com/settings/billing"
)
AZURE = (
    "Requests to the ChatCompletions_Create Operation have exceeded token rate limit of your "
    "current OpenAI S0 pricing tier. Please retry after 1 seconds. Please go here: "
    "https://aka.ms/oai/quotaincrease if you would like to further increase the rate limit."
)


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        pytest.param(Answer(status=429, error=GROQ.format(wait="1.2s")), 1.2, id="groq"),
        pytest.param(Answer(status=429, error=GROQ.format(wait="900ms")), 0.9, id="milliseconds"),
        pytest.param(Answer(status=429, error=AZURE), 1.0, id="azure"),
        pytest.param(
            Answer(status=429, error=f"{QUOTA} * limit: 10\nPlease retry in 1.04466179s."),
            1.04,
            id="gemini through a proxy",
        ),
        pytest.param(
            Answer(status=429, error=QUOTA, headers={"Retry-After": "1"}), 1.0, id="a header"
        ),
        pytest.param(
            Answer(status=429, error=GROQ.format(wait="9s"), headers={"Retry-After": "1"}),
            1.0,
            id="the header counts",
        ),
        pytest.param(
            Answer(
                status=429,
                error=f"{QUOTA} Please retry in 1s.",
                error_code="insufficient_quota",
            ),
            1.0,
            id="whoever names a wait is not empty",
        ),
    ],
)
def test_a_rate_limit_that_speaks_of_money_is_waited_out(answer: Answer, waits: float) -> None:
    asked = ask(answer, Answer())
    assert asked.reply.text == "Hello, world"
    assert asked.reply.note == "asked 2 times (rate limit)"
    assert waits <= asked.waited < waits + 1.5


def test_gemini_is_asked_again_after_the_delay_that_it_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.2s"}
    refused = {
        "error": {
            "code": 429,
            "message": QUOTA,
            "status": "RESOURCE_EXHAUSTED",
            "details": [delay],
        }
    }
    asked = ask(
        Answer(status=429, body=json.dumps(refused, indent=2)),
        patience=impatient(attempts=2),
        model="gemini/gemini-3.1-pro-preview",
    )
    assert len(asked.requests) == 2
    assert 1.2 <= asked.waited < 2.7
    assert "was asked 2 times" in asked.fault


@pytest.mark.parametrize(
    "said", ["Resource has been exhausted (e.g. check quota).", f"{QUOTA} 100 requests per minute"]
)
def test_a_rate_limit_that_names_no_wait_is_tried_a_few_times(said: str) -> None:
    asked = ask(Answer(status=429, error=said), patience=impatient(attempts=3))
    assert len(asked.requests) == 3
    assert "was asked 3 times" in asked.fault
    assert "out of quota" not in asked.fault


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=429, error=QUOTA, error_code="insufficient_quota"), id="openai"),
        pytest.param(Answer(status=402, error="Insufficient Balance"), id="payment required"),
        pytest.param(
            Answer(status=400, error="Your credit balance is too low to access the API."), id="low"
        ),
    ],
)
def test_an_empty_account_is_no_rate_limit(answer: Answer) -> None:
    asked = ask(answer)
    assert len(asked.requests) == 1
    assert "out of quota" in asked.fault
    assert "OPENAI_API_KEY" in asked.fault


def test_a_server_that_recovers_is_asked_until_it_does() -> None:
    asked = ask(UPSTREAM_BROKE, UPSTREAM_BROKE, Answer())
    assert asked.reply.text == "Hello, world"
    assert asked.reply.note == "asked 3 times (server error, server error)"
    assert len(asked.requests) == 3


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_server_that_does_not_recover_is_asked_so_often_and_no_more(attempts: int) -> None:
    asked = ask(UPSTREAM_BROKE, patience=impatient(attempts=attempts))
    assert len(asked.requests) == attempts
    assert "boom" in asked.fault
    assert "--fallback-model" in asked.fault


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_no_waiting_cures_is_asked_once(status: int) -> None:
    asked = ask(Answer(status=status, error="it cannot be"))
    assert len(asked.requests) == 1
    assert "it cannot be" in asked.fault


@pytest.mark.parametrize(
    ("ends", "cause"),
    [
        ("broken", "the stream broke off"),
        ("early", "the stream broke off after 12 characters"),
        ("stalled", "nothing came for 1.5 s"),
        ("commenting", "nothing came for 1.5 s"),
        ("error", "the stream broke off"),
    ],
)
def test_an_answer_that_does_not_come_whole_is_asked_for_again(ends: str, cause: str) -> None:
    error = "upstream lost" if ends == "error" else None
    broken = Answer(ends=ends, error=error)  # type: ignore[arg-type]
    asked = ask(broken, Answer(pieces=("whole",)), patience=impatient(stall_seconds=1.5))
    assert asked.reply.text == "whole"
    assert asked.reply.note == f"asked 2 times ({cause})"
    assert len(asked.requests) == 2


def test_a_model_that_never_begins_is_given_up() -> None:
    asked = ask(
        Answer(pieces=(), ends="stalled"), patience=impatient(attempts=2, first_piece_seconds=0.7)
    )
    assert len(asked.requests) == 2
    assert "nothing came for 0.7 s" in asked.fault


def test_an_answer_that_takes_for_ever_is_given_up() -> None:
    drip = Answer(pieces=("x",) * 100, piece_seconds=0.1)
    asked = ask(drip, patience=impatient(attempts=1, answer_seconds=1.5))
    assert "took longer than it may" in asked.fault


@pytest.mark.parametrize(
    "body", ["<html>Welcome to nginx</html>", '{"choices": [{"message": {"content": "x"}}]}']
)
def test_what_is_no_stream_points_to_the_address(body: str) -> None:
    asked = ask(Answer(body=body), patience=impatient(attempts=2))
    assert len(asked.requests) == 2
    assert "--api-base" in asked.fault


def test_a_server_that_is_not_there_points_to_the_address() -> None:
    with Server(Answer()) as server:
        address = server
    author = opened("served", at=address, patience=impatient(attempts=2))
    with pytest.raises(AuthorFault, match=r"asked 2 times .* --api-base"):
        author.ask(PROMPT, attempt=1, watch=Looking())


def test_ctrl_c_leaves_a_silent_model_at_once() -> None:
    with Server(Answer(pieces=(), ends="stalled")) as server:
        author = opened("served", at=server, patience=impatient(first_piece_seconds=60))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            author.ask(PROMPT, attempt=1, watch=Looking())
        assert time.monotonic() - began < 20  # far below the minute that the model may be silent


def test_samples_asked_for_side_by_side_each_get_their_answer() -> None:
    with Server(Answer(piece_seconds=0.05)) as server:
        author = opened("served", at=server)
        with ThreadPoolExecutor(4) as pool:
            numbers = range(1, 5)
            replies = list(
                pool.map(lambda n: author.ask(PROMPT, attempt=n, watch=Looking()), numbers)
            )
    assert [reply.text for reply in replies] == ["Hello, world"] * 4
    assert len(server.requests) == 4


# --- prompts and replies that do not fit ---------------------------------------------------------


def turn_under_way(folder: Path) -> tuple[Transcript, Prompt]:
    run = sessions.long(folder)
    prompt = prompts.render(run)
    turn = run.next_turn
    sessions.again(run).prompted(prompt)
    assert run.open_turn == turn
    return run, prompt


def test_a_prompt_too_long_is_sent_once_more_without_old_kernels(tmp_path: Path) -> None:
    run, prompt = turn_under_way(tmp_path / "run")
    overflow = Answer(status=400, error=TOO_LONG, error_code="context_length_exceeded")
    with Server(overflow, Answer()) as server:
        reply = opened("served", at=server, run=run).ask(prompt, attempt=6, watch=Looking())
    first, second = (request.body["messages"][-1]["content"] for request in server.requests)
    assert len(second) < len(first)
    assert sessions.source("fifth").strip() not in second
    assert sessions.source("offered").strip() in second
    assert "Try one warp per row" in second
    assert reply.answers != prompt.digest
    assert re.match(r"prompt shortened from about [\d,]+ to [\d,]+ tokens", reply.note or "")


def test_a_prompt_still_too_long_is_a_fault(tmp_path: Path) -> None:
    run, prompt = turn_under_way(tmp_path / "run")
    with Server(Answer(status=400, error=TOO_LONG)) as server:
        author = opened("served", at=server, run=run)
        with pytest.raises(AuthorFault, match="larger context window"):
            author.ask(prompt, attempt=6, watch=Looking())
    assert len(server.requests) == 2


def test_without_a_run_to_shorten_less_reply_is_asked_for_then_it_is_a_fault() -> None:
    asked = ask(Answer(status=413, error="request entity too large"))
    assert [request.body["max_tokens"] for request in asked.requests] == [16_384, 8_192]
    assert "too long" in asked.fault


def test_a_small_window_gets_a_small_reply() -> None:
    refused = "maximum context length is 8192 tokens, you requested 16404 (20 in the messages)"
    asked = ask(Answer(status=400, error=refused), Answer())
    assert [request.body["max_tokens"] for request in asked.requests] == [16_384, 4_096]
    assert asked.reply.note == "room for 4,096 tokens of reply"


def test_a_window_that_is_known_is_kept_to_from_the_start(tmp_path: Path) -> None:
    run, prompt = turn_under_way(tmp_path / "run")
    tokens = prompts.tokens_in(prompt.messages)
    options = Options(context_tokens=tokens + 1_200, max_tokens=1_000)
    with Server(Answer()) as server:
        author = opened("served", at=server, run=run, options=options)
        reply = author.ask(prompt, attempt=6, watch=Looking())
    sent = sum(len(m["content"]) for m in server.requests[0].body["messages"])
    assert sent / 4 <= 0.8 * (tokens + 200) + 2
    assert "prompt shortened" in (reply.note or "")


def test_prompt_and_reply_are_asked_for_within_the_window(tmp_path: Path) -> None:
    run, prompt = turn_under_way(tmp_path / "run")
    window = 2 * prompts.tokens_in(prompt.messages)
    with Server(Answer()) as server:
        author = opened("served", at=server, run=run, options=Options(context_tokens=window))
        author.ask(prompt, attempt=6, watch=Looking())
    body = server.requests[0].body
    sent = sum(len(m["content"]) for m in body["messages"]) / prompts.CHARS_PER_TOKEN
    assert sent + body["max_tokens"] <= window
    assert body["max_tokens"] >= window // 2


def test_a_prompt_shortened_beforehand_may_still_be_made_smaller(tmp_path: Path) -> None:
    run, prompt = turn_under_way(tmp_path / "run")
    window = int(1.9 * prompts.tokens_in(prompt.messages))
    overflow = Answer(status=400, error=TOO_LONG, error_code="context_length_exceeded")
    with Server(overflow, Answer()) as server:
        author = opened("served", at=server, run=run, options=Options(context_tokens=window))
        reply = author.ask(prompt, attempt=6, watch=Looking())
    first, second = (request.body for request in server.requests)
    assert second["max_tokens"] < first["max_tokens"]
    assert "prompt shortened" in (reply.note or "")
    assert "room for" in (reply.note or "")


def test_a_reply_limit_that_the_server_names_is_kept_to() -> None:
    refused = "max_tokens is too large: 16384. This model supports at most 4096 completion tokens."
    asked = ask(Answer(status=400, error=refused), Answer())
    assert [request.body["max_tokens"] for request in asked.requests] == [16_384, 4_096]
    assert asked.reply.note == "replies of at most 4,096 tokens"


# --- fallbacks -----------------------------------------------------------------------------------


def test_a_fallback_answers_where_the_first_model_cannot() -> None:
    with Server(Answer(status=404, error="no such model"), Answer()) as server:
        reply = opened("first", "second", at=server).ask(PROMPT, attempt=1, watch=Looking())
    assert [request.body["model"] for request in server.requests] == ["first", "second"]
    assert reply.model == "openai/second"
    assert reply.note is not None
    assert reply.note.startswith("fallback openai/second, because there is no openai/first")


def test_when_every_model_fails_each_is_named() -> None:
    with Server(Answer(status=404, error="unknown")) as server:
        author = opened("first", "second", at=server)
        with pytest.raises(AuthorFault, match=r"openai/first.*openai/second"):
            author.ask(PROMPT, attempt=1, watch=Looking())


def test_a_fallback_elsewhere_is_not_sent_to_the_first_ones_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with Server(Answer()) as server:
        author = opened("first", "anthropic/claude-opus-5", at=server)
    assert [model.api_base for model in author.models] == [server.api_base, None]


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("anthropic/claude-opus-5", "ANTHROPIC_API_KEY"),
        ("gpt-5.5", "OPENAI_API_KEY"),
        ("gemini/gemini-3.1-pro-preview", "GEMINI_API_KEY"),
    ],
)
def test_a_missing_key_is_named_before_anything_is_asked(model: str, variable: str) -> None:
    with pytest.raises(AuthorFault, match=f"set {variable} in the environment"):
        open_author(model, options=Options())


def test_a_name_nobody_knows_is_explained() -> None:
    with pytest.raises(AuthorFault, match=r"PROVIDER/NAME.*--api-base"):
        open_author("brilliant-7b", options=Options())


def test_no_key_is_ever_in_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    refused = f"Incorrect API key provided: {KEY}. Sent: Bearer {KEY[:20]} (sk-test-*****cdef)"
    with Server(Answer(status=401, error=refused)) as server:
        author = opened("served", at=server)
        with pytest.raises(AuthorFault) as caught:
            author.ask(PROMPT, attempt=1, watch=Looking())
    shown = "".join(traceback.format_exception(caught.value))
    assert "refused the key" in shown
    assert "put a valid one into OPENAI_API_KEY" in shown
    for part in (KEY, KEY[:20], "sk-test", "cdef)"):
        assert part not in shown


def test_a_key_of_any_form_is_masked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "open sesame")
    asked = ask(Answer(status=401, error="wrong: open sesame"))
    assert "sesame" not in asked.fault
    assert "wrong: [OPENAI_API_KEY]" in asked.fault


# --- cost ----------------------------------------------------------------------------------------


def test_given_prices_count_cached_tokens_at_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = '{"openai/served": {"input": 3.0, "cached": 0.3, "output": 15.0}}'
    monkeypatch.setenv("REFINE_AGENT_PRICING", prices)
    cost = ask(Answer(usage=USAGE)).reply.cost_usd
    assert cost == pytest.approx((10 * 3.0 + 40 * 0.3 + 7 * 15.0) / 1e6)


def test_prices_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"served": {"input": 1.0, "output": 2.0}}')
    monkeypatch.setenv("REFINE_AGENT_PRICING", str(path))
    assert ask(Answer(usage=USAGE)).reply.cost_usd == pytest.approx((50 + 2 * 7) / 1e6)


@pytest.mark.parametrize("given", ['{"served": 3}', "{", "nowhere.json", '{"m": {"inptu": 1}}'])
def test_prices_that_cannot_be_read_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("REFINE_AGENT_PRICING", given)
    with Server(Answer()) as server, pytest.raises(AuthorFault, match="dollars per million tokens"):
        opened("served", at=server)


PRICES = '{"served": {"input": 1.0, "output": 2.0}}'


@pytest.mark.parametrize("ends", ["broken", "early", "stalled", "error"])
def test_what_broke_off_is_paid_for_too(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    monkeypatch.setenv("REFINE_AGENT_PRICING", PRICES)
    error = "upstream lost" if ends == "error" else None
    half = Answer(pieces=("x" * 400,), thoughts=("y" * 400,), ends=ends, error=error)  # type: ignore[arg-type]
    asked = ask(half, half, Answer(usage=USAGE), patience=impatient(stall_seconds=1.5))
    once = prompts.tokens_in(PROMPT.messages) * 1.0 + 200 * 2.0
    assert asked.reply.cost_usd == pytest.approx((50 * 1.0 + 7 * 2.0 + 2 * once) / 1e6)
    assert "its cost holds an estimate of 2 that broke off" in (asked.reply.note or "")
    assert asked.reply.usage.output_tokens == 7


def test_what_was_refused_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFINE_AGENT_PRICING", PRICES)
    reply = ask(UPSTREAM_BROKE, Answer(usage=USAGE)).reply
    assert reply.cost_usd == pytest.approx((50 * 1.0 + 7 * 2.0) / 1e6)
    assert reply.note == "asked 2 times (server error)"


def test_a_reply_that_is_cut_here_is_paid_for_by_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from refine_agent.author import stream  # noqa: PLC0415 - imports litellm

    monkeypatch.setenv("REFINE_AGENT_PRICING", PRICES)
    monkeypatch.setattr(stream, "MAX_REPLY_CHARS", 1_000)
    reply = ask(Answer(pieces=("x" * 400,) * 5, usage=USAGE)).reply
    assert len(reply.text) == 1_200
    assert reply.finish_reason == "length"
    read = prompts.tokens_in(PROMPT.messages)
    assert reply.cost_usd == pytest.approx((read * 1.0 + 300 * 2.0) / 1e6)
    assert reply.note == "its cost is an estimate: nobody counted its tokens"


def test_a_listed_model_costs_what_the_list_says() -> None:
    cost = ask(Answer(usage=USAGE), model="openai/gpt-4o").reply.cost_usd
    # 2.50 dollars per million of input, 1.25 where cached, 10 of output.
    assert cost == pytest.approx((10 * 2.5 + 40 * 1.25 + 7 * 10.0) / 1e6)


def test_a_model_without_a_price_costs_nobody_knows_what() -> None:
    assert ask(Answer(usage=USAGE)).reply.cost_usd is None

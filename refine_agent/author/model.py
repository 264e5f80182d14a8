"""A language model as an author: asked until it answers, or until asking makes no sense.

It owns retries, shorter prompts, fallback models and what a reply cost; one call is `stream`'s
business, and what a failure means `failures`'.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import httpx
import msgspec
import openai
import tenacity
from msgspec.structs import replace

from refine_agent import prompts
from refine_agent.author import failures
from refine_agent.author.door import litellm
from refine_agent.author.failures import BrokenStreamError, UnforeseenError
from refine_agent.author.faults import AuthorFault
from refine_agent.author.names import require_key, served
from refine_agent.author.price import given_prices
from refine_agent.author.stream import Deadlines, Received, Request, receive
from refine_agent.records import Reply, Usage

if TYPE_CHECKING:
    from litellm.types.utils import ModelInfo

    from refine_agent.author.names import Served
    from refine_agent.author.price import Price
    from refine_agent.loop import Watch
    from refine_agent.records import Options, Prompt
    from refine_agent.transcript import Transcript

# For a model whose limits nobody listed: room for a long kernel, and few servers refuse it.
UNLISTED_REPLY_TOKENS = 16_384
# The estimate of a prompt's tokens may be a quarter off.
SURE_SHARE = 0.8
# After an overflow of unknown size.
SHORTER = 0.5
# Everything a call can fail with that is not a mistake of ours.
_Failure = (openai.OpenAIError, httpx.HTTPError, BrokenStreamError, UnforeseenError)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often to ask, how long in all, and how long one call may take."""

    attempts: int = 6
    total_seconds: float = 1800.0
    longest_wait_seconds: float = 60.0
    shortest_wait_seconds: float = 1.0
    deadlines: Deadlines = Deadlines()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and gives, as far as litellm's list or the user says."""

    prompt_tokens: int | None
    reply_tokens: int


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt on its way to a model, with what had to be changed about it."""

    prompt: Prompt
    request: Request
    refitted: bool = False  # after an overflow; a prompt may have been shortened before, too
    capped: bool = False
    notes: tuple[str, ...] = ()


def open_model(
    models: tuple[str, ...],
    *,
    options: Options,
    transcript: Transcript | None = None,
    api_base: str | None = None,
    patience: Patience | None = None,
) -> Model:
    """Open a litellm model and its fallbacks, after checking their names and keys.

    With an ``api_base``, a name without a provider is that server's own. Raises ``AuthorFault``.
    """
    named = tuple(served(name, api_base, first=models[0]) for name in models)
    for model in named:
        require_key(model)
    return Model(named, options=options, transcript=transcript, patience=patience or Patience())


class Model:
    """The models of one run: the one that was named, and its fallbacks when it fails."""

    def __init__(
        self,
        models: tuple[Served, ...],
        *,
        options: Options,
        transcript: Transcript | None,
        patience: Patience,
    ) -> None:
        self.name = models[0].name
        self.models = models
        self._options = options
        self._transcript = transcript
        self._patience = patience
        self._prices = given_prices()

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Return the reply of the first model that gives one; raise ``AuthorFault`` if none does.

        What it took (asking again, a shorter prompt, another model) is in the reply's note.
        """
        del attempt  # the question is the same whichever sample it is for
        began = time.monotonic()
        faults: list[str] = []
        lost: list[float | None] = []
        for model in self.models:
            try:
                reply = self._ask_one(model, prompt, watch, lost)
            except AuthorFault as fault:
                faults.append(str(fault))
                continue
            cost = _total(reply.cost_usd, *lost)
            broken = f"its cost holds an estimate of {len(lost)} that broke off"
            notes = (
                *(f"fallback {model.name}, because {fault}" for fault in faults[:1]),
                reply.note,
                broken if lost and cost is not None else None,
            )
            return replace(
                reply,
                cost_usd=cost,
                seconds=time.monotonic() - began,
                note="; ".join(note for note in notes if note) or None,
            )
        raise AuthorFault("; nor does the fallback: ".join(faults))

    def _ask_one(
        self, model: Served, prompt: Prompt, watch: Watch, lost: list[float | None]
    ) -> Reply:
        """Return a model's reply; ``lost`` collects the dollars of answers that broke off."""
        question = self._question(model, prompt)
        while True:
            tries: list[str] = []
            try:
                return self._reply(question, self._persist(question, tries, watch, lost), tries)
            except _Failure as error:
                amended = self._amended(question, error)
                if amended is None:
                    raise AuthorFault(_sentence(model, error, tries)) from None
                question = amended

    def _persist(
        self, question: Question, tries: list[str], watch: Watch, lost: list[float | None]
    ) -> Received:
        """Call until it works or makes no sense; ``tries`` collects what failed on the way."""
        patience = self._patience

        def wait(state: tenacity.RetryCallState) -> float:
            return _seconds_to_wait(state, patience)

        def tell(state: tenacity.RetryCallState) -> None:
            cause = failures.kind_of(_error_of(state))
            tries.append(cause)
            seconds = state.next_action.sleep if state.next_action is not None else 0.0
            watch.phase(f"model (again in {seconds:.0f} s: {cause})")

        def call() -> Received:
            if tries:
                watch.phase("model")
            broken_off: list[int] = []
            try:
                return receive(question.request, patience.deadlines, watch, broken_off=broken_off)
            finally:
                lost.extend(self._estimate(question.request, chars) for chars in broken_off)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(failures.is_transient),
            wait=wait,
            stop=tenacity.stop_after_attempt(patience.attempts)
            | tenacity.stop_before_delay(patience.total_seconds),
            before_sleep=tell,
            reraise=True,
        )
        return retrying(call)

    # --- what is asked ---------------------------------------------------------------------------

    def _question(self, model: Served, prompt: Prompt) -> Question:
        limits = limits_of(model.name, self._options)
        options = self._options
        question = Question(
            prompt=prompt,
            request=Request(
                model=model.name,
                messages=prompt.messages,
                max_tokens=limits.reply_tokens,
                temperature=options.temperature,
                reasoning_effort=options.reasoning_effort,
                api_base=model.api_base,
                api_key=model.api_key,
                mark_cacheable="claude" in model.name.lower(),
            ),
        )
        if (
            limits.prompt_tokens is None
            or prompts.tokens_in(prompt.messages) <= limits.prompt_tokens
        ):
            return question
        return self._shorter(question, limits.prompt_tokens) or question

    def _amended(self, question: Question, error: Exception) -> Question | None:
        """Return a question the model may accept where it refused this one; once of each kind."""
        if failures.is_overflow(error) and not question.refitted:
            return self._smaller(question, failures.window_tokens(error))
        limit = failures.reply_limit(error)
        if limit is not None and not question.capped and limit < question.request.max_tokens:
            return replace(
                question,
                request=replace(question.request, max_tokens=limit),
                capped=True,
                notes=(*question.notes, f"replies of at most {limit:,} tokens"),
            )
        return None

    def _smaller(self, question: Question, window: int | None) -> Question | None:
        """Return the question with a shorter prompt and less room asked for the reply."""
        before = prompts.tokens_in(question.prompt.messages)
        room = int(SHORTER * before) if window is None else int(SURE_SHARE * window) // 2
        shorter = self._shorter(question, room) if before > room else None
        found = shorter or question
        left = UNLISTED_REPLY_TOKENS // 2 if window is None else window - window // 2
        reply = min(found.request.max_tokens, left)
        if shorter is None and reply == question.request.max_tokens:
            return None
        note = f"room for {reply:,} tokens of reply"
        return replace(
            found,
            request=replace(found.request, max_tokens=reply),
            refitted=True,
            notes=(*found.notes, *([note] if reply < question.request.max_tokens else [])),
        )

    def _shorter(self, question: Question, room_tokens: int) -> Question | None:
        """Return the question with a prompt of fewer old kernels; ``None`` where there is none."""
        run = self._transcript
        if run is None or run.open_turn is None:
            return None
        prompt = prompts.render(run.before(run.open_turn), room_tokens=room_tokens)
        before = prompts.tokens_in(question.prompt.messages)
        after = prompts.tokens_in(prompt.messages)
        if after >= before:
            return None
        return replace(
            question,
            prompt=prompt,
            request=replace(question.request, messages=prompt.messages),
            notes=(*question.notes, f"prompt shortened from about {before:,} to {after:,} tokens"),
        )

    # --- what came of it -------------------------------------------------------------------------

    def _reply(self, question: Question, received: Received, tries: list[str]) -> Reply:
        again = [f"asked {len(tries) + 1} times ({', '.join(tries)})"] if tries else []
        cost = self._cost(question.request.model, received)
        if cost is None and not _is_counted(received.usage):
            cost = self._estimate(question.request, _chars_of(received))
            again += ["its cost is an estimate: nobody counted its tokens"] if cost else []
        return Reply(
            text=_encodable(received.text),
            model=question.request.model,
            answers=question.prompt.digest,
            finish_reason=received.finish_reason,
            reasoning=_encodable(received.reasoning) if received.reasoning is not None else None,
            usage=_counted(received.usage, question.request.model),
            cost_usd=cost,
            note="; ".join((*question.notes, *again)) or None,
        )

    def _cost(self, name: str, received: Received) -> float | None:
        given = self._given_price(name)
        if given is not None:
            return given.of(received.usage)
        if received.raw_usage is None or _listed(name) is None:
            return None
        response = litellm.ModelResponse(model=name, usage=received.raw_usage)
        try:
            return float(litellm.completion_cost(completion_response=response, model=name))
        except Exception:  # noqa: BLE001 - the reply is paid for: it must not be lost over its price
            return None

    def _estimate(self, request: Request, chars: int) -> float | None:
        """Return about what an answer of so many characters cost whose tokens nobody counted."""
        read = prompts.tokens_in(request.messages)
        written = math.ceil(chars / prompts.CHARS_PER_TOKEN)
        given = self._given_price(request.model)
        if given is not None:
            return given.of(Usage(input_tokens=read, output_tokens=written))
        if _listed(request.model) is None:
            return None
        try:
            return float(sum(litellm.cost_per_token(request.model, read, written)))
        except Exception:  # noqa: BLE001 - as above: a price is not worth a reply
            return None

    def _given_price(self, name: str) -> Price | None:
        return self._prices.get(name) or self._prices.get(name.partition("/")[2])


def _total(*dollars: float | None) -> float | None:
    """Return what all of it cost; what is unknown in part is unknown."""
    known = [each for each in dollars if each is not None]
    return sum(known) if len(known) == len(dollars) else None


def _is_counted(usage: Usage) -> bool:
    return usage.input_tokens is not None and usage.output_tokens is not None


def _chars_of(received: Received) -> int:
    return len(received.text) + len(received.reasoning or "")


def _counted(usage: Usage, name: str) -> Usage:
    # Anthropic counts thinking as output and does not split it; litellm estimates a number.
    return replace(usage, reasoning_tokens=None) if "claude" in name.lower() else usage


def _sentence(model: Served, error: Exception, tries: list[str]) -> str:
    """Return why a model gave no answer, and what to do about it."""
    if not failures.is_transient(error):
        return failures.sentence(
            error, model=model.name, variable=model.key_variable, api_base=model.api_base
        )
    wait = failures.asked_to_wait(error)
    asked = f", and asks to wait {wait:,.0f} s" if wait else ""
    times = "once" if not tries else f"{len(tries) + 1} times"
    where = f" at {model.api_base}" if model.api_base else ""
    return (
        f"{model.name}{where} was asked {times} and gave no answer "
        f"({failures.said(error)}{asked}); {failures.next_step(error, api_base=model.api_base)}"
    )


def limits_of(name: str, options: Options) -> Limits:
    """Return what fits into a prompt to this model and into its reply."""
    listed = _listed(name)
    writes = listed.get("max_output_tokens") if listed is not None else None
    reads = listed.get("max_input_tokens") if listed is not None else None
    reply = options.max_tokens or min(prompts.REPLY_TOKENS, writes or UNLISTED_REPLY_TOKENS)
    window = options.context_tokens or reads
    if window is None:
        return Limits(prompt_tokens=None, reply_tokens=reply)
    room = max(window - reply, window // 2)
    # Where half the window is less than the reply may take, the reply gets what the prompt leaves.
    return Limits(prompt_tokens=int(SURE_SHARE * room), reply_tokens=min(reply, window - room))


def _listed(name: str) -> ModelInfo | None:
    """Return litellm's entry for a model, or ``None`` where it has none or makes one up.

    For providers that set prices as they go it returns an entry that is not in its list, all zeros.
    """
    try:
        listed = litellm.get_model_info(name)
    except Exception:  # noqa: BLE001 - litellm raises a bare one for a model it has not listed
        return None
    return listed if listed["key"] in litellm.model_cost else None


def _seconds_to_wait(state: tenacity.RetryCallState, patience: Patience) -> float:
    """Return what the provider asks for, else a random time that doubles with every try."""
    asked = failures.asked_to_wait(_error_of(state))
    if asked is not None:
        return asked
    doubling = tenacity.wait_random_exponential(
        multiplier=patience.shortest_wait_seconds, max=patience.longest_wait_seconds
    )
    return doubling(state)


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None  # noqa: S101 - tenacity waits after failures only
    return error


def _encodable(text: str) -> str:
    """Return text that UTF-8 can hold: a cut stream may leave half a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""A language model as an author: asked until it answers, or until asking makes no sense.

It owns retries, shorter prompts, fallback models and what a reply cost; one call is `stream`'s
business, and what a failure means `failures`'.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import httpx
import msgspec
import openai
import tenacity
from msgspec.structs import replace

from refine_agent import prompts
from refine_agent.author import failures
from refine_agent.author.door import errors, litellm
from refine_agent.author.failures import BrokenStreamError
from refine_agent.author.faults import AuthorFault
from refine_agent.author.price import given_prices
from refine_agent.author.stream import Deadlines, Received, Request, receive
from refine_agent.records import Reply

if TYPE_CHECKING:
    from litellm.types.utils import ModelInfo

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
_Failure = (openai.OpenAIError, httpx.HTTPError, BrokenStreamError)
# A server of one's own asks for no key, but the client insists on sending one.
NO_KEY = "no-key-needed"


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


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model's full name and, where it is not the provider's own, the server that runs it."""

    name: str
    api_base: str | None = None

    @property
    def key_variable(self) -> str:
        """The environment variable that holds its key."""
        return f"{self.name.partition('/')[0].upper()}_API_KEY"

    @property
    def api_key(self) -> str | None:
        """The key to send where litellm would find none and the server may want none."""
        own = self.api_base is not None and not os.environ.get(self.key_variable)
        return NO_KEY if own else None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt on its way to a model, with what had to be changed about it."""

    prompt: Prompt
    request: Request
    shortened: bool = False
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
    served = tuple(_served(name, api_base, first=models[0]) for name in models)
    for model in served:
        _require_key(model)
    return Model(served, options=options, transcript=transcript, patience=patience or Patience())


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
        for model in self.models:
            try:
                reply = self._ask_one(model, prompt, watch)
            except AuthorFault as fault:
                faults.append(str(fault))
                continue
            notes = (
                *(f"fallback {model.name}, because {fault}" for fault in faults[:1]),
                reply.note,
            )
            return replace(
                reply,
                seconds=time.monotonic() - began,
                note="; ".join(note for note in notes if note) or None,
            )
        raise AuthorFault("; nor does the fallback: ".join(faults))

    def _ask_one(self, model: Served, prompt: Prompt, watch: Watch) -> Reply:
        question = self._question(model, prompt)
        while True:
            tries: list[str] = []
            try:
                return self._reply(question, self._persist(question, tries, watch), tries)
            except _Failure as error:
                amended = self._amended(question, error)
                if amended is None:
                    raise AuthorFault(_sentence(model, error, tries)) from None
                question = amended

    def _persist(self, question: Question, tries: list[str], watch: Watch) -> Received:
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
            return receive(question.request, patience.deadlines, watch)

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
        if failures.is_overflow(error) and not question.shortened:
            room = int(SHORTER * prompts.tokens_in(question.prompt.messages))
            shorter = self._shorter(question, room)
            if shorter is None:
                return None
            reply = min(shorter.request.max_tokens, UNLISTED_REPLY_TOKENS // 2)
            return replace(shorter, request=replace(shorter.request, max_tokens=reply))
        limit = failures.reply_limit(error)
        if limit is not None and not question.capped and limit < question.request.max_tokens:
            return replace(
                question,
                request=replace(question.request, max_tokens=limit),
                capped=True,
                notes=(*question.notes, f"replies of at most {limit:,} tokens"),
            )
        return None

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
            shortened=True,
            notes=(*question.notes, f"prompt shortened from about {before:,} to {after:,} tokens"),
        )

    # --- what came of it -------------------------------------------------------------------------

    def _reply(self, question: Question, received: Received, tries: list[str]) -> Reply:
        again = [f"asked {len(tries) + 1} times ({', '.join(tries)})"] if tries else []
        return Reply(
            text=_encodable(received.text),
            model=question.request.model,
            answers=question.prompt.digest,
            finish_reason=received.finish_reason,
            reasoning=_encodable(received.reasoning) if received.reasoning is not None else None,
            usage=received.usage,
            cost_usd=self._cost(question.request.model, received),
            note="; ".join((*question.notes, *again)) or None,
        )

    def _cost(self, name: str, received: Received) -> float | None:
        given = self._prices.get(name) or self._prices.get(name.partition("/")[2])
        if given is not None:
            return given.of(received.usage)
        if received.raw_usage is None or _listed(name) is None:
            return None
        response = litellm.ModelResponse(model=name, usage=received.raw_usage)
        return float(litellm.completion_cost(completion_response=response, model=name))


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
    return Limits(prompt_tokens=int(SURE_SHARE * room), reply_tokens=reply)


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


# --- names and keys ------------------------------------------------------------------------------


def _served(name: str, api_base: str | None, *, first: str) -> Served:
    """Return a model's full name, with the server if it is that server's.

    The server is meant for the model that was named first, and for names without a provider.
    """
    provider = name.partition("/")[0]
    if "/" in name and provider in litellm.provider_list:
        return Served(name=name, api_base=api_base if name == first else None)
    if api_base is not None:
        return Served(name=f"openai/{name}", api_base=api_base)
    try:
        provider = litellm.get_llm_provider(name)[1]
    except errors.BadRequestError:
        raise AuthorFault(
            f"litellm knows no model {name!r}; write PROVIDER/NAME, as in anthropic/claude-opus-5, "
            "or name your server with --api-base URL"
        ) from None
    return Served(name=f"{provider}/{name}")


def _require_key(model: Served) -> None:
    if model.api_base is not None:
        return
    missing = litellm.validate_environment(model.name)["missing_keys"]
    keys = [variable for variable in missing if variable.endswith("_API_KEY")]
    # What else may be missing (a region, a project) can also come from files and instance roles.
    if not keys:
        return
    if keys == missing:
        # Of several keys any one will do, and the provider's own is the one people have.
        missing = [model.key_variable] if model.key_variable in keys else keys[:1]
    raise AuthorFault(
        f"there is no key for {model.name}: set {' and '.join(missing)} in the environment, "
        "or choose another model with --model"
    )

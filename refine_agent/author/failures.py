"""What went wrong with a call to a model: whether to try again, how long to wait, what to say.

It owns the table from litellm's exceptions to these three; making the call is `model`'s business.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import openai

from refine_agent.author.door import errors
from refine_agent.author.faults import without_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYMENT_REQUIRED = 402
TOO_LARGE = 413
# What a provider may be asked again for: a timeout, a conflict, too early, too many, and its own
# failures (RFC 9110, section 15; 529 is Anthropic's "overloaded").
TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

# What only an empty account is called: ordinary rate limits speak of quotas, billing and plans too.
_NO_CREDIT = re.compile(
    r"insufficient_quota|exceeded_current_quota_error|credit balance is too low", re.IGNORECASE
)
_PER_MINUTE = re.compile(r"\bper min(?:ute)?\b", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "milli": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0}
_SPAN = r"(\d+(?:\.\d+)?)\s*(ms|milli|h|m|s)[a-z]*"
# Groq and OpenAI: "Please try again in 1m2.5s"; Azure: "Please retry after 6 seconds"; Gemini:
# "Please retry in 20.04s." and, as a field, "retryDelay": "20s".
_STATED_WAIT = re.compile(
    rf"(?:(?:retry|try again)\s+(?:in|after)\s+|retryDelay\W{{1,8}})(?P<wait>(?:{_SPAN}\s*)+)",
    re.IGNORECASE,
)
_OVERFLOW = re.compile(
    r"context[_ ]length|context window|maximum context|prompt is too long|input is too long"
    r"|too many (?:input )?tokens",
    re.IGNORECASE,
)
_WINDOW = re.compile(
    r"maximum context length (?:is|of)\s*(?P<tokens>\d[\d,]*)|>\s*(?P<most>\d[\d,]*) maximum",
    re.IGNORECASE,
)
_REPLY_LIMIT = re.compile(
    r"max_(?:completion_|output_)?tokens\D.*?"
    r"(?:at most|maximum(?: allowed)?(?: value)?(?: is| of)?|<=?|up to|between 1 and|\[1,)"
    r"\s*(?P<limit>\d[\d,]*)",
    re.IGNORECASE | re.DOTALL,
)
_NO_CONNECTION = re.compile(
    r"connect(?:ion)? error|connection refused|name or service", re.IGNORECASE
)
# A provider's own library is not installed: litellm calls that a connection error.
_NOT_INSTALLED = re.compile(r"No module named|Missing \w+ to call|pip install")
# litellm puts its own class names before what the provider said.
_PREFIX = re.compile(r"^(?:(?:litellm\.)?\w+(?:Error|Exception):?\s*(?:-\s*)?)+", re.IGNORECASE)
_IN_JSON = re.compile(r'"message"\s*:\s*"(?P<said>(?:[^"\\]|\\.)+)"')
_EPILOGUE = re.compile(
    r"\s*(?:Original exception|Received Model Group|Available Model Group|LiteLLM Retried"
    r"|This looks like a bug in LiteLLM).*$",
    re.DOTALL,
)

_FATAL = (
    errors.AuthenticationError,
    errors.PermissionDeniedError,
    errors.NotFoundError,
    errors.BadRequestError,  # and its kin: context window, content policy, unsupported parameters
    errors.UnprocessableEntityError,
)


class UnforeseenError(Exception):
    """litellm, or what it stands on, failed in a way that is in no table."""


class BrokenStreamError(Exception):
    """An answer stopped coming before it was whole; the message says how."""


class NoStreamError(BrokenStreamError):
    """What came was no stream of an answer at all."""


def inner(error: Exception) -> Exception:
    """Return the error behind litellm's wrapping of what happens in mid-stream."""
    original = getattr(error, "original_exception", None)
    return original if isinstance(original, Exception) else error


def is_overflow(error: Exception) -> bool:
    """Say whether the prompt was too long for the model."""
    error = inner(error)
    if isinstance(error, errors.ContextWindowExceededError):
        return True
    if getattr(error, "status_code", None) == TOO_LARGE:
        return True
    return isinstance(error, openai.APIError) and bool(_OVERFLOW.search(str(error)))


def window_tokens(error: Exception) -> int | None:
    """Return the tokens of prompt and reply the model holds, where it says so on refusing."""
    found = _WINDOW.search(str(error))
    return int((found["tokens"] or found["most"]).replace(",", "")) if found else None


def reply_limit(error: Exception) -> int | None:
    """Return how many tokens of reply the model allows at most, where it says so on refusing."""
    if not isinstance(error, errors.BadRequestError) or is_overflow(error):
        return None
    found = _REPLY_LIMIT.search(str(error))
    return int(found["limit"].replace(",", "")) if found else None


def is_quota(error: Exception) -> bool:
    """Say whether the account is empty, which reads like a rate limit and passes with no wait.

    Only a sign that says nothing else counts: who is told to come back later is not out of money.
    """
    error = inner(error)
    if getattr(error, "status_code", None) == PAYMENT_REQUIRED:
        return True
    text = _text_of(error)
    if not isinstance(error, openai.APIError) or not _NO_CREDIT.search(text):
        return False
    return asked_to_wait(error) is None and not _PER_MINUTE.search(text)


def is_transient(error: BaseException) -> bool:
    """Say whether the same call may succeed later."""
    if isinstance(error, BrokenStreamError):
        return True
    if not isinstance(error, openai.OpenAIError):
        return False
    error = inner(error)
    if isinstance(error, _FATAL) or is_quota(error) or is_overflow(error):
        return False
    if _NOT_INSTALLED.search(str(error)):
        return False
    return getattr(error, "status_code", None) in {None, *TRANSIENT_STATUS}


def asked_to_wait(error: BaseException) -> float | None:
    """Return the seconds a provider asks to wait, or ``None``.

    By its headers (RFC 9110, section 10.2.3), else by its words: Gemini and proxies send no header.
    """
    behind = inner(error) if isinstance(error, Exception) else error
    stated = (_wait_in_headers(error), _wait_in_headers(behind), _wait_in_words(_text_of(behind)))
    return next((seconds for seconds in stated if seconds is not None), None)


def _wait_in_headers(error: BaseException) -> float | None:
    headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
    if not headers:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    stated = headers.get("retry-after")
    if stated is None:
        return None
    seconds = _number(stated)
    return seconds if seconds is not None else _until(stated, headers.get("date"))


def _wait_in_words(text: str) -> float | None:
    found = _STATED_WAIT.search(text)
    if found is None:
        return None
    spans = re.findall(_SPAN, found["wait"], re.IGNORECASE)
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in spans)


def _text_of(error: BaseException) -> str:
    """Return the words of an error, and its fields where litellm leaves them out of the words."""
    return f"{error} {getattr(error, 'body', None) or ''}"


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _until(moment: str, now: str | None) -> float | None:
    """Return the seconds to an HTTP date, by the server's own clock where it shows it."""
    try:
        present = parsedate_to_datetime(now).timestamp() if now is not None else time.time()
        return max(0.0, parsedate_to_datetime(moment).timestamp() - present)
    except ValueError:
        return None


def said(error: BaseException) -> str:
    """Return what the provider said, on one line, without litellm's preamble and without keys."""
    error = inner(error) if isinstance(error, Exception) else error
    text = _EPILOGUE.sub("", str(getattr(error, "message", None) or error))
    quoted = _IN_JSON.search(text)
    text = quoted["said"] if quoted else text
    return without_keys(_PREFIX.sub("", text).strip() or type(error).__name__).rstrip(".")


def kind_of(error: BaseException) -> str:
    """Return the failure in a few words."""
    if isinstance(error, BrokenStreamError):
        return str(error)
    if isinstance(error, openai.RateLimitError):
        return "rate limit"
    if isinstance(error, openai.APITimeoutError):
        return "no answer in time"
    if getattr(error, "generated_content", None):
        return "the stream broke off"
    return "no connection" if _never_reached(error) else "server error"


def _never_reached(error: BaseException) -> bool:
    if getattr(error, "generated_content", None):
        return False
    return isinstance(error, openai.APIConnectionError) or bool(_NO_CONNECTION.search(str(error)))


def next_step(error: Exception, *, api_base: str | None) -> str:
    """Return what a person may do after a failure that waiting did not cure."""
    if api_base is not None and (_never_reached(error) or isinstance(error, NoStreamError)):
        return (
            "check that a server answers there, and that --api-base ends as it should (often /v1)"
        )
    return "go on later with `resume`, or name another with --fallback-model"


def sentence(  # noqa: PLR0911 - one sentence per failure is the point
    error: Exception, *, model: str, variable: str, api_base: str | None
) -> str:
    """Return the cause of a failure that no waiting cures, and the next step."""
    error = inner(error)
    what = said(error)
    if is_quota(error):
        return (
            f"the account behind {variable} is out of quota ({what}); "
            "top it up, or choose another model with --model"
        )
    if is_overflow(error):
        return (
            f"the prompt is too long for {model} even at its shortest ({what}); "
            "choose a model with a larger context window"
        )
    if isinstance(error, errors.AuthenticationError):
        return (
            f"{model} refused the key ({what}); put a valid one into {variable}, "
            "or choose another model with --model"
        )
    if getattr(error, "status_code", None) == 403:  # noqa: PLR2004 - forbidden
        return (
            f"the key in {variable} may not use {model} ({what}); "
            "ask its owner for access, or choose another model with --model"
        )
    if isinstance(error, UnforeseenError):
        return f"{model} could not be asked ({what}); upgrade litellm, or choose another model"
    if isinstance(error, errors.NotFoundError):
        where = f" at {api_base}" if api_base else ""
        return f"there is no {model}{where} ({what}); check the name given to --model"
    return f"{model} refused the request ({what}); change what it names, or choose another model"

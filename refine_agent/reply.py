"""Reading a reply: the one fenced block that holds ``ModelNew``, the idea, the prediction.

It owns the small format the prompt asks for and says plainly what it did when a reply has no
block, several, or was cut off; what the candidate is worth is the bench's business.
"""

from __future__ import annotations

import ast
import re
import warnings
from textwrap import dedent
from typing import TYPE_CHECKING

import msgspec

from refine_agent.profiling import metrics
from refine_agent.profiling.records import Prediction
from refine_agent.records import Candidate, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Reply

# An idea is a sentence; what is longer is shown cut, in tables and in the next prompt alike.
MAX_IDEA_CHARS = 300
# A line that says more than this is no prediction.
MAX_LINE_CHARS = 2_000

# CommonMark 0.31, section 4.5, but for the indentation, which lists make deeper than three.
_OPENING = re.compile(r"^ *(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
_DEFINES_MODEL = re.compile(r"^(?:class\s+ModelNew\b|ModelNew\s*=)", re.MULTILINE)
_IDEA = re.compile(r"^[\s\W]{0,20}IDEA\W{0,8}:\W{0,8}(?P<said>\w.*)$", re.IGNORECASE)
_PREDICTION = re.compile(r"^[\s\W]{0,20}PREDICTION\W{0,8}:(?P<said>.*)$", re.IGNORECASE)
_ARROW = re.compile(r"[-=]+>|→|⟶|\bto\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]\w*(?:\.\w+)*")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d_,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")


# By the finish reason, as litellm names it whatever the provider calls it.
_WHY_EMPTY = {
    "length": "the reply used up its limit of tokens (--max-tokens) in thinking, before any of it "
    "was written; think less",
    "content_filter": "the provider's content filter kept the reply back; nothing of it came",
    "tool_calls": "the reply called a tool instead of writing text; there are no tools here",
    "function_call": "the reply called a tool instead of writing text; there are no tools here",
}
_WHY_CUT_OFF = {
    "length": " by its limit of tokens (--max-tokens); answer shorter",
    "content_filter": " by the provider's content filter; write it in other words",
}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a reply: prose, or the body of a fenced block and whether the block ended."""

    text: str
    fenced: bool
    whole: bool = True

    @property
    def is_kernel(self) -> bool:
        """Whether this is a block that defines ``ModelNew``."""
        return self.fenced and _DEFINES_MODEL.search(self.text) is not None


def extract(reply: Reply, parent: int | None = None) -> Candidate | Unreadable:
    """Return the candidate a reply holds, or say what stood in the way."""
    parts = _parts(reply)
    kernels = [at for at, part in enumerate(parts) if part.is_kernel]
    if not kernels:
        return Unreadable(reason=_why_none(reply, parts))
    chosen = kernels[-1]
    if not parts[chosen].whole and not _only_lacks_its_fence(reply, parts[chosen]):
        return Unreadable(reason=_why_cut_off(reply, "inside its code block"))
    around = _around(parts, chosen)
    return Candidate(
        source=parts[chosen].text,
        parent=parent,
        idea=_idea(around),
        prediction=_prediction(around),
    )


def remark(reply: Reply) -> str | None:
    """Say what was done where a reply did not hold exactly one candidate, or ``None``."""
    kernels = [part for part in _parts(reply) if part.is_kernel]
    said: list[str] = []
    if len(kernels) > 1:
        said += [
            f"the reply held {len(kernels)} blocks that define ModelNew; the last one was taken"
        ]
    if kernels and _only_lacks_its_fence(reply, kernels[-1]):
        said += ["the code block was not closed; it was taken to the end of the reply"]
    return "; ".join(said) or None


def _parts(reply: Reply) -> list[Part]:
    """Return the reply as prose and blocks, in order."""
    return list(_split(reply.text.replace("\r\n", "\n").split("\n")))


def _split(lines: list[str]) -> Iterator[Part]:
    body: list[str] = []
    fence: str | None = None
    for line in lines:
        if fence is None:
            opening = _OPENING.match(line)
            if opening is None:
                body.append(line)
                continue
            yield Part(text="\n".join(body), fenced=False)
            fence, body = opening["fence"], []
        elif _closes(line, fence):
            yield Part(text=_body(body), fenced=True)
            fence, body = None, []
        else:
            body.append(line)
    fenced = fence is not None
    yield Part(text=_body(body) if fenced else "\n".join(body), fenced=fenced, whole=not fenced)


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and bare == fence[0] * len(bare)


def _body(lines: list[str]) -> str:
    """Return the block's lines, without the indentation of a list that it stands in."""
    text = "".join(f"{line}\n" for line in lines)
    return dedent(text) if text.startswith(" ") else text


def _around(parts: list[Part], chosen: int) -> list[str]:
    """Return the lines outside kernels, those nearest before the chosen one first."""
    before = [
        line for part in parts[:chosen] if not part.is_kernel for line in part.text.split("\n")
    ]
    after = [
        line for part in parts[chosen + 1 :] if not part.is_kernel for line in part.text.split("\n")
    ]
    return [*reversed(before), *after]


def _only_lacks_its_fence(reply: Reply, part: Part) -> bool:
    """Whether a block is whole but for the fence after it: its author stopped, and it parses."""
    if part.whole or reply.finish_reason != "stop":
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of a text is not asked here
            ast.parse(part.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _why_none(reply: Reply, parts: list[Part]) -> str:
    if not reply.text.strip():
        return _WHY_EMPTY.get(reply.finish_reason or "", "the reply was empty")
    if reply.finish_reason in _WHY_CUT_OFF or not parts[-1].whole:
        return _why_cut_off(reply, "before its code block ended")
    if any(part.fenced for part in parts):
        return "no fenced code block defines ModelNew"
    return "there is no fenced code block in the reply"


def _why_cut_off(reply: Reply, where: str) -> str:
    why = _WHY_CUT_OFF.get(reply.finish_reason or "", "; answer shorter")
    return f"the reply was cut off {where}{why}"


def _first(pattern: re.Pattern[str], lines: list[str]) -> str | None:
    matches = (pattern.match(line) for line in lines if len(line) <= MAX_LINE_CHARS)
    return next((found["said"] for found in matches if found), None)


def _idea(lines: list[str]) -> str | None:
    said = _first(_IDEA, lines)
    return " ".join(said.split()).strip("*_` ")[:MAX_IDEA_CHARS] if said is not None else None


def _prediction(lines: list[str]) -> Prediction | None:
    """Return what was foretold: a metric, an arrow, a number after it and perhaps one before."""
    said = _first(_PREDICTION, lines)
    arrow = _ARROW.search(said) if said is not None else None
    if said is None or arrow is None:
        return None
    metric = _metric(said[: arrow.start()])
    after = _NUMBER.search(said, arrow.end())
    if metric is None or after is None:
        return None
    before = _NUMBER.findall(said[: arrow.start()])
    return Prediction(
        metric=metric,
        before=_number(before[-1]) if before else None,
        after=_number(after[0]),
    )


def _metric(text: str) -> str | None:
    """Return the metric that is named: a row of the table if there is one, else the first word."""
    words = [word.lower() for word in _WORD.findall(text)]
    known = [word for word in words if word in metrics.BY_KEY]
    return next(iter([*known, *words]), None)


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("_", ""))

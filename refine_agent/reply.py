"""Reading a reply: the one fenced block that holds ``ModelNew``, the idea, the prediction.

It owns the small format the prompt asks for and says plainly what it did when a reply has no
block, several, or was cut off; what the candidate is worth is the bench's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refine_agent.profiling.records import Prediction
from refine_agent.records import Candidate, Unreadable

if TYPE_CHECKING:
    from refine_agent.records import Reply

# A fence opens at the start of a line and closes with one at least as long (CommonMark 4.5).
_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+.-]*)[^\n`]*\n"
    r"(?P<body>.*?)"
    r"(?P<end>^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_IDEA = re.compile(r"^\W*IDEA\W*:\W*(?P<idea>\S.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_NUMBER = r"[-+]?\d[\d_,]*(?:\.\d+)?(?:[eE][-+]?\d+)?"
_PREDICTION = re.compile(
    rf"^\W*PREDICTION\W*:\W*(?P<metric>[a-z][a-z0-9_.]*)\W*?\s+(?:from\s+)?(?P<before>{_NUMBER})?[^\S\n]*\S{{0,4}}"
    rf"[^\S\n]*(?:->|→|to)\s*(?P<after>{_NUMBER})",
    re.MULTILINE | re.IGNORECASE,
)
_DEFINES_MODEL = re.compile(r"^(?:class\s+ModelNew\b|ModelNew\s*=)", re.MULTILINE)
# An idea is a sentence; what is longer is shown cut, in tables and in the next prompt alike.
MAX_IDEA_CHARS = 300


def extract(reply: Reply, parent: int | None = None) -> Candidate | Unreadable:
    """Return the candidate a reply holds, or say what stood in the way."""
    text = reply.text.replace("\r\n", "\n")
    blocks = [m for m in _FENCE.finditer(text) if _DEFINES_MODEL.search(m["body"])]
    cut_off = reply.finish_reason == "length" or any(not m["end"] for m in blocks)
    whole = [m for m in blocks if m["end"]]
    if not whole:
        return Unreadable(reason=_why_none(text, cut_off=cut_off))
    if cut_off and not blocks[-1]["end"]:
        return Unreadable(reason="the reply was cut off inside its last code block; answer shorter")
    return Candidate(
        source=whole[-1]["body"],
        parent=parent,
        idea=_idea(text),
        prediction=_prediction(text),
    )


def remark(reply: Reply) -> str | None:
    """Say what was done where a reply did not hold exactly one candidate, or ``None``."""
    found = sum(bool(_DEFINES_MODEL.search(m["body"])) for m in _FENCE.finditer(reply.text))
    if found > 1:
        return f"the reply held {found} blocks that define ModelNew; the last one was taken"
    return None


def _why_none(text: str, *, cut_off: bool) -> str:
    if not text.strip():
        return "the reply was empty"
    if cut_off:
        return "the reply was cut off before its code block ended; answer shorter"
    if _FENCE.search(text):
        return "no fenced code block defines ModelNew"
    return "there is no fenced code block in the reply"


def _idea(text: str) -> str | None:
    found = _IDEA.search(text)
    return found["idea"].strip("*_ ")[:MAX_IDEA_CHARS] if found else None


def _prediction(text: str) -> Prediction | None:
    found = _PREDICTION.search(text)
    if found is None:
        return None
    before = found["before"]
    return Prediction(
        metric=found["metric"].lower(),
        before=_number(before) if before is not None else None,
        after=_number(found["after"]),
    )


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("_", ""))

"""The shape of a prompt: its text with every measured number masked.

It owns what counts as measured and how two prompts are compared; whether a difference matters is
for whoever replays a recording to judge.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import msgspec

from refine_agent.records import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from refine_agent.records import Message

CODE = {"python", "diff"}
PAGE = "profile"

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>[\w+-]*)\s*$")
# Not inside a word: float32, sm_90 and 0x1f are names.
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[-+]?\d[\d,_]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
# Another patch release of PyTorch or the driver is no other kind of machine.
_VERSION = re.compile(r"(?<![A-Za-z0-9_.])\d+(?:\.\d+){2,3}(?:\.?(?:dev|rc|post)\d+)?(?:\+\w+)?")
_FOLDERS = re.compile(r"(?<![\w.])(?:~|\.{1,2})?(?:/[\w.+@%-]+)+/")
_CONTENT_NAME = re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b")
_GRADE = re.compile(r"\b(?:confirmed|partly|refuted|not measured)\b.*$")
# A doubt and its evidence come and go with the noise of the clock.
_DOUBT = re.compile(r", doubtful\b")
_HEADING = re.compile(r"^[A-Z][A-Z0-9]+\b(?: [A-Z][A-Z0-9]+\b)*")


def shape_of(messages: Iterable[Message]) -> str:
    """Return the digest of the masked text: equal for one session on two machines of one kind."""
    return digest_of("\n".join(masked(messages)))


def masked(messages: Iterable[Message]) -> list[str]:
    """Return the lines of the prompt with measured numbers, paths and pages masked; code as is."""
    found: list[str] = []
    for message in messages:
        found.append(f"[{message.role}]")
        found.extend(_masked_lines(message.content))
    return found


def _masked_lines(text: str) -> Iterator[str]:
    fence = language = ""
    headings: list[str] = []
    for line in text.split("\n"):
        if not fence:
            opening = _FENCE.match(line)
            fence, language = (opening["fence"], opening["language"]) if opening else ("", "")
            headings = []
            yield _mask(line)
        elif line.startswith(fence):
            yield from sorted(set(headings))
            yield line
            fence = ""
        elif language in CODE:
            yield line
        elif language == PAGE:
            # Which findings come first, or come at all, is measured too; that a page tells of
            # floors, stalls and occupancy is not.
            headings += _HEADING.findall(line)
        else:
            yield _mask(line)


def _mask(line: str) -> str:
    line = _FOLDERS.sub("…/", line)
    line = _CONTENT_NAME.sub("#", line)
    line = _GRADE.sub("[grade]", _DOUBT.sub("", line))
    return " ".join(_NUMBER.sub("#", _VERSION.sub("#", line)).split())


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where two prompts part: a masked line of each; ``None`` where one of them has none."""

    recorded: str | None
    present: str | None


def differences(recorded: Iterable[Message], present: Iterable[Message]) -> list[Difference]:
    """Return where two prompts differ once measured numbers are masked, first place first."""
    before, now = masked(recorded), masked(present)
    parts = SequenceMatcher(None, before, now, autojunk=False).get_opcodes()
    return [
        Difference(
            recorded=before[start] if start < end else None,
            present=now[first] if first < last else None,
        )
        for kind, start, end, first, last in parts
        if kind != "equal"
    ]

"""Quoting what candidates, compilers and profilers wrote, so that it cannot speak to the model.

It owns fences that their content cannot close, the bounds on what is quoted, and what of it may be
shown at all; which text goes into which fence is the templates' business.
"""

from __future__ import annotations

import re
import unicodedata

# Enough for the first twenty errors of a C++ compiler, which are the ones that matter.
LOG_CHARS = 6_000
LINE_CHARS = 400
# A run of backticks this long is no code of anybody's: it only makes the fence around it longer.
MOST_BACKTICKS = 16
# Of what is too long the beginning is worth most: a compiler's first error causes the others.
HEAD_SHARE = 0.7

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_BACKTICKS = re.compile(r"`+|~+")
_MANY_BACKTICKS = re.compile(rf"`{{{MOST_BACKTICKS},}}|~{{{MOST_BACKTICKS},}}")
# Cc: control; Cf: formatting, such as text that runs backwards or is not seen; Cs: half a pair;
# Co, Cn: no agreed meaning; Zl, Zp: line ends that only some readers see.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHOWN_CONTROLS = frozenset("\n\t")


def visible(text: str) -> str:
    """Return the text without terminal escapes and characters that a reader cannot see."""
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        for letter in text
        if letter in _SHOWN_CONTROLS or unicodedata.category(letter) not in _UNSHOWN
    )


def bounded(text: str, limit: int) -> str:
    """Return the text, or its beginning and its end around a note of how much was left out."""
    if len(text) <= limit:
        return text
    head = int(limit * HEAD_SHARE)
    tail = limit - head
    return f"{text[:head]}\n[… {len(text) - limit:,} characters left out …]\n{text[-tail:]}"


def fenced(
    text: str,
    language: str = "text",
    limit: int | None = LOG_CHARS,
    line_chars: int = LINE_CHARS,
) -> str:
    """Return the text in a fence that nothing in it can close (CommonMark 0.31, section 4.5)."""
    shown = visible(text if limit is None else _ends(text, 8 * limit))
    if limit is not None:
        lines = (_shortened(line, line_chars) for line in shown.split("\n"))
        shown = _MANY_BACKTICKS.sub("[…]", bounded("\n".join(lines), limit))
    longest = max((len(run) for run in _BACKTICKS.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown.rstrip()}\n{fence}"


def _ends(text: str, limit: int) -> str:
    """Return what can matter of a text of any length: gigabytes are not worth reading."""
    return text if len(text) <= limit else f"{text[: limit // 2]}\n{text[-limit // 2 :]}"


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"


def one_line(text: str, limit: int = LINE_CHARS) -> str:
    """Return the text on one line, so that it cannot pass for another row of a table."""
    flat = " ".join(visible(text[: 8 * limit]).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def said(text: str) -> str:
    """Return a person's words as a block quote."""
    return "\n".join(f"> {line}".rstrip() for line in visible(text).strip().split("\n"))

"""Lines of candidates: those that a page points at, and those in which a variant differs.

It owns finding the C++ and CUDA strings in a candidate's file; which lines matter is the page's
word, and a candidate whose strings are put together at run time is shown without quotes.
"""

from __future__ import annotations

import ast
import difflib
import re

# A statement's beginning is enough to find it in the listing above the page.
QUOTED_CHARS = 64
# Lines around a change, and the part of the whole up to which a difference reads better.
CONTEXT = 2
WORTH_A_DIFFERENCE = 0.5
_PLACE = re.compile(r"\b(cuda|cpp)_source:(\d+)\b")


def quoted(page_text: str, source: str) -> str:
    """Return a page's text with each line of the candidate quoted where it is first named."""
    listings = _listings(source)
    seen: set[str] = set()

    def quote(place: re.Match[str]) -> str:
        named = place.group(0)
        line = _line(listings.get(place.group(1), []), int(place.group(2)))
        if named in seen or not line:
            return named
        seen.add(named)
        return f"{named} `{line}`"

    return _PLACE.sub(quote, page_text)


def against(source: str, known: str) -> str:
    """Return how a source differs from one that is shown, or nothing where it says no less whole.

    A variant of the kernel above it is read faster, and for less, by what it changes.
    """
    lines = difflib.unified_diff(known.splitlines(), source.splitlines(), n=CONTEXT, lineterm="")
    changed = "\n".join(list(lines)[2:])  # without the two lines that would name files
    return changed if len(changed) <= WORTH_A_DIFFERENCE * len(source) else ""


def _line(listing: list[str], number: int) -> str:
    text = listing[number - 1] if 0 < number <= len(listing) else ""
    flat = " ".join(text.replace("`", "'").split())
    return flat if len(flat) <= QUOTED_CHARS else f"{flat[: QUOTED_CHARS - 1]}…"


def _listings(source: str) -> dict[str, list[str]]:
    """Return the lines of what goes to nvcc and to the host's compiler, as compilers count them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    texts = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.keyword) or node.arg not in {"cuda_sources", "cpp_sources"}:
            continue
        parts = _strings(node.value, texts)
        if parts is not None:
            found[node.arg.removesuffix("_sources")] = "\n".join(parts).split("\n")
    return found


def _strings(value: ast.expr, texts: dict[str, ast.expr]) -> list[str] | None:
    """Return the strings that an argument stands for, or None if only running it would tell."""
    whole = _meant(value, texts)
    every = whole.elts if isinstance(whole, ast.List | ast.Tuple) else [whole]
    meant = [_meant(one, texts) for one in every]
    strings = [one.value for one in meant if isinstance(one, ast.Constant)]
    known = [text for text in strings if isinstance(text, str)]
    return known if len(known) == len(every) else None


def _meant(value: ast.expr, texts: dict[str, ast.expr]) -> ast.expr:
    return texts.get(value.id, value) if isinstance(value, ast.Name) else value

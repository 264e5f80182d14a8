"""A candidate's source as lines: coloured, with the profile's findings beside the lines they name.

It bounds and escapes what it shows and never runs it; the look of a colour is the style sheet's.
"""

from __future__ import annotations

import ast
import difflib
from typing import TYPE_CHECKING

import msgspec
from markupsafe import Markup, escape

from refine_agent.legible import legible, phrase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pygments.token import _TokenType

    from refine_agent.profiling.records import Finding, Page

# Colouring and comparing take time that grows with the text; beyond these a source is shown plain.
MOST_CHARS_COLOURED = 60_000
MOST_LINES_COMPARED = 1_500
CONTEXT_LINES = 3
_KERNEL_SIGNS = ("__global__", "__device__", "#include")


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """What the profile says of a line, in a few words."""

    kind: str
    kernel: str | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of source; ``hot`` is what the profile blames it for."""

    number: int
    html: Markup
    hot: tuple[Heat, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a difference: kept, added, removed, or the head of a hunk."""

    kind: str
    text: str


def listing(source: str, page: Page | None = None) -> tuple[Line, ...]:
    """Return the lines of a source, those that the page blames marked."""
    shown = legible(source)
    hot = hot_lines(source, page) if page is not None else {}
    return tuple(
        Line(number=number, html=html, hot=hot.get(number, ()))
        for number, html in enumerate(_coloured(shown), 1)
    )


def hot_lines(source: str, page: Page) -> dict[int, tuple[Heat, ...]]:
    """Return what a page blames each line of the candidate's source for."""
    found: dict[int, tuple[Heat, ...]] = {}
    for finding in page.findings:
        line = _line_of(source, finding.where) if finding.where else None
        if line is not None:
            found[line] = (*found.get(line, ()), _said_of(finding))
    return found


def _said_of(finding: Finding) -> Heat:
    kernel = phrase(finding.kernel, chars=60) if finding.kernel else None
    return Heat(kind=phrase(finding.kind.replace("_", " "), chars=60), kernel=kernel)


def difference(before: str, after: str) -> tuple[Change, ...]:
    """Return what changed between two sources, with three lines around each change."""
    old = legible(before).splitlines()[:MOST_LINES_COMPARED]
    new = legible(after).splitlines()[:MOST_LINES_COMPARED]
    lines = list(difflib.unified_diff(old, new, n=CONTEXT_LINES, lineterm=""))[2:]
    kinds = {"+": "added", "-": "removed", "@": "hunk", " ": "kept"}
    return tuple(
        Change(kind=kinds.get(line[:1], "kept"), text=line if line[:1] == "@" else line[1:])
        for line in lines
    )


def _line_of(source: str, where: str) -> int | None:
    """Return the line of the candidate that ``file:line`` means, or ``None`` if not certain.

    Compilers are told to call what a candidate hands to ``load_inline`` `cuda_source` and
    `cpp_source`; their lines count within those strings.
    """
    file, _, digits = where.rpartition(":")
    if not digits.isdecimal() or len(digits) > 7:  # noqa: PLR2004 - no source has ten million lines
        return None
    line = int(digits)
    if file.endswith(".py"):
        return line if 1 <= line <= source.count("\n") + 1 else None
    position = _POSITIONS.get(file)
    if position is None or len(source) > MOST_CHARS_COLOURED:
        return None
    try:
        tree = ast.parse(source)
        found = {_within(strings, line) for strings in _handed_over(tree, file, position)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    known = found - {None}
    return known.pop() if len(known) == 1 else None


# Their places among the arguments, where they are not named (torch.utils.cpp_extension).
_POSITIONS = {"cpp_source": 1, "cuda_source": 2}


def _handed_over(tree: ast.Module, file: str, position: int) -> Iterator[list[ast.Constant]]:
    """Yield, for each call of load_inline, the literal strings it hands over as one source."""
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_inline"):
            named = [word.value for word in node.keywords if word.arg == f"{file}s"]
            given = named or node.args[position : position + 1]
            strings = _literals(given[0], assigned) if given else None
            if strings:
                yield strings


def _literals(node: ast.expr, assigned: dict[str, ast.expr]) -> list[ast.Constant] | None:
    """Return the string literals an expression stands for, or ``None`` where one is computed."""
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    known = [assigned.get(part.id) if isinstance(part, ast.Name) else part for part in parts]
    found = [part for part in known if isinstance(part, ast.Constant)]
    whole = len(found) == len(known) and all(isinstance(part.value, str) for part in found)
    return found if whole else None


def _within(strings: list[ast.Constant], line: int) -> int | None:
    """Return where a line of the joined strings stands in the module."""
    for node in strings:
        ends = str(node.value).count("\n")
        if line <= ends + 1:
            # Escapes and pieced-together literals have other lines than the text they make.
            plain = node.end_lineno is not None and node.end_lineno - node.lineno == ends
            return node.lineno + line - 1 if plain and line >= 1 else None
        line -= ends + 1
    return None


# --- colours -------------------------------------------------------------------------------------


def _coloured(source: str) -> list[Markup]:
    if len(source) > MOST_CHARS_COLOURED:
        return [escape(line) for line in source.split("\n")]
    lines: list[list[Markup]] = [[]]
    for kind, text in _tokens(source):
        for place, piece in enumerate(text.split("\n")):
            if place:
                lines.append([])
            if piece:
                lines[-1].append(_span(kind, piece))
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [Markup("").join(line) for line in lines]


def _span(kind: str, piece: str) -> Markup:
    if not kind:
        return Markup("{}").format(piece)
    return Markup('<i class="{}">{}</i>').format(kind, piece)


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """Yield pieces with their class; device code inside Python's strings is read as CUDA."""
    from pygments.lexers.c_cpp import CppLexer  # noqa: PLC0415 - a page without source needs none
    from pygments.lexers.python import PythonLexer  # noqa: PLC0415 - see above
    from pygments.token import String  # noqa: PLC0415 - see above

    python, cuda = PythonLexer(stripnl=False, ensurenl=False), CppLexer(stripnl=False)
    cuda.ensurenl = False
    held = ""
    for kind, text in python.get_tokens(source):
        if kind in String:
            held += text
            continue
        yield from _string(held, cuda.get_tokens)
        held = ""
        yield _class(kind), text
    yield from _string(held, cuda.get_tokens)


def _string(
    text: str, read: Callable[[str], Iterable[tuple[_TokenType, str]]]
) -> Iterator[tuple[str, str]]:
    if not any(sign in text for sign in _KERNEL_SIGNS) or "\n" not in text:
        yield "s", text
        return
    yield from ((_device_class(kind, piece), piece) for kind, piece in read(text))


_DEVICE_WORDS = {
    "__global__", "__device__", "__host__", "__shared__", "__restrict__", "__launch_bounds__",
    "__syncthreads", "__syncwarp", "threadIdx", "blockIdx", "blockDim", "gridDim",
    "float2", "float4", "half2", "int4", "uint4", "dim3",
}  # fmt: skip


def _device_class(kind: _TokenType, piece: str) -> str:
    return "d" if piece in _DEVICE_WORDS else _class(kind)


def _class(kind: _TokenType) -> str:
    from pygments.token import Comment, Keyword, Name, Number, String  # noqa: PLC0415 - see above

    for family, short in (
        (Comment.Preproc, "p"),
        (Comment.PreprocFile, "s"),
        (Comment, "c"),
        (Keyword.Type, "t"),
        (Keyword, "k"),
        (Name.Function, "f"),
        (Name.Class, "f"),
        (Name.Decorator, "p"),
        (Name.Builtin, "t"),
        (String, "s"),
        (Number, "n"),
    ):
        if kind in family:
            return short
    return ""

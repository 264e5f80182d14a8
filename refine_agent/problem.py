"""Reading a problem file: a PyTorch reference in KernelBench's shape, checked by its syntax alone.

Nothing is imported here, so a broken or hostile file costs nothing; whether the reference runs and
can tell right from wrong is the bench's finding.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from refine_agent.records import Problem, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE = "a problem defines class Model(nn.Module), get_inputs() and get_init_inputs()"
# The largest reference in KernelBench has 20 kB; a megabyte is somebody's data file.
MAX_BYTES = 1 << 20
# How far a file that is too large is searched for the name of a problem's function.
MOST_SEARCHED_BYTES = 64 << 20


class ProblemError(Exception):
    """The file is no problem; the message says what is missing, where, and what to do."""


def load(path: Path) -> Problem:
    """Return the problem in a file.

    A file with a single ``nn.Module`` and ``get_inputs`` is completed to the full shape, and the
    lines added are part of the source that everybody sees.
    """
    source = _read(path)
    tree = _parse(path, source)
    defined = _defined(tree)
    if "get_inputs" not in defined:
        raise ProblemError(f"{path} defines no get_inputs(); {SHAPE}")
    _require_no_arguments(path, defined, "get_inputs")
    added = _missing_model(path, tree, defined)
    if "get_init_inputs" in defined:
        _require_no_arguments(path, defined, "get_init_inputs")
    else:
        added += ["def get_init_inputs():", "    return []"]
    return Problem(name=path.stem, source=_with(source, added))


def precision_of(source: str) -> str:
    """Return the policy that a problem's PRECISION states, by syntax alone; "default" without one.

    Whether the judge knows the policy is the judge's finding.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "default"
    match _defined(tree).get("PRECISION"):
        case ast.Assign(value=ast.Constant(value=str(stated))):
            return stated
        case ast.AnnAssign(value=ast.Constant(value=str(stated))):
            return stated
        case _:
            return "default"


def policy_of(problem: Problem, device_kind: str) -> str:
    """Return in words what float32 may be computed in, for the baselines and candidates alike."""
    if device_kind == "cpu":
        return "float32 is computed in float32"
    return _POLICIES.get(precision_of(problem.source), _POLICIES["default"])


# As `judge` sets them; PyTorch's own defaults differ between the two kinds of operation.
_POLICIES = {
    "default": "PyTorch's defaults: TF32 is allowed in float32 convolutions, not in float32 "
    "matrix products",
    "ieee": "full float32: TF32 is allowed nowhere, but splits that keep float32's accuracy are",
    "tf32": "TF32 is allowed in float32 matrix products and convolutions",
}


class Refused(Record, frozen=True, kw_only=True):
    """A file of a folder that means to be a problem and is none; ``why`` is said of it."""

    name: str
    why: str


def load_all(folder: Path) -> list[Problem | Refused]:
    """Return every problem directly in a folder, by name; other files are passed over.

    A file that speaks of ``get_inputs`` and cannot be taken is refused by name: it counts among the
    problems, and keeps no other from its turn.
    """
    files = (path for path in sorted(folder.glob("*.py")) if path.is_file())
    found = [each for path in files if (each := _taken(path)) is not None]
    if not found:
        raise ProblemError(f"{folder} holds no problem file; {SHAPE}")
    return found


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProblemError(f"{path} is larger than a megabyte; {SHAPE}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProblemError(f"there is no file {path}; name a problem file or a folder") from None
    except UnicodeDecodeError as why:
        raise ProblemError(
            f"{path} is not UTF-8 text (byte {why.start}); save it as such"
        ) from None
    except OSError as why:
        raise ProblemError(f"{path} cannot be read: {why.strerror}") from None


def _parse(path: Path, source: str) -> ast.Module:
    try:
        return ast.parse(source, filename=str(path))
    except SyntaxError as why:
        raise ProblemError(
            f"{path}:{why.lineno}: {why.msg}; correct the file, it does not parse"
        ) from None
    except (ValueError, RecursionError, MemoryError) as why:
        raise ProblemError(f"{path} does not parse as Python: {why}") from None


def _defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """Return what the module's top level binds, by name."""
    found: dict[str, ast.stmt] = {}
    for statement in _top_level(tree.body):
        match statement:
            case ast.ClassDef() | ast.FunctionDef():
                found[statement.name] = statement
            case ast.Assign(targets=targets):
                found |= {t.id: statement for t in targets if isinstance(t, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = statement
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                found |= {alias.asname or alias.name: statement for alias in names}
            case _:
                pass
    return found


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _top_level(statement.body)
            yield from _top_level(getattr(statement, "orelse", []))


def _missing_model(path: Path, tree: ast.Module, defined: dict[str, ast.stmt]) -> list[str]:
    """Return the line that names the file's only module ``Model``; none when there is a Model."""
    if "Model" in defined:
        _require_forward(path, defined["Model"])
        return []
    modules = [s for s in _top_level(tree.body) if isinstance(s, ast.ClassDef) and _is_module(s)]
    match modules:
        case [only]:
            _require_forward(path, only)
            return [f"Model = {only.name}"]
        case []:
            raise ProblemError(f"{path} defines no class Model(nn.Module); {SHAPE}")
        case _:
            names = ", ".join(f"{each.name} (line {each.lineno})" for each in modules)
            raise ProblemError(
                f"{path} defines several modules and none is called Model: {names}; "
                "add a line `Model = …` for the one to be made faster"
            )


def _is_module(statement: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split(".")[-1] == "Module" for base in statement.bases)


def _require_forward(path: Path, model: ast.stmt) -> None:
    if not isinstance(model, ast.ClassDef) or not _is_module(model):
        return  # imported, assigned or derived: only running it can tell
    if not any(isinstance(s, ast.FunctionDef) and s.name == "forward" for s in model.body):
        raise ProblemError(
            f"{path}:{model.lineno}: class {model.name} has no forward(); "
            "give it one that takes what get_inputs() returns"
        )


def _require_no_arguments(path: Path, defined: dict[str, ast.stmt], name: str) -> None:
    function = defined[name]
    if not isinstance(function, ast.FunctionDef):
        return
    arguments = function.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    if required > 0 or any(default is None for default in arguments.kw_defaults):
        raise ProblemError(
            f"{path}:{function.lineno}: {name}() must be callable without arguments; "
            "give them defaults or make the shapes module-level constants"
        )


def _with(source: str, added: list[str]) -> str:
    if not added:
        return source
    return source.rstrip("\n") + "\n\n\n" + "\n".join(added) + "\n"


def _taken(path: Path) -> Problem | Refused | None:
    """Return a file of a folder as a problem, with what is wrong with it, or not at all."""
    try:
        if "get_inputs" not in _defined(_parse(path, _read(path))):
            return None
        return load(path)
    except ProblemError as why:
        return Refused(name=path.stem, why=str(why)) if _means_to_be_one(path) else None


def _means_to_be_one(path: Path) -> bool:
    """Whether a file that cannot be taken was written as a problem, as far as can be told."""
    try:
        with path.open("rb") as file:
            return b"get_inputs" in file.read(MOST_SEARCHED_BYTES)
    except OSError:
        return True  # better named in vain than left out without a word

"""Rules about the shape of the code base that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "refine_agent"

# Each heavy dependency enters through one door, so that everything else runs without it.
DOORS = {
    "litellm": ("refine_agent/author",),
    "tenacity": ("refine_agent/author", "refine_agent/bench/profiles.py"),
    "jinja2": ("refine_agent/prompts", "refine_agent/report.py"),
    "ncu_report": ("profiling/ncu_rep.py",),
    "pandas": ("refine_agent/frames.py", "profiling/frames.py"),
    "torch": (
        "refine_agent/arena.py",
        "refine_agent/builder",
        "refine_agent/judge",
        "refine_agent/worker",
    ),
    "mcp": ("refine_agent/mcp",),
    "rich": ("refine_agent/cli",),
    "click": ("refine_agent/cli",),
}

# Imports go down this list only. A room may use itself and every room below its own line.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"mcp", "notebook"},
    {"session"},
    {"standins"},
    {"author", "bench", "report"},
    {"loop"},
    {"prompts", "views"},
    {"charts", "frames", "listing", "export"},
    {"rows"},
    {"judge"},
    {"worker"},
    {"builder"},
    {"arena", "wire", "inbox", "kernel_file", "problem", "reply"},
    {"transcript"},
    {"ranking", "remeasured"},
    {"legible", "records"},
    {"profiling"},
)
# What a thing looks like in a notebook is asked of the room that draws it, once somebody looks.
LOOKS = {("transcript", "report"), ("transcript", "frames"), ("records", "report")}
# Only these may talk to a person directly.
PRINTERS = ("refine_agent/cli", "refine_agent/author/written.py", "refine_agent/builder/probe.py")


class Import(NamedTuple):
    """A module named by an import, and whether it is loaded when its importer is."""

    module: str
    line: int
    eager: bool


def modules() -> list[Path]:
    # Path.rglob does not follow the symlinks below refine_agent, so nothing is seen twice.
    return sorted([*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "profiling").rglob("*.py")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str | None:
    """Return the first name below the package: the room a module is in."""
    if module == PACKAGE:
        return None
    return module.removeprefix(f"{PACKAGE}.").split(".")[0]


def imports(path: Path) -> list[Import]:
    return list(_imports(ast.parse(path.read_text(encoding="utf-8")).body, eager=True))


def _imports(body: list[ast.stmt], *, eager: bool) -> list[Import]:
    found: list[Import] = []
    for node in body:
        match node:
            case ast.Import(names=names):
                found += [Import(alias.name, node.lineno, eager) for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                whole = [f"{module}.{a.name}" for a in names] if module == PACKAGE else [module]
                found += [Import(each, node.lineno, eager) for each in whole]
            case ast.If(test=test) if "TYPE_CHECKING" in ast.unparse(test):
                continue  # what only a type checker reads is never loaded
            case ast.FunctionDef(body=inner) | ast.AsyncFunctionDef(body=inner):
                found += _imports(inner, eager=False)
            case _:
                for block in ("body", "orelse", "finalbody"):
                    found += _imports(getattr(node, block, []), eager=eager)
                for handler in getattr(node, "handlers", []):
                    found += _imports(handler.body, eager=eager)
    return found


def layer_of(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    raise AssertionError(f"say in LAYERS where refine_agent/{room} belongs")


each_module = pytest.mark.parametrize("path", modules(), ids=name_of)


@each_module
def test_heavy_dependencies_enter_through_their_own_door(path: Path) -> None:
    for found in imports(path):
        doors = DOORS.get(found.module.split(".")[0])
        if doors is not None:
            assert name_of(path).startswith(doors), f"line {found.line}: import {found.module}"


@each_module
def test_imports_go_one_way(path: Path) -> None:
    here = "profiling" if name_of(path).startswith("profiling/") else _room_of_path(path)
    if here is None:
        return
    for found in imports(path):
        if not found.module.startswith(PACKAGE):
            continue
        room = room_of(found.module)
        if room is None or room == here or room.startswith("__"):
            continue
        if (here, room) in LOOKS and not found.eager:
            continue
        assert layer_of(room) > layer_of(here), f"line {found.line}: {here} imports {room}"


def _room_of_path(path: Path) -> str | None:
    first = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
    return None if first == "__init__" else first


def test_profiling_knows_nothing_of_the_agent() -> None:
    for path in (ROOT / "profiling").rglob("*.py"):
        for found in imports(path):
            if found.module.startswith(PACKAGE):
                assert found.module.startswith(f"{PACKAGE}.profiling"), name_of(path)


def test_profiling_does_not_shadow_the_standard_library() -> None:
    """Python 3.15 ships a package called profiling (PEP 799), and cProfile imports it."""
    assert not (ROOT / "profiling" / "__init__.py").exists()
    assert (ROOT / PACKAGE / "profiling").is_symlink()


def test_the_parent_of_candidates_never_loads_torch() -> None:
    """Whoever holds the key must not share a process with what candidates run in."""
    for room in ("cli", "session", "author", "loop", "prompts", "transcript", "bench"):
        path = ROOT / PACKAGE / room
        for module in [path.with_suffix(".py")] if not path.is_dir() else path.rglob("*.py"):
            loaded = {found.module.split(".")[0] for found in imports(module)}
            assert "torch" not in loaded, name_of(module)


@each_module
def test_only_the_command_line_prints(path: Path) -> None:
    if name_of(path).startswith(PRINTERS):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}"


@each_module
def test_a_module_opens_by_saying_what_it_owns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return
    assert ast.get_docstring(ast.parse(text)), name_of(path)


@each_module
def test_no_module_grows_past_what_a_reader_holds(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 900


@each_module
def test_no_function_grows_past_a_screen(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or node.lineno) - node.body[0].lineno + 1
            assert lines <= 80, f"{node.name} at line {node.lineno} has {lines} lines"

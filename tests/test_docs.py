"""What the documentation says is there, is spelled so, and was measured."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from click.testing import CliRunner

from refine_agent.cli import EXIT_CODES, cli
from refine_agent.inbox import AnyNote
from refine_agent.records import AnyEvent, AnyVerdict

if TYPE_CHECKING:
    from types import ModuleType

    import click

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "transcripts" / "README.md",
    ROOT / "profiling" / "README.md",
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for link in links:
        path = link.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), link


@each_page
def test_every_anchor_into_a_page_is_one_of_its_headings(page: Path) -> None:
    for path, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", page.read_text("utf-8")):
        target = page.parent / path if path else page
        if "://" not in path and target.suffix == ".md":
            assert anchor in anchors(target), f"{path}#{anchor}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_option_and_command_that_a_page_names_exists(page: Path) -> None:
    ours = {spelling for each in cli.commands.values() for spelling in spellings(each)}
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"refine_agent ((?:[a-z]+) .*)", text):
        command, *words = re.split(r"\s+", line)
        if command in cli.commands:
            named = {word.strip("`.,)") for word in words if re.match(r"--[a-z]", word)}
            assert named <= spellings(cli.commands[command]), line
    if page == README:
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        assert options <= ours


def spellings(command: click.Command) -> set[str]:
    of_one = (p for p in command.params if p.param_type_name == "option")
    return {name for option in of_one for name in (*option.opts, *option.secondary_opts)}


def test_the_format_of_transcripts_names_every_event_verdict_and_note() -> None:
    text = (ROOT / "transcripts" / "README.md").read_text(encoding="utf-8")

    for kind in (*get_args(AnyEvent), *get_args(AnyVerdict), *get_args(AnyNote)):
        assert f"`{kind.__struct_config__.tag}`" in text


def test_the_readme_gives_the_exit_codes_that_help_gives() -> None:
    table = re.findall(r"^\| (\d+) \| (.+) \|$", README.read_text("utf-8"), re.MULTILINE)
    help_lines = re.sub(r"\n {7}", " ", EXIT_CODES)

    assert table == re.findall(r"^  (\d+) +(.+)$", help_lines, re.MULTILINE)


def test_the_tree_in_the_readme_names_every_room_and_nothing_else() -> None:
    named = set(tree(README.read_text(encoding="utf-8")))
    modules = {name for name in committed() if name.startswith("refine_agent/")}
    rooms = {Path(name.split("/")[1]).stem for name in modules if "/__" not in name}

    assert rooms - {"py"} <= {Path(name).stem for name in named}  # py.typed
    assert {name for name in named if not (ROOT / name).exists()} == set()


def tree(readme: str) -> list[str]:
    """Return the paths that the tree names; two spaces deeper is inside what stands above."""
    [drawn] = re.findall(r"```text\n(refine_agent/ .*?)```", readme, re.DOTALL)
    paths: list[str] = []
    above = ""
    for line in drawn.splitlines():
        names, depth = re.split(r"\s{2,}", line.strip())[0], len(line) - len(line.lstrip())
        if depth > 2:  # the second line of a clause
            continue
        found = [name.rstrip("/") for name in names.split(", ")]
        if depth == 0:
            above = found[0]
        paths += found if depth == 0 else [f"{above}/{name}" for name in found]
    return paths


def committed() -> list[str]:
    listed = subprocess.run(
        ("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_every_number_in_the_readme_comes_from_a_recording_or_a_benchmark() -> None:
    measured = script("measured")

    shown = README.read_text(encoding="utf-8").split(measured.BEGIN)[1].split(measured.END)[0]

    assert shown == measured.measured(), "run `python docs/measured.py`"


def test_the_turn_in_the_readme_is_one_that_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [quoted] = re.findall(
        r"```text\n(PREDICTION.*?)```.*?`python -m refine_agent (show [^`]*)`",
        README.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    lines, command = quoted
    shown = CliRunner().invoke(cli, command.split(), catch_exceptions=False).output.splitlines()

    assert set(lines.splitlines()) <= set(shown)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_ships_names_no_folder_of_whoever_wrote_it() -> None:
    """Tests plant such names, to see them masked."""
    for name in committed():
        if name.startswith("tests/") or not (ROOT / name).is_file():
            continue
        found = re.search(rb"(?<![\w.])/(?:home|Users|root|work)/\w+", (ROOT / name).read_bytes())
        assert found is None, f"{name}: {found[0].decode()}"

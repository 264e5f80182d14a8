"""In a notebook a run draws itself below its cell, and a saved notebook shows it without script."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import nbclient
import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Show = Callable[[str], list[dict[str, str]]]

ROOT = Path(__file__).parents[2]

START = """
    import sys
    sys.path.insert(0, {root!r})
    from pathlib import Path
    from refine_agent.notebook import live
    from refine_agent.records import Problem
    from refine_agent.session import Session
    from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source

    session = live(
        Session.start(
            Problem(name="scale", source="class Model: ..."),
            runs=Path("runs"),
            author=ScriptedAuthor([kernel(speedup=1.2), kernel(says="does not build")]),
            bench=ScriptedBench(),
        )
    )
"""


@pytest.fixture(scope="module")
def run_cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    """Run a piece of Python in a kernel that holds a session; return what it shows."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook()
    where = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=60, resources=where)

    def run(code: str) -> list[dict[str, str]]:
        cell = nbformat.v4.new_code_cell(dedent(code))
        notebook.cells.append(cell)
        client.execute_cell(cell, len(notebook.cells) - 1)
        return [output.get("data", {}) for output in cell.outputs]

    with client.setup_kernel():
        run(START.format(root=str(ROOT)))
        yield run


def test_a_turn_is_drawn_in_one_place_while_it_runs_and_then_shows_itself(
    run_cells: Show,
) -> None:
    shown = run_cells("session.step()")
    assert len(shown) == 2, "one live output that was redrawn, one for the turn"
    live, turn = (output["text/html"] for output in shown)
    assert "<svg" in live
    assert "1.20×" in live  # noqa: RUF001 - as it is written
    assert "<b>judge</b>" not in live, "the last picture is of the run, not of a phase"
    assert "Turn 1" in turn
    assert "class ModelNew" in turn
    assert shown[1]["text/plain"].startswith("turn 1: attempts 1")


def test_the_next_cell_draws_below_itself(
    run_cells: Show,
) -> None:
    shown = run_cells("session.step(hint='use both cores')")
    assert "does not build" in shown[0]["text/html"]


def test_a_session_an_attempt_a_page_and_a_difference_show_themselves(
    run_cells: Show,
) -> None:
    run_cells("offered = session.offer(source(speedup=1.5), idea='mine')")
    (session,) = run_cells("session")
    assert "faster than torch.compile" in session["text/html"]
    (attempt,) = run_cells("session.best")
    assert attempt["text/plain"] == "attempt 3 by the engineer: 1.50x (533.3 µs)"
    assert "mine" in attempt["text/html"]
    (page,) = run_cells("session.profile(3)")
    assert "scripted: 533.3" in page["text/html"]
    (difference,) = run_cells("session.diff(1, 3)")
    assert 'class="l added"' in difference["text/html"]
    (frame,) = run_cells("session.frame()[['attempt', 'speedup']]")
    assert "<table" in frame["text/html"]


def test_nothing_that_is_shown_needs_script_or_network(
    run_cells: Show,
) -> None:
    for code in ("session", "session.transcript", "session.best"):
        (shown,) = run_cells(code)
        assert "<script" not in shown["text/html"]
        assert "http://" not in shown["text/html"].replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in shown["text/html"]

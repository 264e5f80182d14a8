"""The notebooks that ship run from beginning to end, and were committed as they ran."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from refine_agent.records import Hinted, Moved, Offered, Vetoed
from refine_agent.transcript import Transcript, runs_in
from tests.notebooks.execute import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples, so that runs and outputs land nowhere else."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


def cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def shown(path: Path) -> Iterator[str]:
    for cell in cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            yield output.get("text", "")
            yield from map(str, output.get("data", {}).values())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_the_outputs_of_one_run(path: Path) -> None:
    assert [cell.execution_count for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    text = "".join(shown(path))
    assert "<svg" in text
    assert "<script" not in text
    for local in ("/home/", "/root/", str(ROOT), tempfile.gettempdir() + "/"):
        assert local not in text
    assert path.stat().st_size < 400_000


def test_the_recorded_pairing_holds_all_that_an_engineer_can_do() -> None:
    recorded = [Transcript.read(path) for path in runs_in(EXAMPLES / "pairing" / "recorded")]
    kinds = {type(event) for run in recorded for event in run.events}
    assert {Hinted, Vetoed, Moved, Offered} <= kinds
    assert [run.started.forked_from is not None for run in recorded] == [False, True]
    assert not any(run.damaged for run in recorded)


def test_reading_a_transcript_runs(copy: Path) -> None:
    execute(copy / "reading_a_transcript.ipynb")
    text = "".join(shown(copy / "reading_a_transcript.ipynb"))
    assert "No -ffast-math here" in text
    assert "#pragma omp simd reduction" in text


@pytest.mark.slow
def test_pairing_runs_against_the_real_bench(copy: Path) -> None:
    execute(copy / "pairing.ipynb")
    first, branch = (Transcript.read(path) for path in runs_in(copy / "runs"))
    verdicts = [type(attempt.verdict).__name__ for attempt in first.attempts]
    assert verdicts == ["Passed", "Mismatch", "Passed", "Passed", "Passed"]
    assert first.attempt(3).veto is not None
    assert first.attempt(4).author == "engineer"
    assert first.best is not None
    assert first.best.sealed is not None
    assert branch.started.forked_from == f"{first.started.run}#4"
    assert "two cores" in (first.prompt_of(2) or pytest.fail("no prompt")).messages[-1].content
    assert (copy / "runs" / "report.html").stat().st_size > 100_000

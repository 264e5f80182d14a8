"""Run a notebook where it lies, and keep its outputs in it.

The tests use it on a copy. ``python tests/notebooks/execute.py`` records both notebooks anew, with
the runs that the second one reads; do it on a machine that does nothing else.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_SECONDS = 900


def execute(path: Path) -> None:
    """Run every cell of a notebook in its own folder, and write its outputs into the file.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=TIMEOUT_SECONDS, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def record() -> None:
    """Run the pairing afresh, keep its runs for the other notebook to read, and run that one."""
    execute(EXAMPLES / "pairing.ipynb")
    kept = EXAMPLES / "pairing" / "recorded"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(EXAMPLES / "runs", kept, ignore=shutil.ignore_patterns(".lock", "*.html"))
    shutil.rmtree(EXAMPLES / "runs")
    execute(EXAMPLES / "reading_a_transcript.ipynb")


if __name__ == "__main__":
    record()

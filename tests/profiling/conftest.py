"""Fixtures of the profiling tests."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The zoo and the recorded evidence are shared by tests, scripts and benchmarks: one import name.
sys.path.insert(0, str(Path(__file__).parents[2]))
HERE = Path(__file__).parent


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with its golden file; REFINE_UPDATE_GOLDEN=1 rewrites the file instead."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / f"{name}.txt"
        if os.environ.get("REFINE_UPDATE_GOLDEN"):
            path.write_text(text + "\n")
        assert path.read_text() == text + "\n"

    return compare

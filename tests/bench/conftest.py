"""A place of its own for each module's temporary files, and with it locks that nobody else holds.

It owns that folder; what is put in it, and that nothing is left there, is the tests' business.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import machine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for temporary files that every user may pass through, and nobody else uses."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where all tests have it
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setattr(machine, "LOCKS", folder)
        yield folder
    shutil.rmtree(folder)

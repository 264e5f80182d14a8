"""The demo: one command, no key and no GPU; recorded answers, and everything else live."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refine_agent.author import default_model
from refine_agent.author.choice import MODEL_VARIABLE, PROVIDERS
from refine_agent.problem import load
from refine_agent.records import Passed
from refine_agent.transcript import Transcript, runs_in

ROOT = Path(__file__).parents[1]
COMMAND = "-m refine_agent optimize examples/layernorm.py --turns 8"
WITHOUT_KEYS = {
    name: value
    for name, value in os.environ.items()
    if name not in {MODEL_VARIABLE, *(provider.variable for provider in PROVIDERS)}
}


def test_make_demo_runs_the_command_that_the_readme_gives() -> None:
    # Under another make, as in CI, make would print the folders it enters and leaves.
    command = ("make", "--no-print-directory", "--dry-run", "demo")
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert planned.stdout.splitlines()[-1].endswith(f"python {COMMAND}")
    assert COMMAND in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> str:
    for name in os.environ.keys() - WITHOUT_KEYS.keys():
        monkeypatch.delenv(name)
    found = default_model(load(ROOT / "examples" / "layernorm.py"), device="cpu")
    if found is None:
        pytest.skip("no recording of examples/layernorm.py on a CPU ships yet")
    return found


@pytest.mark.slow
def test_the_demo_takes_eight_live_turns_and_seals_its_winner(
    recording: str, tmp_path: Path
) -> None:
    command = (sys.executable, *COMMAND.split(), "--device", "cpu", "--runs", str(tmp_path))
    played = subprocess.run(
        command,
        cwd=ROOT,
        env=WITHOUT_KEYS,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )

    # Whether its kernels are faster than PyTorch is this machine's affair, and no error.
    assert played.returncode == 0, played.stdout + played.stderr
    assert recording in played.stdout.splitlines()[0]
    [folder] = runs_in(tmp_path)
    run = Transcript.read(folder)
    assert run.model_turns == 8
    assert [turn.fault for turn in run.turns] == [None] * 8
    assert all(turn.prompt is not None and turn.seconds for turn in run.turns)
    right = [attempt for attempt in run.attempts if attempt.passed is not None]
    assert len(right) > 1, [attempt.verdict for attempt in run.attempts]
    assert all(attempt.page is not None for attempt in right)
    assert run.best is not None
    assert isinstance(run.best.sealed, Passed)

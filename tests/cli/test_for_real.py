"""The command line with nothing scripted but the answers: real builds, judge, timing, profile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from refine_agent.records import Passed, Replied
from refine_agent.transcript import Transcript, TranscriptError, runs_in

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROBLEM = """
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2.0 + 1.0


def get_inputs():
    return [torch.randn(512, 1024)]


def get_init_inputs():
    return []
"""
KERNEL = '''
import torch
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>

torch::Tensor forward(torch::Tensor x) {
  auto y = torch::empty_like(x);
  const float* in = x.data_ptr<float>();
  float* out = y.data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) out[i] = (in[i] > 0.f ? in[i] : 0.f) * 2.f + 1.f;
  return y;
}
"""
extension = load_inline(name="fused", cpp_sources=SOURCE, functions=["forward"])


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return extension.forward(x)
'''
REFINE_AGENT = (sys.executable, "-m", "refine_agent")
QUICK = ("--no-compile-baseline", "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scale.py").write_text(PROBLEM)
    (tmp_path / "kernel.py").write_text(KERNEL)
    (tmp_path / "answers").mkdir()
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}


def refine_agent(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REFINE_AGENT, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def answer(folder: Path, turn: int, kernel: str) -> None:
    text = f"IDEA: one fused pass\n\n```python\n{kernel}```\n"
    (folder / "answers" / f"turn_{turn}.md").write_text(text)


def test_one_file_is_judged_timed_and_profiled_without_a_model(folder: Path) -> None:
    done = refine_agent(
        folder, "evaluate", "scale.py", "kernel.py", *QUICK, "--target", "1e6", "--json"
    )

    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["event"] == "evaluated", done.stderr
    assert found["verdict"]["verdict"] == "Passed"
    assert found["verdict"]["timing"]["median_us"] > 0
    page = "\n".join(found["page"]["lines"])
    assert "unoptimised" in page
    assert "LOOPS  compiled with no flags" in page
    assert "THREADS  CPU time a call: " in page
    assert done.returncode == 1  # right, but nothing is a million times faster


def test_a_wrong_kernel_is_told_where_it_is_wrong(folder: Path) -> None:
    (folder / "wrong.py").write_text(KERNEL.replace("x.numel()", "x.numel() - 7"))

    done = refine_agent(folder, "evaluate", "scale.py", "wrong.py", *QUICK)

    assert done.returncode == 1
    assert "wrong:" in done.stdout


def test_a_run_waits_for_its_answer_and_ends_with_a_sealed_kernel(folder: Path) -> None:
    asked = refine_agent(
        folder, "optimize", "scale.py", "--model", "script:answers", "--turns", "1", *QUICK
    )
    assert asked.returncode == 5, asked.stderr
    assert "turn_1.md" in asked.stdout
    answer(folder, 1, KERNEL)

    done = refine_agent(folder, "resume", "last")

    run = Transcript.read(runs_in(folder / "transcripts")[0])
    assert done.returncode == 0, done.stderr
    assert run.best is not None
    assert isinstance(run.best.sealed, Passed)
    assert run.best.page is not None
    assert re.search(r"^sealed +yes", done.stdout, re.MULTILINE)


def test_kill_9_while_judging_loses_no_reply_and_the_next_process_finishes(folder: Path) -> None:
    answer(folder, 1, KERNEL)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "refine_agent",
            "optimize",
            "scale.py",
            "--turns",
            "1",
            "--model",
            "script:answers",
            *QUICK,
        ],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _until_replied(folder / "transcripts")
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / "answers" / "turn_1.md").unlink()

    done = refine_agent(folder, "resume", "last")

    run = Transcript.read(runs_in(folder / "transcripts")[0])
    assert done.returncode == 0, done.stderr
    assert sum(isinstance(event, Replied) for event in run.events) == 1
    assert [attempt.passed is not None for attempt in run.attempts] == [True]


def _until_replied(runs: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for run in runs_in(runs):
            try:
                events = Transcript.read(run).events
            except TranscriptError:
                continue  # its first line is being written
            if any(isinstance(event, Replied) for event in events):
                return
        time.sleep(0.05)
    raise AssertionError("no reply was recorded")

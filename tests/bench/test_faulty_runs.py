"""Runs in which nearly everything misbehaves: the loop goes on, and verdicts are written down."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench, machine
from refine_agent.judge.layers import Layers
from refine_agent.judge.seats import DEADLINES, Deadlines
from refine_agent.loop import BenchFault, Quiet
from refine_agent.records import Budget, Failed, Options, Passed
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor
from refine_agent.transcript import Transcript
from tests.bench.misbehaviours import HONEST, LITTLE, MISBEHAVIOURS, PROBLEM, SHORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = Options(device="cpu", compile_baseline=False, profile="off", budget=Budget(turns=8))
EXTENSION = '''
import torch
from torch.utils.cpp_extension import load_inline

SOURCE = """
#include <torch/extension.h>
torch::Tensor twice(torch::Tensor x) {
  auto y = torch::empty_like(x);
  for (int64_t i = 0; i < x.numel(); ++i)
    y.data_ptr<float>()[i] = 2 * x.data_ptr<float>()[i] + 1;
  return y;
}
"""
extension = load_inline("twice", cpp_sources=SOURCE, functions=["twice"])


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return extension.twice(x)
'''


def reply(source: str) -> str:
    return f"IDEA: try something\n\n```python\n{source}```\n"


@contextmanager
def session(
    folder: Path,
    *sources: str,
    cache: Path | None = None,
    options: Options = OPTIONS,
    deadlines: Deadlines = SHORT,
) -> Iterator[Session]:
    """A run whose author says what it is told to, on a real bench with short deadlines."""
    bench = LocalBench(PROBLEM, options, folder, cache=cache, deadlines=deadlines, bounds=LITTLE)
    author = ScriptedAuthor([reply(source) for source in sources])
    with bench:
        opened = Session.start(PROBLEM, options=options, runs=folder, author=author, bench=bench)
        yield opened
        opened.close()


def test_a_run_of_misbehaviours_ends_with_the_honest_kernel_sealed(tmp_path: Path) -> None:
    names = [
        "hangs in a call",
        "reads a null pointer",
        "prints ten gigabytes",
        "is a fork bomb",
        "writes noise to every socket",
        "raises at great length",
        "writes its input",
    ]
    with session(tmp_path, *(MISBEHAVIOURS[name][0] for name in names), HONEST) as run:
        run.run()

    written = Transcript.read(run.transcript.folder)
    for name, attempt in zip(names, written.attempts, strict=False):
        assert isinstance(attempt.verdict, MISBEHAVIOURS[name][1]), name
        assert attempt.speedup == 0.0
    assert written.best is not None
    assert written.best.number == len(names) + 1
    assert isinstance(written.best.sealed, Passed)
    assert not [event for event in written.events if isinstance(event, Failed)]
    assert written.stopped is not None
    assert written.stopped.reason == "8 of 8 turns taken"


def test_a_judge_that_keeps_dying_is_a_fault_of_the_machine_and_never_a_score(
    tmp_path: Path,
) -> None:
    with session(tmp_path, HONEST) as run, judges_killed(run):
        with pytest.raises(BenchFault, match="the judge's process ended"):
            run.run()
        written = Transcript.read(run.transcript.folder)

    assert [event.fault for event in written.events if isinstance(event, Failed)]
    assert [attempt.verdict for attempt in written.attempts] == [None]
    assert written.best is None


def bench_of(run: Session) -> LocalBench:
    assert isinstance(run._bench, LocalBench)
    return run._bench


@contextmanager
def judges_killed(run: Session) -> Iterator[None]:
    """Kill every judge as soon as it is given a candidate."""
    bench = bench_of(run)
    bench.measure(PROBLEM, Quiet())
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            line = bench._line
            if line is not None and bench._setup is not None:
                with suppress(ProcessLookupError):
                    os.kill(line.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def test_a_machine_that_cannot_build_blames_no_candidate_and_the_run_goes_on_when_it_can(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    with session(tmp_path, EXTENSION, cache=copy_of_the_cache(cache), deadlines=DEADLINES) as run:
        bench_of(run).measure(PROBLEM, Quiet())
        (cache / "making").rename(tmp_path / "making")
        (cache / "making").write_text("in the way")
        with pytest.raises(BenchFault, match="cannot build"):
            run.run(turns=1)
        assert run.transcript.attempts[0].verdict is None
        (cache / "making").unlink()
        (tmp_path / "making").rename(cache / "making")

        run.run(turns=1)

    verdict = run.transcript.attempts[0].verdict
    assert isinstance(verdict, Passed), verdict


def copy_of_the_cache(cache: Path) -> Path:
    """Prepare nothing twice: the compilers' own probing takes longer than this test."""
    found = machine.cache_folder()
    subprocess.run(["cp", "-al", str(found), str(cache)], check=True)
    return cache


def test_require_sandbox_runs_where_the_full_fence_is_reached_and_records_it(
    tmp_path: Path,
) -> None:
    options = Options(device="cpu", compile_baseline=False, profile="off", require_sandbox=True)
    with session(tmp_path, HONEST, options=options) as run:
        run.run(turns=1)

    assert run.transcript.setup is not None
    assert (run.transcript.setup.environment.fence or "").startswith("Landlock ABI")
    verdict = run.transcript.attempts[0].verdict
    assert verdict is not None
    assert (verdict.fence or "").startswith("Landlock ABI")


def test_require_sandbox_refuses_in_one_sentence_where_the_fence_is_not_reached(
    tmp_path: Path,
) -> None:
    options = Options(device="cpu", compile_baseline=False, profile="off", require_sandbox=True)
    with LocalBench(PROBLEM, options, tmp_path) as bench:
        bench.layers = Layers(fence=False)
        with pytest.raises(BenchFault, match=r"limits only.*leave the option out$") as refusal:
            bench.measure(PROBLEM, Quiet())

    assert "\n" not in str(refusal.value)

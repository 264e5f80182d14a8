"""While the model thinks the best kernel is rebuilt for its seal, and never beside a trial."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench
from refine_agent.loop import Quiet
from refine_agent.records import Candidate, Options, Passed
from tests.bench.misbehaviours import PROBLEM
from tests.bench.test_faulty_runs import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPTIONS = Options(device="cpu", compile_baseline=False, profile="off")
# No cache has seen it.
CANDIDATE = Candidate(source=EXTENSION.replace("2 * x", f"2 /* {secrets.token_hex(4)} */ * x"))
# Torch's own build takes half a minute on two cores, and several times that on busy ones.
DEADLINE_S = 400.0


@pytest.fixture(scope="module")
def bench(temporary: Path) -> Iterator[LocalBench]:
    with LocalBench(PROBLEM, OPTIONS, temporary) as bench:
        bench.measure(PROBLEM, Quiet())
        yield bench


def wait_until(met: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < ends
        time.sleep(0.1)


def compilers() -> set[Path]:
    """Every compiler that reads C++ for a process that descends from this one."""
    told = {
        process: stat_of(process) for process in Path("/proc").iterdir() if process.name.isdigit()
    }
    parents = {process.name: stat[1] for process, stat in told.items() if stat}

    def is_ours(pid: str) -> bool:
        while pid in parents and pid != str(os.getpid()):
            pid = parents[pid]
        return pid == str(os.getpid())

    return {each for each, stat in told.items() if "cc1plus" in stat[:1] and is_ours(each.name)}


def stat_of(process: Path) -> tuple[str, ...]:
    """Its name and its parent's number; nothing if it is gone."""
    try:
        name, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return ()
    return (name, rest.split()[1])


def test_an_answer_ends_it_before_anything_is_judged(bench: LocalBench) -> None:
    before = compilers()
    with bench.meanwhile(CANDIDATE):
        wait_until(lambda: bool(compilers() - before))

    assert not compilers() - before
    assert CANDIDATE.digest not in bench._rebuilt


def test_an_answer_that_is_there_at_once_starts_nothing(bench: LocalBench) -> None:
    assert bench._nursery is not None
    before = dict(bench._nursery._workers)
    with bench.meanwhile(CANDIDATE):
        pass

    assert bench._nursery._workers == before


def test_what_was_rebuilt_while_a_model_thought_is_not_built_again(bench: LocalBench) -> None:
    with bench.meanwhile(CANDIDATE):
        wait_until(lambda: CANDIDATE.digest in bench._rebuilt)
    assert not compilers()
    sealed = bench.seal(CANDIDATE, Quiet())

    assert isinstance(sealed, Passed), sealed
    assert sealed.flavour == "stock"
    took = {phase.name: phase.seconds for phase in sealed.phases}
    assert took["build"] < 10  # it was found

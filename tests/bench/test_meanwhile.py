"""While the model thinks the best kernel is rebuilt for its seal, and never beside a trial."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench
from refine_agent.bench.machine import cache_folder
from refine_agent.loop import Quiet
from refine_agent.records import Candidate, Options, Passed
from refine_agent.worker.census import everybody
from tests.bench.leftovers import folder_of
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


def compilers() -> set[int]:
    """Every compiler that reads C++ below the cache of these tests, whoever its parent is."""
    cache = cache_folder().resolve()
    working = [pid for pid in everybody() if folder_of(pid).is_relative_to(cache)]
    return {pid for pid in working if name_of(pid) == "cc1plus"}


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


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

"""Every bug planted in a right candidate is found, and the candidate without it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import IN_TURNS, LocalBench
from refine_agent.judge.layers import Layers
from refine_agent.loop import Quiet
from refine_agent.records import (
    AnyVerdict,
    Candidate,
    Disqualified,
    Mismatch,
    Options,
    Passed,
    Problem,
)
from tests.judge.planted import ALL, Bug

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = Options(device="cpu", compile_baseline=False, profile="off")
BUGS = [(name, bug) for name, planted in ALL.items() for bug in planted.bugs]
NAMES = [f"{name}: {bug.name}" for name, bug in BUGS]


@pytest.fixture(scope="module")
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBench]:
    problem = Problem(name="planted", source=ALL[request.param].problem)
    with LocalBench(problem, OPTIONS, tmp_path_factory.mktemp("run"), deadlines=IN_TURNS) as bench:
        bench.measure(problem, Quiet())
        yield bench


def judged(bench: LocalBench, source: str, layers: Layers | None = None) -> AnyVerdict:
    bench.layers = layers or Layers()
    candidate = Candidate(source=source)
    return bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())


# By module: one bench for all that is tried on a problem.
@pytest.mark.parametrize(
    ("bench", "name"), [(name, name) for name in ALL], indirect=["bench"], scope="module"
)
def test_the_candidate_without_a_bug_passes(bench: LocalBench, name: str) -> None:
    verdict = judged(bench, ALL[name].candidate)

    assert isinstance(verdict, Passed), verdict


@pytest.mark.parametrize(("bench", "bug"), BUGS, indirect=["bench"], ids=NAMES, scope="module")
def test_every_planted_bug_is_found(
    bench: LocalBench, bug: Bug, request: pytest.FixtureRequest
) -> None:
    source = ALL[request.node.callspec.params["bench"]].with_bug(bug)

    verdict = judged(bench, source)

    # What is written after the answer is found by its bytes or by its lateness.
    late = (Disqualified,) if "not waited for" in bug.name else ()
    assert isinstance(verdict, (Mismatch, *late)), verdict


def test_there_are_enough_of_them_on_enough_problems() -> None:
    assert len(ALL) >= 4
    assert len(set(NAMES)) >= 40

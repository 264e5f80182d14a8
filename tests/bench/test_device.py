"""Who works on the device waits for it, and lets go of it when nothing works there any more."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench, machine
from refine_agent.loop import Quiet, aside
from refine_agent.records import Candidate, Options, Passed
from tests.bench.leftovers import candidates_alive, verdict_on
from tests.bench.misbehaviours import HONEST, PROBLEM, SHORT, at_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPTIONS = Options(device="cpu", compile_baseline=False, profile="off")
PATIENCE_S = 60.0
WORK = {
    "a trace": lambda bench: bench.trace(Candidate(source=HONEST), bench.spawn_tracer()),
    "a witness": lambda bench: bench._seat("eager"),
    "a problem": lambda bench: bench._open(),
}
# It is let go and does not go: a process ends with this call.
IGNORES_ITS_FAREWELL = at_import("os._exit = lambda code: time.sleep(1000)")


@pytest.fixture(scope="module")
def bench(temporary: Path) -> Iterator[LocalBench]:
    with LocalBench(PROBLEM, OPTIONS, temporary, deadlines=SHORT) as bench:
        bench.measure(PROBLEM, Quiet())
        yield bench


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_what_works_on_the_device_waits_while_another_run_has_it(
    bench: LocalBench, work: Callable[[LocalBench], object]
) -> None:
    began, ended = time.monotonic(), threading.Event()
    work(bench)
    usual_s = time.monotonic() - began
    with machine.device_lock("cpu"):
        doing = aside(lambda: work(bench))
        doing.add_done_callback(lambda _: ended.set())
        assert not ended.wait(2 * usual_s)

    doing.result(PATIENCE_S)
    bench._seat_witnesses()  # a problem that is opened anew has none


def test_the_device_is_let_go_when_nothing_of_the_candidate_runs_any_more(
    bench: LocalBench,
) -> None:
    trial = aside(lambda: verdict_on(bench, IGNORES_ITS_FAREWELL))
    while not bench._has_device:
        time.sleep(0.001)
    with machine.device_lock("cpu"):
        alive = candidates_alive(bench)

    assert alive == []
    assert isinstance(trial.result(PATIENCE_S), Passed)

"""Two runs on one machine: one times at a time, and on few cores nobody compiles beside it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

HOLD = """
import sys
import tempfile
from refine_agent.bench import machine
machine.FEW_CORES = 1 << 20
with machine.{lock}:
    print("held", flush=True)
    sys.stdin.readline()
"""
PATIENCE_S, MOMENT_S = 20.0, 0.3


@pytest.fixture(autouse=True)
def few_cores(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(machine, "FEW_CORES", 1 << 20)
    folder = str(tmp_path_factory.mktemp("locks"))
    monkeypatch.setenv("TMPDIR", folder)  # for the other run
    monkeypatch.setattr(tempfile, "tempdir", folder)  # for this one


@contextmanager
def another_run(lock: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock in another process until a line is written to it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(lock=lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        yield run
        run.kill()


def taken(lock: AbstractContextManager[None]) -> threading.Event:
    """Take a lock on a thread; the event is set once it is ours."""
    ours = threading.Event()

    def take() -> None:
        with lock:
            ours.set()

    threading.Thread(target=take, daemon=True).start()
    return ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("device_lock('gpu')", machine.device_lock("gpu")),
        ("device_lock('gpu')", machine.build_lock()),
        ("build_lock()", machine.device_lock("gpu")),
    ],
    ids=["timing waits for timing", "a build waits for timing", "timing waits for a build"],
)
def test_what_would_disturb_a_timing_waits(theirs: str, ours: AbstractContextManager[None]) -> None:
    with another_run(theirs) as other:
        mine = taken(ours)
        assert not mine.wait(MOMENT_S)

        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()

        assert mine.wait(PATIENCE_S)


def test_builds_of_two_runs_go_side_by_side() -> None:
    with another_run("build_lock()"):
        assert taken(machine.build_lock()).wait(PATIENCE_S)


def test_a_run_that_is_killed_lets_go() -> None:
    with another_run("device_lock('gpu')") as other:
        mine = taken(machine.device_lock("gpu"))
        other.kill()

        assert mine.wait(PATIENCE_S)


def test_where_cores_are_many_a_build_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_run("device_lock('gpu')"):
        monkeypatch.setattr(machine, "FEW_CORES", 0)

        assert taken(machine.build_lock()).wait(PATIENCE_S)


def test_whoever_has_to_wait_for_the_device_is_told_so_and_nobody_else() -> None:
    told = threading.Event()
    with another_run("device_lock('gpu')") as other:
        mine = taken(machine.device_lock("gpu", on_wait=told.set))
        assert told.wait(PATIENCE_S)
        other.kill()
        assert mine.wait(PATIENCE_S)

    told.clear()
    assert taken(machine.device_lock("elsewhere", on_wait=told.set)).wait(PATIENCE_S)
    assert not told.is_set()

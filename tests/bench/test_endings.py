"""What an ending means, told by the exit status that only a parent sees."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from refine_agent import wire
from refine_agent.bench.endings import explain
from refine_agent.bench.processes import run_fenced, run_trusted, start_profiled
from refine_agent.builder.records import Rejected
from refine_agent.records import BuildFailed, Crashed, TimedOut
from refine_agent.worker import stub
from refine_agent.worker.fence import Rules

GONE = Crashed(during="check", reason="the other side closed the channel")


def test_a_signal_is_named() -> None:
    verdict = explain(GONE, status=signal.SIGSEGV, output="", rejected=None)

    assert isinstance(verdict, Crashed)
    assert "SIGSEGV" in verdict.reason


def test_the_last_words_are_kept() -> None:
    verdict = explain(GONE, status=1 << 8, output="kernel panic on line 3", rejected=None)

    assert isinstance(verdict, Crashed)
    assert "exit code 1" in verdict.reason
    assert verdict.log == "kernel panic on line 3"


def test_whoever_left_is_told_by_its_exit_status_however_that_was_noticed() -> None:
    ours, theirs = map(wire.Channel, wire.Channel.pair())
    theirs.close()
    with pytest.raises(wire.Broken) as hearing:
        ours.receive()
    with pytest.raises(wire.Broken) as telling:
        ours.send(wire.Bye())
    ours.close()

    for why in (hearing, telling):
        broken = Crashed(during="check", reason=str(why.value))
        verdict = explain(broken, status=0, output="", rejected=None)
        assert isinstance(verdict, Crashed)
        assert "ended itself with exit code 0" in verdict.reason


def test_an_error_of_torchs_about_channels_stays_what_it_says() -> None:
    try:
        torch.nn.Conv2d(4, 8, 3)(torch.zeros(1, 3, 8, 8))
    except RuntimeError as why:
        said = stub._raised(why)
    raised = Crashed(during="check", reason=said.error, log=said.trace)

    assert "to have 4 channels" in raised.reason
    assert explain(raised, status=0, output="", rejected=None) == raised


def test_what_the_compiler_refused_is_a_failed_build_and_no_crash() -> None:
    raised = Crashed(during="load", reason="RuntimeError: Error building extension 'k'")
    refused = Rejected(log="error: expected ';'", seconds=1.0, flavour="light")

    verdict = explain(raised, status=None, output="", rejected=refused)

    assert isinstance(verdict, BuildFailed)
    assert verdict.log == "error: expected ';'"


def test_another_verdict_is_left_as_it_is() -> None:
    late = TimedOut(during="check", seconds=60)

    assert explain(late, status=signal.SIGKILL, output="x", rejected=None) == late


def test_a_traceback_tells_no_folder_of_this_machine() -> None:
    try:
        torch.nn.Linear(3, 2)(torch.zeros(2, 2))
    except RuntimeError as why:
        said = stub._raised(why)

    assert 'File "tests/bench/test_endings.py"' in said.trace
    assert str(Path.cwd()) not in said.trace
    assert str(Path(torch.__file__).parents[1]) not in said.trace


def test_a_device_without_room_is_called_that_although_torch_may_not_ask_who_fills_it() -> None:
    nvml = "NVML_SUCCESS == DriverAPI::get()->nvmlInit_v2_() INTERNAL ASSERT FAILED at somewhere"

    assert "CUDA out of memory" in stub._raised(RuntimeError(nvml)).error
    assert "ask for less" in stub._raised(RuntimeError(nvml)).error
    assert "memory" not in stub._raised(RuntimeError("nvmlInit failed")).error


@pytest.mark.parametrize("at_once", [True, False])
def test_a_process_under_a_tool_ends_well_when_it_is_let_go(
    tmp_path: Path,
    at_once: bool,  # noqa: FBT001 - a parameter
) -> None:
    inside = tmp_path / "work"
    inside.mkdir()
    child, builds = start_profiled(
        lambda inner: inner,
        tmp_path,
        tmp_path / "out",
        rules=Rules(folder=str(inside), readable=(), writable=(str(tmp_path),)),
        ends_at_once=at_once,
    )
    channel = wire.Channel(child.sock)

    assert isinstance(channel.receive(), wire.Ready)
    channel.send(wire.Bye())
    assert child.process.wait(30) == 0
    assert (tmp_path / "out").read_text() == ""
    builds.close()
    child.close()


@pytest.mark.parametrize(("mebibytes", "written"), [(512, True), (513, False)])
def test_no_file_that_a_compiler_writes_fills_a_disk(
    mebibytes: int,
    written: bool,  # noqa: FBT001 - a parameter
    tmp_path: Path,
) -> None:
    write = [shutil.which("truncate") or "", "--size", f"{mebibytes}M", "ext.so"]
    done = run_fenced(write, cwd=tmp_path, env={}, deadline_s=20.0)

    assert (done.exit_code == 0) is written, done.output


def test_a_compiler_that_nobody_waits_for_any_more_is_ended_at_once(tmp_path: Path) -> None:
    began, nobody = time.monotonic(), threading.Event()
    threading.Timer(0.2, nobody.set).start()
    done = run_trusted(
        ["sleep", "30"], cwd=tmp_path, env=os.environ, deadline_s=60.0, abandoned=nobody.is_set
    )

    assert done.exit_code is None
    assert time.monotonic() - began < 5.0

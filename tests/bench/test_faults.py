"""Forty kinds of misbehaviour in a row on one bench, each with its verdict, and it goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from refine_agent import arena, wire
from refine_agent.bench import LocalBench, origins
from refine_agent.bench.users import Users
from refine_agent.judge.seats import Seat, Unready
from refine_agent.loop import BenchFault, Quiet
from refine_agent.records import Crashed, Options, Passed
from tests.bench.leftovers import candidates_alive, verdict_on
from tests.bench.misbehaviours import HONEST, LITTLE, MISBEHAVIOURS, PROBLEM, SHORT, forward

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.bench.warden import Bounds
    from refine_agent.judge.seats import Deadlines

# The longest deadline, the start of a worker and its end, on a machine that does other work too.
BOUND_S = 30.0


@pytest.fixture(scope="module")
def bench(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBench]:
    with opened(tmp_path_factory.mktemp("faults"), bounds=LITTLE) as bench:
        yield bench
    assert not list(temporary.glob("refine_agent-*/"))


@contextlib.contextmanager
def opened(
    folder: Path, bounds: Bounds | None = None, deadlines: Deadlines = SHORT
) -> Iterator[LocalBench]:
    options = Options(device="cpu", compile_baseline=False, profile="off")
    with LocalBench(PROBLEM, options, folder, deadlines=deadlines, bounds=bounds) as bench:
        bench.measure(PROBLEM, Quiet())
        yield bench


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_every_misbehaviour_has_its_verdict_in_bounded_time_and_leaves_nothing(
    bench: LocalBench, name: str
) -> None:
    source, expected = MISBEHAVIOURS[name]
    folders = set(bench.home.glob("start*/*"))
    began = time.monotonic()

    verdict = verdict_on(bench, source)

    assert isinstance(verdict, expected), verdict
    assert time.monotonic() - began < BOUND_S
    if isinstance(verdict, Crashed):
        assert len(verdict.reason) <= 2000
        assert len(verdict.log) <= 8000
    assert set(bench.home.glob("start*/*")) == folders
    assert candidates_alive(bench) == []


def test_after_all_of_them_an_honest_candidate_passes(bench: LocalBench) -> None:
    assert isinstance(verdict_on(bench, HONEST), Passed)


@pytest.mark.parametrize("how", ["fills the disk", "hides what it writes"])
def test_who_takes_too_much_of_the_disk_is_told_how_much(bench: LocalBench, how: str) -> None:
    verdict = verdict_on(bench, MISBEHAVIOURS[how][0])

    assert isinstance(verdict, Crashed)
    assert "GB to the disk" in verdict.reason


EATS = MISBEHAVIOURS["eats memory"][0]
EATS_IN = {
    "itself": EATS,
    "a child of a thread's": forward(
        """
def eat():
    if os.fork() == 0:
        hoard = []
        while True: hoard.append(b"x" * 64_000_000)
    time.sleep(1000)
threading.Thread(target=eat).start()
time.sleep(1000)"""
    ),
    "files that lie nowhere": forward(
        """
for _ in range(80):
    os.write(os.memfd_create("hoard"), b"x" * 64_000_000)
time.sleep(1000)"""
    ),
    "pages that it shares": forward(
        """
import mmap
hoard = [mmap.mmap(-1, 64_000_000) for _ in range(80)]
for each in hoard:
    each.write(b"x" * 64_000_000)
time.sleep(1000)"""
    ),
    "a daemon": forward(
        """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        hoard = []
        while True: hoard.append(b"x" * 64_000_000)
    os._exit(0)
time.sleep(1000)"""
    ),
}


@pytest.mark.parametrize("where", EATS_IN)
def test_who_takes_too_much_memory_is_told_how_much(tmp_path: Path, where: str) -> None:
    if where == "a daemon" and os.geteuid() != 0:
        pytest.skip("whose daemon it is cannot be told without users of their own")
    # A virtual machine that has given its memory back to its host is lent 0.4 GB of it a second.
    with opened(tmp_path, LITTLE, replace(SHORT, calls_s=BOUND_S)) as bench:
        verdict = verdict_on(bench, EATS_IN[where])

    assert isinstance(verdict, Crashed)
    assert "GB of memory" in verdict.reason


def test_who_makes_files_without_end_is_told_so(bench: LocalBench) -> None:
    verdict = verdict_on(
        bench,
        forward("for n in range(10**9):\n    os.makedirs(f'{n // 9}/{n}')\ntime.sleep(1000)"),
    )

    assert isinstance(verdict, Crashed)
    assert "20,000 files" in verdict.reason


@pytest.mark.parametrize("victim", ["judge", "nursery"])
def test_a_killed_process_of_ours_is_started_anew_and_the_verdict_comes(
    bench: LocalBench, victim: str
) -> None:
    assert bench._line is not None
    assert bench._nursery is not None
    pid = bench._line.pid if victim == "judge" else bench._nursery.pid
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()

    verdicts = [verdict_on(bench, HONEST + f"# {victim} {number}") for number in range(2)]

    assert not Path(f"/proc/{pid}/cwd").exists()
    assert all(isinstance(verdict, Passed) for verdict in verdicts), verdicts


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_the_candidates_fault_or_the_machines_whoever_filled_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk() as disk, monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(disk))
        with opened(tmp_path) as bench:
            by_candidate = verdict_on(bench, MISBEHAVIOURS["fills the disk"][0])
            afterwards = verdict_on(bench, HONEST)
            (disk / "somebody's").write_bytes(bytes(shutil.disk_usage(disk).free - (1 << 20)))
            with pytest.raises(BenchFault, match=r"is full .* resume$"):
                verdict_on(bench, HONEST + "# 2")
            (disk / "somebody's").unlink()
            with_room = verdict_on(bench, HONEST + "# 3")

    assert isinstance(by_candidate, Crashed)
    assert isinstance(afterwards, Passed)
    assert isinstance(with_room, Passed)


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    disk = Path(tempfile.mkdtemp(prefix="disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=711", "none", str(disk)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        disk.rmdir()
        pytest.skip("this machine lets nobody mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


CRAMPED = """
import resource, socket, sys
from refine_agent import wire
from refine_agent.worker import stub
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (1 << 30),) * 2)
ours = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:]]
orders, builds = (wire.Channel(each, takes_fds=True) for each in ours)
stub.serve(orders, builds)
"""


def test_a_process_that_gets_no_memory_before_it_reads_a_candidate_blames_no_candidate() -> None:
    (ours, orders), (mine, builds) = wire.Channel.pair(), wire.Channel.pair()
    fds = (orders.fileno(), builds.fileno())
    worker = subprocess.Popen(
        [sys.executable, "-c", CRAMPED, *map(str, fds)], pass_fds=fds, stderr=subprocess.DEVNULL
    )
    for end in (orders, builds):
        end.close()
    layout = wire.Layout(inputs=(), outputs=(), arguments=[], results=[], slot_bytes=0)

    seat = Seat(wire.Channel(ours), "candidate")

    with pytest.raises(Unready, match=r"memory.*end what else uses that memory$") as why:
        seat.map(arena.allocate("cpu", 8 << 30), layout, 1)
    seat.close()
    mine.close()

    assert "\n" not in str(why.value)
    assert worker.wait(20) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives candidates users of their own")
def test_two_runs_never_share_a_user() -> None:
    first, second = Users.claim(), Users.claim()

    assert not set(first.ids) & set(second.ids)
    assert first.take() != first.take()

    second.give_back()
    third = Users.claim()
    assert third.ids == second.ids
    first.give_back()
    third.give_back()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives candidates users of their own")
def test_what_still_runs_as_one_of_a_runs_users_ends_with_the_run() -> None:
    users = Users.claim()
    daemon = subprocess.Popen(["sleep", "1000"], user=users.take())

    users.give_back()

    assert daemon.wait(5) == -signal.SIGKILL


def test_a_message_nested_deeper_than_anyone_reads_breaks_its_channel_and_nothing_else() -> None:
    ours, theirs = wire.Channel.pair()
    body = b"\x82\xa1m\xa4done\xa2zz" + b"\x91" * 100_000 + b"\x01"
    theirs.sendall(struct.pack("!I", len(body)) + body)

    with pytest.raises(wire.Broken, match="does not keep to the protocol"):
        wire.Channel(ours).receive()
    theirs.close()
    ours.close()


def test_descriptors_that_nobody_asked_for_are_closed_as_they_come() -> None:
    ours, theirs = wire.Channel.pair()
    body = msgspec.msgpack.encode(wire.BuildAsked(request=b"{}"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    channel = wire.Channel(ours)
    for _ in range(20):
        socket.send_fds(theirs, [struct.pack("!I", len(body)) + body], [theirs.fileno()] * 4)
        assert isinstance(channel.receive(), wire.BuildAsked)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    theirs.close()
    ours.close()


@pytest.mark.parametrize("microseconds", ["1e308", "-5", "1e13"])
def test_times_that_no_call_takes_are_nobodys_share(microseconds: str) -> None:
    row = f'{{"name": "a", "duration_us": {microseconds}}}'
    rows = f'{{"kernels": [{row}, {row}]}}'.encode()

    assert origins.shares(rows, "", call_us=10.0) == ()
    assert origins.shares(rows.replace(microseconds.encode(), b"5"), "", call_us=10.0)


def test_a_call_of_which_no_kernel_was_seen_on_a_gpu_is_nobodys() -> None:
    nothing = b'{"calls":3,"kernels":[],"operators":[]}'

    assert origins.shares(nothing, "__global__ void k() {}", call_us=None) == ()
    assert origins.unless_authored(()) is not None
    assert origins.shares(nothing, "", call_us=10.0)[0].origin == "authored"  # a CPU's own loops

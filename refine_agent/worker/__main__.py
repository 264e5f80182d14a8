"""The nursery: a process that has imported torch, never touched CUDA, and forks workers.

It owns forking, the fence's entrance and reaping; it runs no candidate code itself, and the bench
at the other end of its channel decides who is born, who is ended, and what an ending means.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

import msgspec

from refine_agent import wire
from refine_agent.worker import fence
from refine_agent.worker.census import running_as
from refine_agent.worker.nursery import Born, End, Ended, Exited, NurseryChannel, Spawn

_PR_SET_CHILD_SUBREAPER = 36
DYING_DEADLINE_S = 8.0


def main() -> None:
    """Serve the bench on the socket whose number is the only argument."""
    channel = NurseryChannel(socket.socket(fileno=int(sys.argv[1])), takes_fds=True)
    # Orphans of a candidate come here instead of to init, so that none escapes its end.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Libraries start idle threads at import; no lock of theirs is held while this loop forks.
    warnings.filterwarnings(
        "ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning
    )
    sees_cuda = _import_ahead()
    channel.send(Born(pid=os.getpid(), level="cuda" if sees_cuda else "cpu"))
    _serve(channel)


def _import_ahead() -> bool:
    """Import what every worker needs, so that a fork starts with it; say whether there is a GPU.

    With PYTORCH_NVML_BASED_CUDA_CHECK set, asking does not initialise CUDA.
    """
    cores = os.sched_getaffinity(0)
    import torch  # noqa: PLC0415 - after the channel stands
    import torch.utils.cpp_extension  # noqa: PLC0415

    from refine_agent.worker import stub  # noqa: PLC0415

    # OpenMP's other threads get a core each (``THREADS`` in the bench); whoever loads it is pinned
    # as well, and what a pinned thread starts would share that one core.
    os.sched_setaffinity(0, cores)
    sees_cuda = torch.version.cuda is not None and torch.cuda.is_available()
    if torch.cuda.is_initialized():
        raise RuntimeError("CUDA was initialised before the fork; no worker could use it")
    _ = stub
    return sees_cuda


def _serve(channel: NurseryChannel) -> None:
    children: dict[int, int] = {}  # pidfd -> pid
    while True:
        ready, _, _ = select.select([channel.fileno(), *children], [], [], 1.0)
        for pidfd in [fd for fd in ready if fd in children]:
            _reap(channel, children.pop(pidfd), pidfd)
        _reap_orphans(set(children.values()))
        if channel.fileno() not in ready and not channel.buffered:
            continue
        try:
            message = channel.receive()
        except wire.Broken:
            for pid in children.values():
                _end(pid, None)
            return
        match message:
            case Spawn():
                fds = tuple(channel.take_fd() for _ in range(3))
                pid = _fork(message, fds, channel)
                children[os.pidfd_open(pid)] = pid
                for fd in fds:
                    os.close(fd)
                channel.send(Born(pid=pid, level=""))
            case End():
                _end(message.pid, message.uid)
                _kill_orphans(set(children.values()))
                if _gone(message.uid):  # else the bench waits in vain, and says so
                    channel.send(Ended(pid=message.pid))


def _fork(message: Spawn, fds: tuple[int, ...], channel: NurseryChannel) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        channel.forget()
        _live(message, fds)
        status = 0
    finally:
        # Not sys.exit: nothing of the nursery may run on in the child.
        os._exit(status)
    return 0


def _live(message: Spawn, fds: tuple[int, ...]) -> None:
    """Become a worker: own session, own output, fence, then orders."""
    orders, builds, output = fds
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for fd in range(3, 256):
        if fd not in (orders, builds):
            _close(fd)
    level = fence.enter(message.rules)
    from refine_agent.worker import stub, traces  # noqa: PLC0415 - imported ahead, in the parent

    if (warm := message.rules.warm) is not None:
        start = traces.warm if warm.of == "profiler" else stub.warm_compiler
        start(warm.device)
    channel = wire.Channel(socket.socket(fileno=orders), takes_fds=True)
    channel.send(wire.Ready(note=str(level)))
    stub.serve(channel, wire.Channel(socket.socket(fileno=builds)))


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return


def _reap(channel: NurseryChannel, pid: int, pidfd: int) -> None:
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    _kill_group(pid)
    channel.send(Exited(pid=pid, status=status))


def _end(pid: int, uid: int | None) -> None:
    """Kill a worker and everything it started, daemons included."""
    _kill_group(pid)
    if uid is not None and os.geteuid() == 0:
        _kill_user(uid)
    for orphan in _descendants(pid):
        _kill(orphan)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        _kill(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _kill_user(uid: int) -> None:
    """Kill every process of a user nobody else is: no daemon outlives its candidate."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _gone(uid: int | None) -> bool:
    """Wait until nothing runs as a user that only one worker had."""
    if uid is None or os.geteuid() != 0:
        return True
    ends = time.monotonic() + DYING_DEADLINE_S
    while running_as({uid}):  # what was killed lives until it leaves the kernel
        if time.monotonic() > ends:
            return False
        time.sleep(0.002)
    return True


def _descendants(pid: int) -> list[int]:
    """Return processes of the session ``pid`` led, and what was reparented from it to us."""
    alive = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [each for each in alive if _session(each) == pid]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _kill_orphans(known: set[int]) -> None:
    """Kill what was reparented here and all it started: no daemon outlives its candidate."""
    for entry in _children_of(os.getpid()):
        if entry not in known:
            for descendant in _tree(entry):
                _kill(descendant)


def _tree(pid: int) -> list[int]:
    return [pid, *(below for child in _children_of(pid) for below in _tree(child))]


def _reap_orphans(known: set[int]) -> None:
    """Collect what was reparented here, so that no zombie stays."""
    for entry in _children_of(os.getpid()):
        if entry in known:
            continue
        try:
            os.waitpid(entry, os.WNOHANG)
        except ChildProcessError:
            continue


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text(encoding="ascii").split())
        except OSError:
            continue
    return found


if __name__ == "__main__":
    try:
        main()
    except msgspec.MsgspecError as why:
        sys.exit(f"the bench and its nursery disagree on the protocol: {why}")

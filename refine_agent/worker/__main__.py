"""The nursery: a process that has imported torch, never touched CUDA, and forks workers.

It owns forking, the fence's entrance and reaping; it runs no candidate code itself, and the bench
at the other end of its channel decides who is born, who is ended, and what an ending means.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
import warnings

import msgspec

from refine_agent import wire
from refine_agent.worker import fence, reaper
from refine_agent.worker.census import children, descendants, of_session, running_as
from refine_agent.worker.nursery import Born, End, Ended, Exited, NurseryChannel, Spawn

DYING_DEADLINE_S = 8.0


def main() -> None:
    """Serve the bench on the socket whose number is the only argument."""
    channel = NurseryChannel(socket.socket(fileno=int(sys.argv[1])), takes_fds=True)
    reaper.adopt_orphans()  # so that nothing of a candidate's escapes its end
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
    workers: dict[int, int] = {}  # pidfd -> pid
    while True:
        ready, _, _ = select.select([channel.fileno(), *workers], [], [], 1.0)
        for pidfd in [fd for fd in ready if fd in workers]:
            _reap(channel, workers.pop(pidfd), pidfd)
        _reap_orphans(set(workers.values()))
        if channel.fileno() not in ready and not channel.buffered:
            continue
        try:
            message = channel.receive()
        except wire.Broken:
            reaper.end_all()
            return
        match message:
            case Spawn():
                fds = tuple(channel.take_fd() for _ in range(3))
                pid = _fork(message, fds, channel)
                workers[os.pidfd_open(pid)] = pid
                for fd in fds:
                    os.close(fd)
                channel.send(Born(pid=pid, level=""))
            case End():
                _end(message, set(workers.values()))
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
    _kill_session(pid)  # until it is collected, its number is its session's
    os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    channel.send(Exited(pid=pid, status=status))


def _end(what: End, alive: set[int]) -> None:
    """Kill a worker and everything it started, daemons included."""
    if what.pid in alive:  # else its number may be a stranger's by now
        _kill_session(what.pid)
    if what.uid is not None and os.geteuid() == 0:
        _kill_user(what.uid)
    _kill_orphans(alive)


def _kill_session(leader: int) -> None:
    """Kill what a worker that was not collected yet leads: its group at once, then its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in (leader, *of_session(leader)):
        _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


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


def _kill_orphans(known: set[int]) -> None:
    """Kill what was reparented here and all it started: no daemon outlives its candidate."""
    for orphan in set(children(os.getpid())) - known:
        for pid in (orphan, *descendants(orphan)):
            _kill(pid)


def _reap_orphans(known: set[int]) -> None:
    """Collect what was reparented here, so that no zombie stays."""
    for orphan in set(children(os.getpid())) - known:
        try:
            os.waitpid(orphan, os.WNOHANG)
        except ChildProcessError:
            continue


if __name__ == "__main__":
    try:
        main()
    except msgspec.MsgspecError as why:
        sys.exit(f"the bench and its nursery disagree on the protocol: {why}")

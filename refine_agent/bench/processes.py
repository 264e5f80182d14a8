"""Starting, watching and killing: the one place where processes come from and where they end.

It owns the nursery that forks workers, the judge's process, compilers and profilers; what a worker
is asked is the judge's business, and what an ending means is ``endings``'s.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from refine_agent import wire
from refine_agent.bench import machine
from refine_agent.bench.users import Users
from refine_agent.bench.warden import Bounds, Warden, bounds_of
from refine_agent.builder.records import Finished
from refine_agent.judge.leash import state_in
from refine_agent.loop import BenchFault
from refine_agent.wire import Channel
from refine_agent.worker import landlock
from refine_agent.worker.census import of_session
from refine_agent.worker.fence import FIRST_UID, Rules, Warm, interpreter_folders, may_become
from refine_agent.worker.nursery import Born, End, Ended, Exited, NurseryChannel, Spawn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

# What a child may know of the environment. No keys, no tokens, no session of the user's.
ALLOWED_ENVIRONMENT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LANG",
    "LC_ALL",
    "TZ",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CC",
    "CXX",
    "TORCH_CUDA_ARCH_LIST",
)
# What is compared must not be where the scheduler put whose threads. Each of OpenMP's has a core of
# its own: left to themselves, two that wake together were seen to share one for whole blocks, which
# took 1.7 times as long, and a module against itself scattered four times as widely. (The stub has
# calls begin on the first core, where no such thread is.) A thread that waits for another sleeps;
# by default libgomp's spin for ten milliseconds, and where something else runs on the other's core
# every parallel region takes that long. OpenBLAS, which NumPy calls, spins for 2^26 cycles; this is
# the logarithm, and the least it takes.
THREADS = {
    "OMP_PROC_BIND": "true",
    "OMP_PLACES": "cores",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_THREAD_TIMEOUT": "4",
}
# Nor which pages of a machine's memory a process was given. Where that is in pieces, small pages
# lie anywhere: eager's process was 7 % slower than a younger one with the same code, for as long as
# it lived, and as fast with huge pages, which lie in a row. Asked for with madvise: a system that
# has switched them off gives none (glibc 2.35 and later; others do not know the word).
MEMORY = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# What every worker starts with, be it a witness or a candidate.
ALIKE = {**THREADS, **MEMORY}
# The judge keeps the memory of its float64 copies for the next ones, up to 4 GiB. Every block of
# over 32 MB would otherwise come from mmap and be zeroed page by page each time (mallopt(3)), which
# was a third of a check of 134 MB tensors. Threads share one arena: those of their own hold 64 MB.
HOARD = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_ARENA_MAX": "1",
}
START_DEADLINE_S = 120.0
OUTPUT_TAIL_BYTES = 16 << 10
# What was killed lives until it leaves the kernel, and the driver may keep it there for a while.
DYING_S = 8.0
# So often a compiler's bench looks whether anybody still waits for it.
LOOK_UP_S = 0.05
# A child's output goes to a file that may not grow past this; the rest is lost, not buffered.
MAX_OUTPUT_BYTES = 8 << 20
# A worker writes its source and little else by itself.
LEAST_ROOM_BYTES = 4 << 20


def environment(**more: str) -> dict[str, str]:
    """Return the environment a child gets."""
    kept = {name: os.environ[name] for name in ALLOWED_ENVIRONMENT if name in os.environ}
    kept |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    return kept | _path_to_this_package(kept.get("PYTHONPATH")) | more


def _path_to_this_package(already: str | None) -> dict[str, str]:
    """Let children find a checkout that is run in place, which they do not start in."""
    here = Path(__file__).parents[2]
    if here.name in {"site-packages", "dist-packages"}:
        return {}  # every interpreter looks there
    return {"PYTHONPATH": f"{already}{os.pathsep}{here}" if already else str(here)}


class Worker:
    """A forked worker: its channels, its folder and, once it ended, how."""

    def __init__(
        self, pid: int, *, own_uid: int | None, folder: Path, orders: socket.socket, builds: Channel
    ) -> None:
        self.pid = pid
        self.own_uid = own_uid  # a user that only this worker has, or None
        self.folder = folder
        self.orders = orders
        self.builds = builds
        self.status: int | None = None
        self.ended = threading.Event()
        self.warden: Warden | None = None
        self._said: str | None = None

    @property
    def excess(self) -> str | None:
        """What of the machine it took too much of, if it was ended for that."""
        return self.warden.excess if self.warden is not None else None

    @property
    def is_stopped(self) -> bool:
        """Whether it is being kept from running, as it is between calls."""
        return state_in(f"/proc/{self.pid}/stat") == "T"

    def output(self) -> str:
        """Return the end of what it printed."""
        return tail(self._printed) if self._said is None else self._said

    def clear(self) -> None:
        """Remove what it left, but for the end of what it printed."""
        self._said = tail(self._printed)
        self._printed.unlink(missing_ok=True)
        machine.remove(self.folder)

    @property
    def _printed(self) -> Path:
        return self.folder.with_suffix(".out")


def tail(path: Path, limit: int = OUTPUT_TAIL_BYTES) -> str:
    """Return the end of a file as text; nothing if it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


class NurseryGone(BenchFault):
    """The process that forks workers ended."""


class Nursery:
    """The process that forks workers, seen from the bench."""

    def __init__(
        self,
        home: Path,
        *,
        environment_of_children: Mapping[str, str],
        bounds: Bounds | None = None,
        lender: int | None = None,
    ) -> None:
        self._home = home
        self._lender = lender  # the judge, whose memory guests are given to read and to write
        self._bounds = bounds
        self._environment = dict(environment_of_children)
        self._users = Users.claim() if os.geteuid() == 0 else None
        self._workers: dict[int, Worker] = {}
        self._counter = itertools.count(1)
        self._births: list[Born] = []
        self._told = threading.Condition()
        self._ending: dict[int, Worker] = {}  # told to end, and not reported yet
        self._endings: set[int] = set()
        self._gone = False
        ours, theirs = Channel.pair()
        self._process = _start_module(
            "refine_agent.worker", theirs, home / "nursery.out", environment(**ALIKE)
        )
        self._channel = NurseryChannel(ours)
        self._spawning = threading.Lock()
        self.sees_cuda = False
        threading.Thread(target=self._listen, daemon=True, name="nursery").start()

    @property
    def pid(self) -> int:
        """The process that forks."""
        return self._process.pid

    def wait_until_born(self) -> None:
        """Wait until torch is imported and workers can be forked."""
        self.sees_cuda = self._next_birth("nursery").level == "cuda"

    def spawn(
        self,
        *,
        trusted: bool = False,
        fenced: bool = True,
        readable: Sequence[str] = (),
        writable: Sequence[str] = (),
        warm: Warm | None = None,
        **extra: str,
    ) -> Worker:
        """Fork a worker behind its fence."""
        with self._spawning:
            number = next(self._counter)
            folder = self._home / f"w{number}"
            _leave_room(self._home)
            uid = self._uid(trusted=trusted) if fenced and may_become(readable) else None
            _make_private(folder, uid)
            orders_ours, orders_theirs = Channel.pair()
            builds_ours, builds_theirs = Channel.pair()
            output = _capped_output(folder.with_suffix(".out"))
            rules = Rules(
                folder=str(folder),
                readable=tuple(readable),
                writable=tuple(writable),
                uid=uid,
                landlock=fenced,
                environment=self._environment | extra,
                warm=warm,
            )
            try:
                self._channel.send(
                    Spawn(rules=rules),
                    fds=(orders_theirs.fileno(), builds_theirs.fileno(), output),
                )
            except wire.Broken:
                raise NurseryGone(self._why_gone()) from None
            born = self._next_birth("worker")
            for handle in (orders_theirs, builds_theirs):
                handle.close()
            os.close(output)
            worker = Worker(
                born.pid,
                own_uid=None if trusted else uid,
                folder=folder,
                orders=orders_ours,
                builds=Channel(builds_ours),
            )
            if not trusted:
                bounds = self._bounds or bounds_of(self._home)
                worker.warden = Warden(
                    born.pid,
                    folder,
                    folder.with_suffix(".out"),
                    bounds,
                    own_uid=uid,
                    adopter=self.pid,
                    lender=self._lender,
                )
                worker.warden.start()
            with self._told:
                self._workers[born.pid] = worker
                self._told.notify_all()
            return worker

    def _uid(self, *, trusted: bool) -> int | None:
        if self._users is None:
            return None
        # Witnesses share one user, candidates get one each: none can signal or trace another.
        return FIRST_UID if trusted else self._users.take()

    def end(self, worker: Worker, *, seconds: float = 10.0) -> None:
        """Kill a worker and everything it started; return when nothing of it lives."""
        with self._told:
            # Only once: the kernel may give its number to somebody else.
            if self._workers.get(worker.pid) is not worker:
                return
            self._workers.pop(worker.pid)
            self._endings.discard(worker.pid)
            self._ending[worker.pid] = worker
        if worker.warden is not None:
            worker.warden.stop()
        with contextlib.suppress(OSError):
            worker.orders.close()
        worker.builds.close()
        try:
            self._channel.send(End(pid=worker.pid, uid=worker.own_uid))
        except wire.Broken:
            raise NurseryGone(self._why_gone()) from None
        deadline = time.monotonic() + seconds
        with self._told:
            while worker.pid not in self._endings:
                if self._gone:
                    raise NurseryGone(self._why_gone())
                if not self._told.wait(max(0.0, deadline - time.monotonic())):
                    raise BenchFault(
                        f"process {worker.pid} could not be killed (it may hang in the driver); "
                        "check the GPU with nvidia-smi, then resume"
                    )
        worker.ended.wait(2.0)
        with self._told:
            self._ending.pop(worker.pid, None)
            if self._users is not None and worker.own_uid is not None:
                self._users.put_back(worker.own_uid)
        worker.clear()

    def close(self) -> None:
        """End the nursery and all it forked."""
        for worker in list(self._workers.values()):
            with contextlib.suppress(BenchFault):
                self.end(worker)
        self._channel.close()
        _stop(self._process)
        if self._users is not None:
            self._users.give_back()

    # --- listening ------------------------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            try:
                message = self._channel.receive()
            except wire.Broken:
                with self._told:
                    self._gone = True
                    self._births.append(Born(pid=0, level="gone"))
                    self._told.notify_all()
                return
            with self._told:
                self._take(message)
                self._told.notify_all()

    def _take(self, message: wire.Wire) -> None:
        match message:
            case Born():
                self._births.append(message)
            case Ended():
                self._endings.add(message.pid)
            case Exited():
                worker = self._workers.get(message.pid) or self._ending.get(message.pid)
                if worker is not None:
                    if worker.warden is not None:
                        worker.warden.stop()
                    worker.status = message.status
                    worker.ended.set()
            case _:
                pass

    def _next_birth(self, what: str) -> Born:
        deadline = time.monotonic() + START_DEADLINE_S
        with self._told:
            while not self._births:
                if not self._told.wait(max(0.0, deadline - time.monotonic())):
                    raise BenchFault(
                        f"the {what} did not start within {START_DEADLINE_S:.0f} s; "
                        f"see {self._home}/nursery.out"
                    )
            born = self._births.pop(0)
        if born.pid == 0:
            raise NurseryGone(self._why_gone())
        return born

    def _why_gone(self) -> str:
        said = tail(self._home / "nursery.out").strip().splitlines()[-1:] or ["it said nothing"]
        return f"the process that forks workers ended ({said[0][:300]}); run `refine_agent doctor`"


class Child:
    """A process of its own that speaks over a channel: the judge, or a worker under a profiler."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ours: socket.socket,
        output: Path,
        lifeline: int | None = None,
    ) -> None:
        self.process = process
        self.sock = ours
        self.output = output
        self._lifeline = lifeline  # whose end has its reaper end all it watches over

    def close(self) -> None:
        """Kill it and all it started."""
        with contextlib.suppress(OSError):
            self.sock.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(DYING_S)
        _stop(self.process)


def start_judge(output: Path) -> Child:
    """Start the judge's process."""
    ours, theirs = Channel.pair()
    process = _start_module("refine_agent.judge", theirs, output, environment(**HOARD))
    return Child(process, ours, output)


def start_profiled(  # noqa: PLR0913 - each says one thing about a process of its own
    around: Callable[[list[str]], list[str]],
    folder: Path,
    output: Path,
    *,
    rules: Rules,
    ends_at_once: bool = False,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Child, Channel]:
    """Start a worker of its own process under a tool's command line; it waits for orders."""
    orders_ours, orders_theirs = Channel.pair()
    builds_ours, builds_theirs = Channel.pair()
    fds = (orders_theirs.fileno(), builds_theirs.fileno())
    inner = [
        sys.executable,
        "-m",
        "refine_agent.worker.single",
        *map(str, fds),
        json.dumps(msgspec.to_builtins(rules)),
        *(["--at-once"] if ends_at_once else []),
    ]
    log = _capped_output(output)
    watched, lifeline = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "refine_agent.worker.reaper", str(watched), *around(inner)],
        cwd=folder,
        env=environment(TMPDIR=str(folder), **variables),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(*fds, watched),
        start_new_session=True,
    )
    for handle in (log, watched):
        os.close(handle)
    orders_theirs.close()
    builds_theirs.close()
    return Child(process, orders_ours, output, lifeline), Channel(builds_ours)


def run_fenced(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    deadline_s: float,
    abandoned: Callable[[], bool] | None = None,
) -> Finished:
    """Run a compiler on sources nobody vouches for.

    It has its own process group, a deadline, bounded output, no environment but what it is given,
    and Landlock around it: what it may read are compilers, headers and libraries, what it may write
    is the folder of this build. ``#include`` and ``.incbin`` reach no further.
    """
    command = _confined(argv, cwd=cwd, env=env)
    return run_trusted(command, cwd=cwd, env=env, deadline_s=deadline_s, abandoned=abandoned)


def _confined(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> list[str]:
    grants = {
        "readable": [*interpreter_folders(), *_tool_folders(argv, env)],
        # The light headers and the shim lie in the cache, and other candidates' sources too.
        "by_name": [str(folder) for folder in cwd.resolve().parents if _is_cache(folder)],
        "writable": [str(cwd), *([env["TMPDIR"]] if "TMPDIR" in env else [])],
    }
    launcher = [sys.executable, "-I", "-S", str(Path(landlock.__file__))]
    return [*launcher, json.dumps(grants), *argv]


def _is_cache(folder: Path) -> bool:
    return (folder / "entries").is_dir() and (folder / "making").is_dir()


def _tool_folders(argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Where the compiler and its toolkit are installed, if not below /usr."""
    named = [env[name] for name in ("CUDA_HOME", "CUDA_PATH") if env.get(name)]
    tool = Path(argv[0]).resolve().parent
    return [str(tool), str(tool.parent / "include"), str(tool.parent / "lib"), *named]


def run_trusted(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    deadline_s: float,
    abandoned: Callable[[], bool] | None = None,
) -> Finished:
    """Run a compiler on our own sources: own group, deadline, bounded output, given environment.

    It is also ended when nobody waits for it any more.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        ended = False
        try:
            ended = _ends(process, deadline_s, abandoned or (lambda: False))
        finally:
            code = _stop(process)
        output.seek(0, os.SEEK_END)
        size = output.tell()
        output.seek(max(0, size - MAX_OUTPUT_BYTES))
        text = output.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
    exit_code = code if ended else None
    return Finished(exit_code=exit_code, output=text, seconds=time.monotonic() - began)


def _ends(
    process: subprocess.Popen[bytes], deadline_s: float, abandoned: Callable[[], bool]
) -> bool:
    """Wait for a process to end; false at its deadline, or when it is not waited for."""
    until = time.monotonic() + deadline_s
    with _told_of_its_end(process) as ended_within:
        while (left := until - time.monotonic()) > 0 and not abandoned():
            if ended_within(min(left, LOOK_UP_S)):
                return True
    return False


@contextlib.contextmanager
def _told_of_its_end(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """Yield a way to wait for a process that is told of its end at once, where the system tells.

    Nothing is collected: until then its number is that of whatever it left behind, too.
    """
    try:
        watched = os.pidfd_open(process.pid)
    except OSError:  # as in some sandboxes; asking again and again is 25 ms later on average

        def asked(seconds: float) -> bool:
            until = time.monotonic() + seconds
            while not _has_ended(process.pid) and time.monotonic() < until:
                time.sleep(0.05)
            return _has_ended(process.pid)

        yield asked
        return
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        yield lambda seconds: bool(poll.poll(1e3 * seconds))
    finally:
        os.close(watched)


def _start_module(
    module: str, theirs: socket.socket, output: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log = _capped_output(output)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno())],
            cwd=output.parent,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    finally:
        os.close(log)
        theirs.close()


def _capped_output(path: Path) -> int:
    """Open a file for a child's output; RLIMIT_FSIZE in the child bounds what it can become."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _leave_room(home: Path) -> None:
    """Refuse to start a worker on a full disk: what it could not write would look its own fault."""
    try:
        free = shutil.disk_usage(home).free
    except OSError as why:
        raise BenchFault(f"{home} is gone ({why.strerror}); resume the run") from None
    if free < LEAST_ROOM_BYTES:
        raise BenchFault(
            f"the disk under {home} is full ({free / 1e6:.1f} MB free); free some space, or set "
            "TMPDIR to a folder on another disk, then resume"
        )


def _make_private(folder: Path, uid: int | None) -> None:
    folder.mkdir(mode=0o700)
    if uid is not None:
        os.chown(folder, uid, uid)


def _has_ended(pid: int) -> bool:
    """Whether a child of ours has ended, without collecting it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Kill a session, whatever became of its leader; return the leader's code.

    Not its group alone: ninja gives each command that it starts a group of its own.
    """
    if process.returncode is None:  # else its number may be somebody else's by now
        until = time.monotonic() + DYING_S
        while (alive := of_session(process.pid)) and time.monotonic() < until:
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
    return process.wait()


def private_home() -> Path:
    """Return a fresh folder for this run's processes, traversable but not readable by others."""
    home = Path(tempfile.mkdtemp(prefix="refine_agent-"))
    home.chmod(0o711)
    return home

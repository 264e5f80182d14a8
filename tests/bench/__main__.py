"""Misbehaviours in a row on one bench: ``python -m tests.bench --device cuda --out FILE``.

After each, the device must be as it was: no process of the candidate's, its memory given back; and
an honest candidate passes after whatever broke a CUDA context and at the end. ``--out`` writes what
was seen, row by row; ``--seconds`` begins nothing after, and says what was left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent.bench import LocalBench
from refine_agent.bench.warden import Bounds
from refine_agent.judge.seats import Deadlines
from refine_agent.loop import BenchFault, Quiet
from refine_agent.records import Crashed, Options, Passed, headline
from tests.bench.leftovers import candidates_alive, verdict_on
from tests.bench.misbehaviours import HONEST, LITTLE, MISBEHAVIOURS, ON_GPU, PROBLEM, SHORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

# A process that uses a GPU maps gigabytes, and its candidates' kernels are compiled while it loads.
DEADLINES = {"cpu": SHORT, "cuda": Deadlines(load_s=25.0, calls_s=4.0, sampling_s=0.2)}
BOUNDS = {"cpu": LITTLE, "cuda": Bounds(memory_bytes=12 << 30, disk_bytes=400 << 20)}
# What belongs to the driver comes and goes; a context that stayed holds some 500 MB.
LEFT_MB = 100.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One misbehaviour: what was said of it, and what it left behind."""

    name: str
    expected: list[str]
    kind: str
    verdict: str
    seconds: float
    processes_left: int
    device_mb_left: float | None
    """Device memory in use afterwards, less what was before; a CPU has none."""
    honest_after: str | None = None
    """The verdict on an honest candidate right after it, where one was tried."""

    @property
    def right(self) -> bool:
        """Whether it was told what it did."""
        return self.kind in self.expected

    @property
    def clean(self) -> bool:
        """Whether it left nothing behind, and the next one was judged as ever."""
        honest = self.honest_after in (None, "Passed")
        return not self.processes_left and (self.device_mb_left or 0.0) <= LEFT_MB and honest


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, where and when."""

    date: str
    device: str
    driver: str | None
    torch: str | None
    fence: str | None
    seconds: float
    seen: list[Seen]
    not_reached: list[str]


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate to try, what may be said of it, and what happens to the machine meanwhile."""

    source: str
    expected: tuple[str, ...]
    meanwhile: Callable[[LocalBench], AbstractContextManager[object]] = contextlib.nullcontext
    honest_after: bool = False


def main() -> int:
    """Try them all; return 0 if every verdict was right and the device clean after each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, help="write the rows to this JSON file")
    parser.add_argument("--only", help="tries those whose name holds one of these, commas between")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o711)
        tempfile.tempdir = folder
        table = _table(asked, Path(folder))
    wrong = [each for each in table.seen if not (each.right and each.clean)]
    print(
        f"\n{len(table.seen) - len(wrong)} of {len(table.seen)} had their verdict and left "
        f"nothing, in {table.seconds:.0f} s on {table.device}, torch {table.torch}"
    )
    for name in table.not_reached:
        print(f"not reached: {name}")
    return 1 if wrong else 0


def _table(asked: argparse.Namespace, folder: Path) -> Table:
    began = time.monotonic()
    device = asked.device
    options = Options(device=device, compile_baseline=False, profile="off", sanitize=False)
    left = dict(troubles(device, asked.only))
    with LocalBench(
        PROBLEM, options, folder, deadlines=DEADLINES[device], bounds=BOUNDS[device]
    ) as bench:
        told = bench.measure(PROBLEM, Quiet()).environment
        for again in range(2):  # what is made once is made
            _judged(bench, HONEST + f"# {again}\n")
        idle_mb = _device_mb() if device == "cuda" else None
        seen: list[Seen] = []
        while True:
            table = Table(
                date=datetime.now(UTC).date().isoformat(),
                device=told.device,
                driver=told.driver,
                torch=told.torch,
                fence=told.fence,
                seconds=round(time.monotonic() - began, 1),
                seen=seen,
                not_reached=list(left),
            )
            if asked.out is not None:
                asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1))
            if not left or table.seconds > asked.seconds:
                return table
            name = next(iter(left))
            seen.append(_seen(bench, name, left.pop(name), idle_mb))
            print(_line(seen[-1]), flush=True)


def troubles(device: str, only: str | None = None) -> Iterator[tuple[str, Trouble]]:
    """Yield what is to be tried; what breaks a context comes first, in case time is short."""
    every = {**ON_GPU, **MISBEHAVIOURS, **_OTHERWISE} if device == "cuda" else MISBEHAVIOURS
    for name, (source, expected) in every.items():
        if _named(name, only):
            yield (
                name,
                Trouble(
                    source=source,
                    expected=tuple(each.__name__ for each in expected),
                    honest_after=name in ON_GPU,
                ),
            )
    for name, (meanwhile, allowed) in _ACCIDENTS.items():
        if _named(name, only) and (device == "cuda" or meanwhile is not _device_filled):
            source = HONEST + f"# {name}\n"
            yield (
                name,
                Trouble(source=source, expected=allowed, meanwhile=meanwhile, honest_after=True),
            )
    yield "is honest, after all of them", Trouble(source=HONEST, expected=("Passed",))


# A host's pointer into a GPU's memory points nowhere, and a host that has a GPU may promise anybody
# a terabyte: nothing of it is ever touched.
_OTHERWISE = {
    "writes past its input": (MISBEHAVIOURS["writes past its input"][0], (Crashed,)),
    "asks for a terabyte": (MISBEHAVIOURS["asks for a terabyte"][0], (Crashed, Passed)),
}


def _named(name: str, only: str | None) -> bool:
    return only is None or any(part in name for part in only.split(","))


def _seen(bench: LocalBench, name: str, trouble: Trouble, idle_mb: float | None) -> Seen:
    began = time.monotonic()
    with trouble.meanwhile(bench):
        kind, said = _judged(bench, trouble.source)
    took = time.monotonic() - began
    processes = len(candidates_alive(bench))
    grown = None if idle_mb is None else _device_mb() - idle_mb
    after = _judged(bench, f"{HONEST}# after: {name}\n")[0] if trouble.honest_after else None
    return Seen(
        name=name,
        expected=list(trouble.expected),
        kind=kind,
        verdict=said[:300],
        seconds=round(took, 2),
        processes_left=processes,
        device_mb_left=grown,
        honest_after=after,
    )


def _judged(bench: LocalBench, source: str) -> tuple[str, str]:
    try:
        verdict = verdict_on(bench, source)
    except BenchFault as why:
        return "BenchFault", str(why)
    return type(verdict).__name__, headline(verdict)


def _device_mb() -> float:
    """Return what of the device's memory is in use, in MB, by the driver's account."""
    number = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", f"--id={number}", "--query-gpu=memory.used"]
    command.append("--format=csv,noheader,nounits")
    shown = subprocess.run(command, capture_output=True, check=True)
    return float(shown.stdout.split()[0])


def _line(seen: Seen) -> str:
    mark = "right" if seen.right and seen.clean else "WRONG"
    left = "" if seen.device_mb_left is None else f", {seen.device_mb_left:+.0f} MB"
    after = "" if seen.honest_after is None else f"; honest after it: {seen.honest_after}"
    return (
        f"{seen.name:<42} {mark} {seen.seconds:5.1f} s {seen.processes_left} left{left}  "
        f"{seen.kind}: {seen.verdict[:100]}{after}"
    )


# --- what happens to the machine ------------------------------------------------------------------


@contextlib.contextmanager
def _judge_killed(bench: LocalBench) -> Iterator[None]:
    assert bench._line is not None
    with _killed(bench._line.pid):
        yield


@contextlib.contextmanager
def _nursery_killed(bench: LocalBench) -> Iterator[None]:
    assert bench._nursery is not None
    with _killed(bench._nursery.pid):
        yield


@contextlib.contextmanager
def _killed(pid: int) -> Iterator[None]:
    timer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    timer.start()
    yield
    timer.join()


_FILLER = """
import torch
hoard = []
for part in (1 << 30, 1 << 24, 1 << 21):
    try:
        while True:
            hoard.append(torch.empty(part, dtype=torch.uint8, device="cuda"))
    except torch.cuda.OutOfMemoryError:
        pass
print("full", flush=True)
input()
"""


@contextlib.contextmanager
def _device_filled(bench: LocalBench) -> Iterator[None]:
    """Let somebody else take all of the device's memory that is left."""
    _ = bench
    command = [sys.executable, "-c", _FILLER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"full\n"
        yield
        other.kill()


# A fault of the machine is said to be one, or it is mended and the candidate judged: never a score.
_ACCIDENTS: dict[
    str, tuple[Callable[[LocalBench], AbstractContextManager[object]], tuple[str, ...]]
] = {
    "its judge is killed": (_judge_killed, ("Passed", "BenchFault")),
    "its nursery is killed": (_nursery_killed, ("Passed", "BenchFault")),
    "somebody else fills the device": (_device_filled, ("Passed", "BenchFault")),
}


if __name__ == "__main__":
    sys.exit(main())

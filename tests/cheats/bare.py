"""A bare in-process check, as most harnesses have it: what stands when the judge's processes do not.

The candidate's Python shares a process, a namespace and a seed with reference, comparison, clock and
verdict. It owns showing what separate processes are for, and what the judge costs beside it; nothing
is ever decided here. Run as ``python -m tests.cheats.bare`` it grades one request per line of stdin.
"""

from __future__ import annotations

import json
import os
import pickle
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

GRADE_DEADLINE_S = 60.0
TOLERANCE = 1e-2  # KernelBench's, until its fp32 problems got 1e-4


class Request(msgspec.Struct, frozen=True, kw_only=True):
    problem: str
    candidate: str
    device: str = "cpu"


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    correct: bool
    speedup: float = 0.0
    why: str = ""


def main() -> None:
    """Fork once per request, so that torch is imported once and no grade touches the next."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    for line in sys.stdin:
        grade = _graded_apart(msgspec.json.decode(line, type=Request))
        print(msgspec.json.encode(grade).decode(), flush=True)


def _graded_apart(request: Request) -> Grade:
    key = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        pid = os.fork()
        if pid == 0:
            _grade_here(request, key, Path(folder))
        status = _wait(pid)
        return _read(Path(folder), key, status)


def _grade_here(request: Request, key: str, folder: Path) -> None:
    os.setsid()
    os.chdir(folder)
    out = os.open("stdout", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 1
    try:
        sys.modules["__main__"].SIGNING_KEY = key  # type: ignore[attr-defined]
        print(json.dumps({**grade_in_process(request), "signed": key}), flush=True)
        code = 4  # an honest end is told from an early exit 0 by what was printed
    finally:
        os._exit(code)


def grade_in_process(request: Request) -> dict[str, object]:
    """Compare and time in this very process; what a KernelBench-style harness does."""
    import torch

    space: dict[str, object] = {"__name__": "candidate"}
    exec(request.problem, space)  # noqa: S102 - both in one namespace, as KernelBench's cuda backend
    arguments = space["get_init_inputs"]()  # type: ignore[operator]
    torch.manual_seed(42)
    reference = space["Model"](*arguments).to(request.device)  # type: ignore[operator]
    exec(request.candidate, space)  # noqa: S102
    torch.manual_seed(42)
    candidate = space["ModelNew"](*arguments).to(request.device)  # type: ignore[operator]
    torch.manual_seed(42)
    inputs = [given.to(request.device) for given in space["get_inputs"]()]  # type: ignore[operator]
    with torch.no_grad():
        return _compare(reference, candidate, inputs)


def _compare(reference: object, candidate: object, inputs: list[object]) -> dict[str, object]:
    import torch

    errors: list[str] = []
    expected = _first(reference(*inputs))  # type: ignore[operator]
    sys.modules["__main__"].REFERENCE_OUTPUTS = [expected]  # type: ignore[attr-defined]
    again = [_first(reference(*inputs)) for _ in range(8)]  # type: ignore[operator]
    del again
    got = _first(candidate(*inputs))  # type: ignore[operator]
    close = torch.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)
    if not close and bool((got - expected).abs().max() > TOLERANCE):
        errors.append("the outputs differ")
    speedup = _seconds(reference, inputs) / _seconds(candidate, inputs)
    time.sleep(0.05)
    return {"correct": not errors, "speedup": speedup}


def _first(result: object) -> object:
    return result[0] if isinstance(result, tuple | list) else result


def _seconds(model: object, inputs: list[object], repeats: int = 10) -> float:
    import torch

    cuda = torch.cuda.is_available()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        model(*inputs)  # type: ignore[operator]
        if cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return max(sorted(taken)[repeats // 2], 1e-9)


def _wait(pid: int) -> int:
    ends = time.monotonic() + GRADE_DEADLINE_S
    while time.monotonic() < ends:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -9


def _read(folder: Path, key: str, status: int) -> Grade:
    """Believe a file, a pickle, a signed line or an exit code, as one harness or another does."""
    if (folder / "result.json").exists():
        told = json.loads((folder / "result.json").read_text())
        return Grade(correct=told["correct"], speedup=told["speedup"], why="result.json")
    if (folder / "result.pkl").exists():
        told = pickle.loads((folder / "result.pkl").read_bytes())  # noqa: S301 - that is the point
        return Grade(correct=told["correct"], speedup=told["speedup"], why="result.pkl")
    said = (folder / "stdout").read_text(errors="replace") if (folder / "stdout").exists() else ""
    for line in said.splitlines():
        if key in line:
            told = json.loads(line)
            return Grade(correct=told["correct"], speedup=told["speedup"], why="signed")
    return Grade(correct=status == 0, why=f"exit code {status}: {said[-300:]}")


if __name__ == "__main__":
    main()

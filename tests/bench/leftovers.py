"""What is said of a candidate, and what of it is alive afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refine_agent.loop import Quiet
from refine_agent.records import AnyVerdict, Candidate
from refine_agent.worker.census import everybody

if TYPE_CHECKING:
    from refine_agent.bench import LocalBench


def verdict_on(bench: LocalBench, source: str) -> AnyVerdict:
    candidate = Candidate(source=source)
    return bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())


def candidates_alive(bench: LocalBench) -> list[int]:
    """Return what runs as one of this bench's candidates; where they have no users, what is left
    in their folders."""
    assert bench._nursery is not None
    users = bench._nursery._users
    if users is not None:
        return users.processes()
    return [pid for pid in everybody() if str(folder_of(pid)).endswith("(deleted)")]


def folder_of(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path()

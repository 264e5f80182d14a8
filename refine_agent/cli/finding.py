"""Finding runs: in the current folder's transcripts, by name, by prefix, or among the recorded.

What is in a run is the transcript's business.
"""

from __future__ import annotations

from pathlib import Path

from refine_agent.transcript import EVENTS, RECORDED, TranscriptError, refuse_shipped, runs_in


def find_run(name: str, runs: Path) -> Path:
    """Return a run's folder from a path, a name or its beginning, or ``last``."""
    return _find(name, runs, [*runs_in(runs), *runs_in(RECORDED)])


def find_own_run(name: str, runs: Path) -> Path:
    """Return the folder of a run that is to be written; those that ship are refused.

    One of them is meant only where no other run has that name.
    """
    own = runs_in(runs)
    folder = _find(name, runs, own if _named(name, own) else runs_in(RECORDED))
    refuse_shipped(folder)
    return folder


def _find(name: str, runs: Path, known: list[Path]) -> Path:
    if (Path(name) / EVENTS).is_file():
        return Path(name)
    if name == "last":
        return _last(runs)
    found = _named(name, known)
    match found:
        case [only]:
            return only
        case []:
            raise TranscriptError(
                f"there is no run {name!r}, neither as a folder nor in {runs}; "
                "`refine_agent show` lists the runs it finds"
            )
        case _:
            names = ", ".join(path.name for path in found[:5])
            raise TranscriptError(f"{name!r} may mean {names}; write more of the name")


def _named(name: str, known: list[Path]) -> list[Path]:
    """Return the runs of that name, else those whose names begin with it."""
    return [path for path in known if path.name == name] or [
        path for path in known if path.name.startswith(name)
    ]


def _last(runs: Path) -> Path:
    found = runs_in(runs)
    if not found:
        raise TranscriptError(f"{runs} holds no run yet; `refine_agent optimize` begins one")
    return max(found, key=lambda path: (path / EVENTS).stat().st_mtime)

"""Finding runs: in the current folder's transcripts, by name, by prefix, or among the recorded.

What is in a run is the transcript's business.
"""

from __future__ import annotations

from pathlib import Path

from refine_agent.transcript import EVENTS, TranscriptError, runs_in

RECORDED = Path(__file__).parents[1] / "transcripts" / "recorded"


def find_run(name: str, runs: Path) -> Path:
    """Return a run's folder from a path, a name or its beginning, or ``last``."""
    if (Path(name) / EVENTS).is_file():
        return Path(name)
    known = [*runs_in(runs), *runs_in(RECORDED)]
    if name == "last":
        return _last(runs)
    found = [path for path in known if path.name == name]
    found = found or [path for path in known if path.name.startswith(name)]
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


def _last(runs: Path) -> Path:
    found = runs_in(runs)
    if not found:
        raise TranscriptError(f"{runs} holds no run yet; `refine_agent optimize` begins one")
    return max(found, key=lambda path: (path / EVENTS).stat().st_mtime)

"""Owns what the host's compiler says about vector loops: how it is asked, and what is kept of it.

It is written beside the artifact as `vectorisation`; reading it is the profile page's business.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

FILE = "vectorisation"
_RAW = "vectorisation.raw"
_OWN = "cpp_source:"
# A loop's reason follows within a few lines, often under the line of an inlined header.
_LINES_OF_REASON = 12
_MOST_CHARS = 200_000


def vectorisation_flags(host: Sequence[str]) -> list[str]:
    """Ask which loops were vectorised and which were not, where loops are looked at at all."""
    looked = {"-O2", "-O3", "-Ofast"} & set(host)
    return [f"-fopt-info-vec-optimized-missed={_RAW}"] if looked else []


def collect(folder: Path, host: Sequence[str]) -> None:
    """Keep what concerns the candidate's own lines, below the flags that it was compiled with."""
    raw = folder / _RAW
    text = raw.read_text(encoding="utf-8", errors="replace") if raw.exists() else ""
    raw.unlink(missing_ok=True)
    kept = "\n".join([f"flags: {' '.join(host)}", *_own(text.splitlines())])
    (folder / FILE).write_text(kept[:_MOST_CHARS] + "\n", encoding="utf-8")


def _own(lines: Sequence[str]) -> Iterator[str]:
    wanted = 0
    for line in lines:
        if "couldn't vectorize loop" in line:
            wanted = _LINES_OF_REASON if line.startswith(_OWN) else 0
            if wanted:
                yield line
        elif " optimized: loop vectorized" in line and line.startswith(_OWN):
            yield line
        elif wanted and " missed: " in line:
            wanted -= 1
            yield line

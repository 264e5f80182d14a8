"""The zoo's animals: which programs there are, what ails each, and on which line.

The programs themselves say so, in a comment on the sick line; `record.py` runs them.
"""

import hashlib
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Ceilings, Flops, Precision, Work

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
_COMMENT = re.compile(r"[ \t]*//[^\n]*")
_SICK = re.compile(r"//\s*SICK:\s*(\w+)(\s*\(no line\))?")


class Animal(msgspec.Struct, frozen=True, kw_only=True):
    """One program: its source, its sickness (None: healthy) and the sick line if there is one.

    `unseen` ones were written after the rules and thresholds, which were not changed for them;
    one for which they were is moved to the others.
    `timeline` ones launch several kernels, so that gaps and shares matter.
    """

    name: str
    source: Path
    sickness: str | None
    line: int | None
    unseen: bool = False
    timeline: bool = False

    @property
    def digest(self) -> str:
        """Return a digest of the program, line by line without its comments.

        Lines of a recording hold for that program only; what is said about it may change.
        """
        program = _COMMENT.sub("", self.source.read_text())
        return hashlib.sha256(program.encode()).hexdigest()[:16]

    @property
    def where(self) -> str | None:
        """Return the sick line as a page names it."""
        return None if self.line is None else f"{self.source.name}:{self.line}"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to build an animal; the second has other sizes and another kernel name."""

    name: str
    kernel: str
    flags: tuple[str, ...]


# The variant's name says nothing about the sickness, so that no finding can be keyed on it.
VARIANTS = (
    Variant(name="first", kernel="kernel", flags=()),
    Variant(name="second", kernel="step_7", flags=("-DVARIANT", "-DKERNEL=step_7")),
)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a program printed about itself: its needs, counted by hand, and its median time."""

    time_us: float
    samples: int
    bytes_read: float
    bytes_written: float
    flops: float
    precision: Precision
    matrix: bool

    def work(self) -> Work:
        """Return the needs as the judge would hand them over."""
        asked = Flops(precision=self.precision, count=int(self.flops), matrix=self.matrix)
        return Work(
            bytes_needed=int(self.bytes_read + self.bytes_written),
            bytes_read=int(self.bytes_read),
            bytes_written=int(self.bytes_written),
            flops=(asked,) if self.flops else (),
        )


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One animal, one variant, as it was measured on one device."""

    animal: str
    variant: str
    device: str
    ncu_version: str | None
    ncu_seconds: float
    ceilings: Ceilings
    measured: Measured
    rows: str | None
    reports: tuple[KernelReport, ...]
    source_digest: str | None = None
    recorded_on: str | None = None
    driver: str | None = None


def animals() -> Iterator[Animal]:
    """Yield every program: sick, healthy, and those the rules were never tuned on."""
    for folder in ("sick", "healthy", "unseen"):
        for source in sorted(HERE.glob(f"{folder}/*.cu")):
            yield _animal(source)


def _animal(source: Path) -> Animal:
    text = source.read_text()
    animal = Animal(
        name=source.stem,
        source=source,
        sickness=None,
        line=None,
        unseen=source.parent.name == "unseen",
        timeline="// TIMELINE" in text,
    )
    for number, words in enumerate(text.splitlines(), 1):
        if found := _SICK.search(words):
            line = None if found.group(2) else number
            return msgspec.structs.replace(animal, sickness=found.group(1), line=line)
    return animal


def recording(name: str) -> Recording:
    """Return one recording that ships, by animal and variant: `spills-first`."""
    packed = (RECORDED / f"{name}.json.xz").read_bytes()
    return msgspec.json.decode(lzma.decompress(packed), type=Recording)


def recorded() -> tuple[str, ...]:
    """Return the names of all recordings that ship."""
    return tuple(path.name.removesuffix(".json.xz") for path in sorted(RECORDED.glob("*.json.xz")))


def stale(animal: Animal) -> bool:
    """Tell whether a recording of the program as it is now is missing."""
    names = [f"{animal.name}-{variant.name}" for variant in VARIANTS]
    return not all(
        name in recorded() and recording(name).source_digest == animal.digest for name in names
    )

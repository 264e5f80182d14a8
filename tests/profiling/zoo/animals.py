"""The zoo's animals: which programs there are, what ails each, and on which line.

The programs themselves say so, in a comment on the sick line; `record.py` runs them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Ceilings, Flops, Precision, Work

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
_SICK = re.compile(r"//\s*SICK:\s*(\w+)(\s*\(no line\))?")


class Animal(msgspec.Struct, frozen=True, kw_only=True):
    """One program: its source, its sickness (None: healthy) and the sick line if there is one."""

    name: str
    source: Path
    sickness: str | None
    line: int | None

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


def animals() -> Iterator[Animal]:
    """Yield every program, the sick ones first."""
    for source in [*sorted(HERE.glob("sick/*.cu")), *sorted(HERE.glob("healthy/*.cu"))]:
        yield _animal(source)


def _animal(source: Path) -> Animal:
    for number, text in enumerate(source.read_text().splitlines(), 1):
        if found := _SICK.search(text):
            line = None if found.group(2) else number
            return Animal(name=source.stem, source=source, sickness=found.group(1), line=line)
    return Animal(name=source.stem, source=source, sickness=None, line=None)

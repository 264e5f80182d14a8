"""What the pages of the recorded animals find first, and how often that is what ails them.

    python tests/profiling/zoo/scores.py          # write the table into README.md beside this file

A test holds README.md to the recordings; judging is left to the pages.
"""

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import msgspec

from refine_agent.profiling import summary, trace
from refine_agent.profiling.evidence import KernelReport, TracedKernel
from refine_agent.profiling.records import Finding, Page
from tests.profiling.zoo.animals import VARIANTS, Animal, Recording, animals, recorded, recording

Named = TypeVar("Named", KernelReport, TracedKernel)
README = Path(__file__).with_name("README.md")
_MARKS = ("<!-- scores -->\n", "<!-- /scores -->")


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: the finding its page puts first, and what a report alone would say."""

    animal: Animal
    seen: Recording
    first: Finding | None
    alone: Finding | None

    @property
    def hit(self) -> bool:
        """Tell whether the page names sickness and line, or nothing of a healthy kernel."""
        return _names(self.first, self.animal)

    @property
    def hit_alone(self) -> bool:
        """Tell the same of the page that knows neither operation nor timing."""
        return _names(self.alone, self.animal)


def page(name: str, *, alone: bool = False, kernel: str | None = None) -> Page:
    """Return a recording's page; `alone` from the report only, `kernel` under another name."""
    seen = recording(name)
    timeline = trace.read(seen.rows) if seen.rows and not alone else None
    reports = seen.reports
    if kernel is not None:
        known = sorted({one.name for one in reports})
        names = {name: f"{kernel}_{number}" for number, name in enumerate(known)}
        reports = tuple(_renamed(one, names) for one in reports)
        timeline = timeline and msgspec.structs.replace(
            timeline, kernels=tuple(_renamed(one, names) for one in timeline.kernels)
        )
    return summary.page(
        candidate_digest=name,
        device=seen.device,
        shape=seen.variant,
        work=None if alone else seen.measured.work(),
        ceilings=None if alone else seen.ceilings,
        timing_us=None if alone else seen.measured.time_us,
        reports=reports,
        trace=timeline,
    )


def _renamed(one: Named, names: dict[str, str]) -> Named:
    return msgspec.structs.replace(one, name=names[one.name])


@cache
def scores() -> tuple[Score, ...]:
    """Return the score of every recording of a program as it is now."""
    known = {animal.name: animal for animal in animals()}
    found = []
    for name in recorded():
        seen = recording(name)
        first = next(iter(page(name).findings), None)
        alone = next(iter(page(name, alone=True).findings), None)
        found.append(Score(animal=known[seen.animal], seen=seen, first=first, alone=alone))
    return tuple(found)


def _names(finding: Finding | None, animal: Animal) -> bool:
    if finding is None or animal.sickness is None:
        return finding is None and animal.sickness is None
    return finding.kind == animal.sickness and animal.where in {None, finding.where}


def table() -> str:
    """Return hit rates and one row for each animal, as Markdown."""
    lines = [*_rates(), "", *_rows()]
    return "\n".join(lines) + "\n"


def _rates() -> Iterable[str]:
    seen = [score.seen for score in scores()]
    devices = ", ".join(sorted({f"{one.device}, driver {one.driver}" for one in seen}))
    tools = ", ".join(sorted({str(one.ncu_version) for one in seen}))
    days = sorted({str(one.recorded_on) for one in seen})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    yield f"Recorded on {devices}; Nsight Compute {tools}; {when}; one profile of each variant,"
    yield "times are medians of 20 with a flushed L2."
    yield ""
    yield "| recordings | page: sickness and line named first | the report alone |"
    yield "|---|---|---|"
    for unseen in (False, True):
        for healthy in (False, True):
            yield _rate(unseen=unseen, healthy=healthy)
    missing = [animal.name for animal in animals() if not both_recorded(animal)]
    if missing:
        yield ""
        yield f"Not recorded as they are now: {', '.join(missing)}."


def _rate(*, unseen: bool, healthy: bool) -> str:
    group = [
        one
        for one in scores()
        if one.animal.unseen == unseen and (one.animal.sickness is None) == healthy
    ]
    name = "healthy: no finding at all" if healthy else "sick"
    name += ", unseen by the rules" if unseen else ", rules tuned on them"
    if not group:
        return f"| {name} | none recorded yet | |"
    hits, alone = sum(one.hit for one in group), sum(one.hit_alone for one in group)
    return f"| {name} | {hits} of {len(group)} | {alone} of {len(group)} |"


def both_recorded(animal: Animal) -> bool:
    """Tell whether both variants were recorded of the program as it is now."""
    return sum(score.animal == animal for score in scores()) == len(VARIANTS)


def _rows() -> Iterable[str]:
    yield "| animal | what ails it | variant | time | over the ceiling | the page's first finding |"
    yield "|---|---|---|---|---|---|"
    for score in scores():
        ails = _what(score.animal.sickness, score.animal.where)
        first = _what(score.first.kind, score.first.where) if score.first else "none"
        ratio = page(f"{score.seen.animal}-{score.seen.variant}").value("floor_ratio")
        over = f"{ratio:.2f}x" if ratio is not None else ""
        miss = "" if score.hit else "MISS: "
        yield (
            f"| {score.animal.name} | {ails} | {score.seen.variant} | "
            f"{score.seen.measured.time_us:.1f} us | {over} | {miss}{first} |"
        )


def _what(kind: str | None, where: str | None) -> str:
    return "nothing" if kind is None else kind + (f" at {where}" if where else "")


def written() -> str:
    """Return the table as README.md has it."""
    return README.read_text().split(_MARKS[0])[1].split(_MARKS[1])[0]


def main() -> None:
    """Write the table into README.md and print its rates."""
    before, _, after = README.read_text().partition(_MARKS[0])
    README.write_text(f"{before}{_MARKS[0]}{table()}{_MARKS[1]}{after.partition(_MARKS[1])[2]}")
    print("\n".join(_rates()))  # noqa: T201  (a script)


if __name__ == "__main__":
    main()

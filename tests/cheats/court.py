"""Trying cheats: with every layer on, with theirs left out, and their honest twins.

It owns reading the files of this folder and of ``tests/controls`` and what counts as caught; the
verdicts are the real bench's, on real processes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import msgspec

from refine_agent.bench import LocalBench
from refine_agent.judge.layers import Layers
from refine_agent.judge.seats import Deadlines
from refine_agent.loop import Quiet
from refine_agent.records import (
    AnyVerdict,
    Candidate,
    Environment,
    Options,
    Passed,
    Problem,
    headline,
)
from tests.cheats.bare import Grade, Request

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTROLS = HERE.parent / "controls"
# Doubts about the size of a speedup, the fitness of a toy problem or a machine that does other work,
# not about how a speedup came about: on a busy machine the judge's own clock counts.
HARMLESS = {"incredible", "weak problem", "below the measured floor", "noisy", "busy machine"}
# More than this share of the time in somebody else's kernels is named in the verdict.
NAMED_PCT = 50.0
# A cheat that is neutralised gains no more than this.
NOTHING = 1.6
# What is found here is found in any block; nobody needs narrow intervals.
DEADLINES = Deadlines(load_s=120.0, calls_s=20.0, sampling_s=0.2)
# Each holds a judge, a nursery and two witnesses.
MOST_BENCHES = 2


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with what its header says of it."""

    path: Path
    source: str
    number: str
    title: str
    mechanism: str
    problem: str
    device: str = "any"
    layer: str = ""
    off: tuple[str, ...] = ()
    caught: str = ""

    @property
    def twin(self) -> str:
        """The same file, honest."""
        return self.source.replace("CHEATING = True", "CHEATING = False", 1)

    @property
    def digest(self) -> str:
        """Of the file and of the problem it is tried on: a recording holds for nothing else."""
        both = self.source + problem(self.problem).source
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    @property
    def is_control(self) -> bool:
        return self.path.parent == CONTROLS

    @property
    def counts(self) -> bool:
        """Whether it is one of those that must be caught, not one that is shown to get through."""
        return self.layer != "nothing"

    def runs_on(self, device: str) -> bool:
        return self.device in ("any", device)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one trial."""

    verdict: str  # in a few words
    kind: str  # Passed, Mismatch, ...
    flags: tuple[str, ...] = ()
    speedup: float | None = None
    seconds: float | None = None
    fence: str | None = None

    @property
    def clean(self) -> bool:
        return self.kind == "Passed" and not self.flags

    def __str__(self) -> str:
        return f"{self.verdict} ({', '.join(self.flags)})" if self.flags else self.verdict


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    number: str
    title: str
    layer: str
    expected: str
    digest: str
    tries: int = 1  # on a busy machine more than one
    on: Outcome
    off: Outcome | None = None
    twin: Outcome | None = None

    @property
    def counts(self) -> bool:
        return self.layer != "nothing"

    @property
    def holds(self) -> bool:
        """Whether the row shows what it should: caught, by its layer, and the honest twin passes."""
        return not self.counts or (self.caught and self.passes_without and self.twin_passes)

    @property
    def caught(self) -> bool:
        return any(map(self._came_to, self.expected.split(" or ")))

    def _came_to(self, expected: str) -> bool:
        if expected == "nothing gained":
            return self.on.kind == "Passed" and (self.on.speedup or 0) < NOTHING
        return expected == self.on.kind or expected in self.on.flags

    @property
    def passes_without(self) -> bool:
        """Whether it passes when its layer is left out: that it is this layer which catches it."""
        if self.off is None:
            return True
        if "nothing gained" in self.expected:
            return self.off.clean and (self.off.speedup or 0) > NOTHING
        return self.off.clean

    @property
    def twin_passes(self) -> bool:
        return self.twin is None or self.twin.clean


def cheats() -> list[Case]:
    """Every cheat of this folder, by number."""
    return [_read(path) for path in sorted(HERE.glob("c*_*.py"))]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An honest control, and whether it was kept."""

    name: str
    digest: str
    tries: int = 1
    outcome: Outcome


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the table found, as the file that a test reads."""

    date: str
    device: str
    torch: str
    fence: str | None
    seconds: float
    cheats: list[Row]
    controls: list[Kept]
    not_reached: list[str] = []  # when the seconds it was given ran out


def by_problem(cases: list[Case]) -> list[Case]:
    """Order cases so that each problem is opened once."""
    return sorted(cases, key=lambda case: (case.problem, case.layer == "whose", case.number))


def controls() -> list[Case]:
    """Every honest control."""
    return [_read(path) for path in sorted(CONTROLS.glob("*.py")) if not path.stem.startswith("_")]


def _read(path: Path) -> Case:
    source = path.read_text()
    head = dict(re.findall(r"^# (\w+)(?: \d+)?: (.*)$", source, re.MULTILINE))
    number = re.search(r"^# cheat (\d+):", source, re.MULTILINE)
    off = head.get("off", head.get("layer", ""))
    return Case(
        path=path,
        source=source,
        number=number[1] if number else path.stem,
        title=head.get("cheat", head.get("control", path.stem)),
        mechanism=head.get("mechanism", ""),
        problem=head["problem"],
        device=head.get("device", "any"),
        layer=head.get("layer", ""),
        off=() if off == "-" else tuple(off.split()),
        caught=head.get("caught", ""),
    )


class Court:
    """Benches by problem, opened as they are needed, and the bare check beside them."""

    def __init__(self, device: str, folder: Path) -> None:
        self._device = device
        self._folder = folder
        self._benches: dict[tuple[str, bool], LocalBench] = {}
        self.environment: Environment | None = None
        self._bare: subprocess.Popen[str] | None = None

    def __enter__(self) -> Court:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bare is not None:
            self._bare.kill()
            self._bare.communicate()
        for bench in self._benches.values():
            bench.close()

    def row(self, case: Case, *, shown: bool = True) -> Row:
        """Try a cheat; with its layer left out and as its honest twin too, if ``shown``."""
        on = self.tried(case, case.source)
        if not shown:
            return _row(case, on, None, None)
        off = self.without(case) if case.off else None
        twin = self.tried(case, case.twin) if case.twin != case.source else None
        return _row(case, on, off, twin)

    def kept(self, case: Case) -> Kept:
        """Try an honest control."""
        return Kept(name=case.number, digest=case.digest, outcome=self.tried(case, case.source))

    def without(self, case: Case) -> Outcome:
        """Try a cheat with the layers left out that should catch it."""
        if case.off == ("apart",):
            return self.bare(case, case.source)
        layers = Layers(**dict.fromkeys(case.off, False))
        # What is built behind no wall must not be found in the cache by who builds behind one.
        return self.tried(case, case.source.replace("UNSALTED", f"s{secrets.token_hex(4)}"), layers)

    def tried(self, case: Case, source: str, layers: Layers | None = None) -> Outcome:
        bench = self._bench(case.problem, traced=case.layer == "whose")
        bench.layers = layers or Layers()
        candidate = Candidate(source=source)
        verdict = bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())
        return outcome(verdict, case)

    def bare(self, case: Case, source: str) -> Outcome:
        """Grade in process: what the bare check says of a candidate."""
        if self._bare is None:
            self._bare = subprocess.Popen(
                [sys.executable, "-m", "tests.cheats.bare"],
                cwd=ROOT,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._bare.stdin is not None
        assert self._bare.stdout is not None
        device = "cuda" if self._device != "cpu" else "cpu"
        request = Request(problem=problem(case.problem).source, candidate=source, device=device)
        self._bare.stdin.write(msgspec.json.encode(request).decode() + "\n")
        self._bare.stdin.flush()
        grade = msgspec.json.decode(self._bare.stdout.readline(), type=Grade)
        said = f"bare check: {'correct' if grade.correct else 'wrong'}, {grade.speedup:.2f}x"
        return Outcome(
            verdict=f"{said} {grade.why}".strip(),
            kind="Passed" if grade.correct else "Mismatch",
            speedup=grade.speedup,
        )

    def _bench(self, name: str, *, traced: bool) -> LocalBench:
        if (name, traced) not in self._benches:
            options = Options(
                device=self._device, compile_baseline=False, profile="torch" if traced else "off"
            )
            while len(self._benches) >= MOST_BENCHES:
                self._benches.pop(next(iter(self._benches))).close()
            bench = LocalBench(problem(name), options, self._folder, deadlines=DEADLINES)
            self._benches[name, traced] = bench
            self.environment = bench.measure(problem(name), Quiet()).environment
        return self._benches[name, traced]


def problem(name: str) -> Problem:
    return Problem(name=name, source=(HERE / "problems" / f"{name}.py").read_text())


def outcome(verdict: AnyVerdict, case: Case) -> Outcome:
    flags: tuple[str, ...] = ()
    speedup = None
    if isinstance(verdict, Passed):
        flags = tuple(doubt.kind for doubt in verdict.suspicions if doubt.kind not in HARMLESS)
        if case.layer == "whose":
            flags += tuple(
                share.origin
                for share in verdict.shares
                if share.origin in ("library", "compiler") and share.share_pct > NAMED_PCT
            )
        speedup = verdict.speedup.value
    return Outcome(
        verdict=_unplaced(headline(verdict))[:160].replace("\n", " "),
        kind=type(verdict).__name__,
        flags=flags,
        speedup=speedup,
        seconds=round(sum(phase.seconds for phase in verdict.phases), 2),
        fence=getattr(verdict, "fence", None),
    )


def _unplaced(text: str) -> str:
    """Without where on this machine things lie."""
    return text.replace(f"{ROOT}/", "").replace(str(Path.home()), "~")


def _row(case: Case, on: Outcome, off: Outcome | None, twin: Outcome | None) -> Row:
    return Row(
        number=case.number,
        title=case.title,
        layer=case.layer,
        expected=case.caught,
        digest=case.digest,
        on=on,
        off=off,
        twin=twin,
    )

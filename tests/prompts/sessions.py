"""Small invented runs, written by the real transcript, in which every kind of verdict occurs.

They own what a prompt can be about; each measured number goes through a factor, so that the same
session can have taken place on a faster or a slower machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from refine_agent.profiling.records import (
    Change,
    Finding,
    Flops,
    Grade,
    Metric,
    Page,
    Prediction,
    Work,
)
from refine_agent.records import (
    Attempt,
    Baseline,
    Budget,
    BuildFailed,
    Candidate,
    Changed,
    Checks,
    Crashed,
    Disqualified,
    Environment,
    Fitness,
    Hinted,
    Judged,
    Measured,
    Mismatch,
    Offered,
    Options,
    Passed,
    Problem,
    Profiled,
    Prompted,
    Ratio,
    Replied,
    Reply,
    Sealed,
    Setup,
    Share,
    Started,
    Suspicion,
    TimedOut,
    Timing,
    TurnClosed,
    Unreadable,
    Usage,
    Vetoed,
)
from refine_agent.transcript import SCHEMA, Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.records import AnyVerdict, Prompt

REFERENCE = '''\
import torch
from torch import nn


class Model(nn.Module):
    """Row-wise softmax."""

    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(1024, 4096)]


def get_init_inputs():
    return []
'''
PROBLEM = Problem(name="softmax", source=REFERENCE)
PREDICTION = Prediction(metric="time_us", before=180.0, after=120.0)


def source(name: str, constant: int = 256) -> str:
    """Return a candidate that differs from others by its name and one constant."""
    return (
        "import torch\nfrom torch.utils.cpp_extension import load_inline\n\n"
        f'CUDA = r"""\n// {name}: 3.25 rows per block\n'
        f'constexpr int THREADS = {constant};\n"""\n\n\n'
        "class ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    )


def timing(median_us: float, factor: float = 1.0) -> Timing:
    """Return a timing of ± 1 %."""
    median_us = round(median_us * factor, 1)
    return Timing(
        median_us=median_us,
        low_us=round(median_us * 0.99, 1),
        high_us=round(median_us * 1.01, 1),
        samples=int(200 * factor),
    )


def passed(median_us: float, factor: float = 1.0, **fields: object) -> Passed:
    """Return the verdict on a right kernel; eager takes 180 µs, torch.compile 150."""

    def ratio(value: float) -> Ratio:
        return Ratio(value=value, low=value * 0.98, high=value * 1.02)

    verdict = Passed(
        timing=timing(median_us, factor),
        judge_clock=timing(median_us + 2, factor),
        eager=timing(180.0, factor),
        compiled=timing(150.0, factor),
        speedup=ratio(150.0 / median_us),
        vs_eager=ratio(180.0 / median_us),
        vs_compiled=ratio(150.0 / median_us),
        checks=Checks(
            cases=4,
            calls=96,
            worst_case="normal",
            worst_error=2.1e-7 * factor,
            allowed_error=1.5e-6,
        ),
        call=timing(median_us + 9, factor),
    )
    return msgspec.structs.replace(verdict, **fields)


def setup(kind: str = "cuda", factor: float = 1.0) -> Setup:
    """Return what the bench found out on a GPU or on a CPU."""
    environment = (
        Environment(
            device="NVIDIA H200",
            device_kind="cuda",
            driver="580.159.04",
            torch="2.11.0+cu130",
            compiler="nvcc 13.0.88",
            cores=16,
        )
        if kind == "cuda"
        else Environment(
            device="x86-64 CPU with AVX2",
            device_kind="cpu",
            torch="2.13.0+cpu",
            compiler="g++ 12.2.0",
            cores=2,
        )
    )
    return Setup(
        environment=environment,
        fitness=Fitness(
            rejected=("zeros", "mean", "input copy"),
            cases=("normal", "large offsets"),
            allowed_error=1.5e-6,
            inputs=("float32[1024, 4096]",),
            outputs=("float32[1024, 4096]",),
        ),
        baseline=Baseline(eager=timing(180.0, factor), compiled=timing(150.0, factor)),
        work=Work(
            bytes_needed=2 * 1024 * 4096 * 4,
            flops=(Flops(precision="fp32", count=5 * 1024 * 4096),),
            unfused_bytes=5 * 1024 * 4096 * 4,
            caveats=("inputs fit the L2",),
        ),
        ceilings=(f"measured copy {4270 * factor:.0f} GB/s",),
        bound_us=7.0,
        floor_us=round(7.9 * factor, 1),
    )


def page(of: str, time_us: float, factor: float = 1.0, *, changed: bool = False) -> Page:
    """Return the profile of a candidate."""
    time_us = round(time_us * factor, 1)
    change = Change(
        metric="time_us",
        before=150.0,
        after=time_us,
        unit="us",
        direction="better",
        text=f"time_us {150.0 * factor:.0f} -> {time_us:.1f} us (better)",
    )
    return Page(
        candidate_digest=Candidate(source=of).digest,
        rung="ncu",
        device="NVIDIA H200",
        shape="float32[1024, 4096]",
        metrics=(
            Metric(key="time_us", value=time_us, unit="us"),
            Metric(key="dram_pct", value=min(99.0, 41.5 * factor), unit="%", ceiling=100),
        ),
        findings=(Finding(kind="x", severity=0.2, text="two passes", advice="keep the row"),),
        lines=(
            f"KERNEL softmax_rows  grid 1024 x block 256  {time_us:.1f} us",
            f"DRAM  {3.3 * factor:.2f} of 4.81 TB/s",
            f"STALL  long_scoreboard {60 * factor:.0f} %",
        ),
        changed=(change,) if changed else (),
    )


class Book:
    """Writes a run, event by event."""

    def __init__(
        self,
        folder: Path,
        *,
        options: Options | None = None,
        setup: Setup,
        problem: Problem | None = None,
    ) -> None:
        self.now = 1_795_000_000.0
        self.run = Transcript.create(
            folder,
            Started(
                at=self.now,
                schema=SCHEMA,
                run=folder.name,
                problem=problem or PROBLEM,
                model="openai/served",
                options=options or Options(),
                templates={},
                version="0",
            ),
        )
        self.run.record(Measured(at=self.now, setup=setup))

    def prompted(self, prompt: Prompt) -> int:
        """Begin the next turn."""
        turn, parent = self.run.next_turn, self.run.parent
        number = parent.number if parent is not None else None
        self.run.record(Prompted(at=self.now, turn=turn, prompt=prompt, parent=number))
        return turn

    def replied(self, turn: int, text: str = "…", **fields: object) -> int:
        """Give the next reply of a turn."""
        attempt = self.run.next_attempt
        reply = Reply(text=text, model="openai/served", answers="0" * 16, usage=Usage())
        reply = msgspec.structs.replace(reply, **fields)
        self.run.record(Replied(at=self.now, turn=turn, attempt=attempt, reply=reply))
        return attempt

    def arrived(self, reply: Reply, *, attempt: int) -> None:
        """Give a turn under way a reply that exists already."""
        turn = self.run.open_turn
        assert turn is not None
        self.run.record(Replied(at=self.now, turn=turn, attempt=attempt, reply=reply))

    def judged(
        self,
        attempt: int,
        verdict: AnyVerdict,
        *,
        of: str | None = None,
        idea: str | None = None,
        parent: int | None = None,
    ) -> None:
        """Judge one attempt; every kernel foretells the same."""
        known = self.run.attempt(attempt)
        candidate = (
            Candidate(
                source=of, author=known.author, parent=parent, idea=idea, prediction=PREDICTION
            )
            if of is not None
            else None
        )
        self.run.record(
            Judged(
                at=self.now, turn=known.turn, attempt=attempt, verdict=verdict, candidate=candidate
            )
        )

    def profiled(self, attempt: int, found: Page, grade: Grade | None = None) -> None:
        """Profile one attempt."""
        turn = self.run.attempt(attempt).turn
        self.run.record(
            Profiled(at=self.now, turn=turn, attempt=attempt, page=found, grade=grade, seconds=3)
        )

    def offered(self, of: str, idea: str) -> int:
        """Put the engineer's kernel on the bench."""
        turn, attempt = self.run.next_turn, self.run.next_attempt
        self.run.record(Offered(at=self.now, turn=turn, attempt=attempt, source=of, idea=idea))
        return attempt

    def closed(self, turn: int, seconds: float = 30.0) -> None:
        """End a turn."""
        self.run.record(TurnClosed(at=self.now, turn=turn, ledger=(), seconds=seconds))

    def hinted(self, text: str) -> None:
        """Let the engineer say something."""
        self.run.record(Hinted(at=self.now, text=text))

    def vetoed(self, attempt: int, reason: str) -> None:
        """Let the engineer turn a kernel down."""
        self.run.record(Vetoed(at=self.now, attempt=attempt, reason=reason))

    def changed(self, options: Options) -> None:
        """Let the engineer change how the run goes on."""
        self.run.record(Changed(at=self.now, model=self.run.model, options=options))

    def sealed(self, attempt: int, verdict: AnyVerdict) -> None:
        """Record the sealed verdict."""
        self.run.record(Sealed(at=self.now, attempt=attempt, verdict=verdict))


def again(run: Transcript) -> Book:
    """Return a book that goes on with a run."""
    book = Book.__new__(Book)
    book.run, book.now = run, 1_795_001_000.0
    return book


LIMITS = Options(budget=Budget(turns=12, target=9.0, usd=2.0, minutes=30, patience=4))
BUILD_LOG = (
    'candidate.cu(14): error: identifier "rowmax" is undefined\n'
    "      float m = rowmax;\n                ^\n1 error detected in the compilation.\n"
)
WRONG = Mismatch(
    case="large offsets",
    reason="3,072 of 4,194,304 elements differ",
    error=0.31,
    allowed=1.5e-6,
    where="[17, 4095]: got 0.0, wanted 0.0123",
    map="........\n.......#\n",
)
VERDICTS: dict[str, AnyVerdict] = {
    "Unreadable": Unreadable(reason="there is no fenced code block in the reply"),
    "BuildFailed": BuildFailed(log=BUILD_LOG),
    "Crashed": Crashed(
        during="check",
        reason="CUDA error: misaligned address",
        log="memcheck: 16-byte read at 0x7f3",
    ),
    "TimedOut": TimedOut(during="check", seconds=20),
    "Mismatch": WRONG,
    "Disqualified": Disqualified(
        rule="inputs are read-only", evidence="input 0 changed during call 3"
    ),
    "Passed": passed(
        120.0,
        suspicions=(Suspicion(kind="clock", evidence="device time 12 % under the judge's"),),
        shares=(
            Share(origin="authored", share_pct=88.0, example="softmax_rows"),
            Share(origin="library", share_pct=12.0, example="at::native::copy"),
        ),
    ),
}


def attempt(kind: str) -> Attempt:
    """Return an attempt that met this verdict."""
    readable = kind != "Unreadable"
    of = source(kind.lower())
    right = kind == "Passed"
    return Attempt(
        number=7,
        turn=7,
        author="model",
        candidate=Candidate(source=of, parent=3, prediction=PREDICTION) if readable else None,
        verdict=VERDICTS[kind],
        page=page(of, 120.0, changed=True) if right else None,
        grade=grade() if right else None,
    )


def grade(factor: float = 1.0) -> Grade:
    """Return how the prediction fared."""
    measured = 121.0 * factor
    return Grade(
        prediction=PREDICTION,
        measured=measured,
        verdict="confirmed",
        text=f"you expected time_us 180 -> 120; it is {measured:.0f}: confirmed",
    )


def first(folder: Path, *, kind: str = "cuda", factor: float = 1.0) -> Transcript:
    """Return a run before its first turn."""
    return Book(folder, setup=setup(kind, factor)).run


def long(
    folder: Path, *, kind: str = "cuda", factor: float = 1.0, constant: int = 256
) -> Transcript:
    """Return a run of five turns: failures of several kinds, an offer, a veto, a hint."""
    book = Book(folder, options=LIMITS, setup=setup(kind, factor))
    run = book.run
    turn = book.prompted(_prompt(run))
    one = book.replied(turn, cost_usd=0.11)
    book.judged(one, VERDICTS["BuildFailed"], of=source("first"), idea="One block per row.")
    book.closed(turn)
    turn = book.prompted(_prompt(run))
    two = book.replied(turn, cost_usd=0.1 * factor)
    good = source("second", constant)
    book.judged(
        two,
        passed(150.0, factor),
        of=good,
        idea="Fix the names.",
        parent=one,
    )
    book.profiled(two, page(good, 150.0, factor), grade(factor))
    book.closed(turn)
    turn = book.prompted(_prompt(run))
    three = book.replied(turn, cost_usd=0.1)
    book.judged(three, WRONG, of=source("third"), idea="Online softmax.", parent=two)
    book.closed(turn)
    offer = book.offered(source("offered"), "float4 loads")
    own = source("offered")
    book.judged(offer, passed(100.0, factor), of=own, idea="float4 loads")
    book.profiled(offer, page(own, 100.0, factor, changed=True))
    book.closed(run.attempt(offer).turn)
    turn = book.prompted(_prompt(run))
    five = book.replied(turn, cost_usd=0.1)
    fast = source("fifth")
    book.judged(five, passed(9.0, factor), of=fast, idea="Remember the last result.", parent=offer)
    book.closed(turn, 40.0 * factor)
    book.vetoed(five, "It keeps the output of the call before.")
    book.hinted("Try one warp per row;\nthe rows are short.")
    return run


def _prompt(run: Transcript) -> Prompt:
    from refine_agent.prompts import render  # noqa: PLC0415 - the room under test

    return render(run)

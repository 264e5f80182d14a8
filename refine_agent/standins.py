"""Stand-ins for the loop's two seams: an author with a script, a bench that believes what it reads.

They let a loop, a session or a user's own tooling run in milliseconds without model, compiler or
device; real answers come from `author`, real measurements from `bench`.

Example:
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from refine_agent.records import Budget, Options, Problem
    >>> from refine_agent.session import Session
    >>> author = ScriptedAuthor([kernel(speedup=1.2), "Let me think.", kernel(speedup=1.7)])
    >>> session = Session.start(
    ...     Problem(name="scale", source="..."),
    ...     options=Options(budget=Budget(turns=3)),
    ...     runs=Path(mkdtemp()),
    ...     author=author,
    ...     bench=ScriptedBench(),
    ... )
    >>> [attempt.speedup for turn in session.run() for attempt in turn.attempts]
    [1.2, 0.0, 1.7]
    >>> session.best.number
    3
"""

from __future__ import annotations

import re
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace

from refine_agent.loop import NoAnswer
from refine_agent.profiling.records import Page, Work
from refine_agent.records import (
    Baseline,
    BuildFailed,
    Candidate,
    Checks,
    Environment,
    Fitness,
    Mismatch,
    Passed,
    Phase,
    Prompt,
    Ratio,
    Reply,
    Setup,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refine_agent.loop import Watch
    from refine_agent.records import AnyVerdict, Problem

EAGER_US = 1000.0
COMPILED_US = 800.0
_SAYS = re.compile(
    r"^# (?P<what>speedup|mismatch|does not build)(?:: (?P<value>.+))?$", re.MULTILINE
)


def timing(median_us: float, *, spread: float = 0.01) -> Timing:
    """Return a timing around a median, ``spread`` to either side."""
    low, high = median_us * (1 - spread), median_us * (1 + spread)
    return Timing(median_us=median_us, low_us=low, high_us=high, samples=100)


def ratio(value: float, *, spread: float = 0.01) -> Ratio:
    """Return a ratio with an interval of ``spread`` to either side."""
    return Ratio(value=value, low=value * (1 - spread), high=value * (1 + spread))


def passed(speedup: float, *, spread: float = 0.01) -> Passed:
    """Return the verdict on a right kernel, so many times faster than the faster baseline."""
    taken = timing(COMPILED_US / speedup, spread=spread)
    return Passed(
        timing=taken,
        judge_clock=taken,
        eager=timing(EAGER_US),
        compiled=timing(COMPILED_US),
        speedup=ratio(speedup, spread=spread),
        vs_eager=ratio(speedup * EAGER_US / COMPILED_US, spread=spread),
        vs_compiled=ratio(speedup, spread=spread),
        checks=Checks(cases=1, calls=1, worst_case="normal", worst_error=0.0, allowed_error=1e-4),
        phases=(Phase(name="judge", seconds=0.001),),
    )


def kernel(
    *,
    speedup: float | None = None,
    idea: str = "a scripted idea",
    says: str | None = None,
    note: str = "",
) -> str:
    """Return a reply whose kernel says in a comment how ``ScriptedBench`` shall find it.

    Give ``speedup``, or ``says="does not build"`` or ``says="mismatch: last tile"``.
    """
    claim = f"speedup: {speedup}" if speedup is not None else says
    lines = [f"# {claim}", *([f"# {note}"] if note else []), "class ModelNew: ..."]
    return "\n".join([f"IDEA: {idea}", "", "```python", *lines, "```"])


def source(*, speedup: float | None = None, says: str | None = None, note: str = "") -> str:
    """Return a kernel as a file: what ``kernel`` puts between its fences."""
    return kernel(speedup=speedup, says=says, note=note).split("```")[1].removeprefix("python\n")


class ScriptedAuthor:
    """Gives the replies of a script in order; raises those that are exceptions.

    When the script is over it raises ``NoAnswer``, as an author does who waits for a person.
    """

    def __init__(
        self, replies: Iterable[str | Reply | BaseException], *, name: str = "script"
    ) -> None:
        self.name = name
        self.asked: list[Prompt] = []
        self._replies = deque(replies)
        self._lock = Lock()  # samples are asked for side by side

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Return the next reply of the script."""
        with self._lock:
            self.asked.append(prompt)
            if not self._replies:
                raise NoAnswer(f"the script has no reply for attempt {attempt}")
            answer = self._replies.popleft()
        if isinstance(answer, BaseException):
            raise answer
        text = answer.text if isinstance(answer, Reply) else answer
        watch.text(text)
        if isinstance(answer, Reply):
            return answer
        return Reply(text=text, model=self.name, answers=prompt.digest, finish_reason="stop")


class ScriptedBench:
    """Finds what a candidate's own comment says, or the verdicts of a list in order.

    Without ``verdicts`` it reads ``# speedup: 1.7``, ``# does not build`` or ``# mismatch: why``,
    so that a run which is killed and resumed meets the same findings. What it was asked is kept in
    ``built``, ``judged``, ``profiled`` and ``sealed``.
    """

    def __init__(
        self, verdicts: Iterable[AnyVerdict | BaseException] = (), *, seals: bool = True
    ) -> None:
        self.built: list[Candidate] = []
        self.judged: list[Candidate] = []
        self.profiled: list[Candidate] = []
        self.sealed: list[Candidate] = []
        self._verdicts = deque(verdicts)
        self._found: dict[str, AnyVerdict] = {}
        self._listed = bool(self._verdicts)
        self._seals = seals

    def measure(self, problem: Problem, watch: Watch) -> Setup:
        """Return a machine that does not exist."""
        watch.phase("setup")
        return setup()

    def build(self, candidate: Candidate, watch: Watch) -> AnyVerdict | None:
        """Refuse a candidate that says it does not build."""
        self.built.append(candidate)
        if self._listed:
            return None
        verdict = _told(candidate)
        return verdict if isinstance(verdict, BuildFailed) else None

    def judge(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Return the scripted verdict."""
        watch.phase("judge")
        self.judged.append(candidate)
        verdict = self._verdicts.popleft() if self._listed else _told(candidate)
        if isinstance(verdict, BaseException):
            raise verdict
        self._found[candidate.digest] = verdict
        return verdict

    def profile(self, candidate: Candidate, verdict: Passed, watch: Watch) -> Page | None:
        """Return a page of one line."""
        self.profiled.append(candidate)
        return Page(
            candidate_digest=candidate.digest,
            rung="timing",
            device="scripted",
            shape="float32[1]",
            lines=(f"scripted: {verdict.timing.median_us:.1f} µs per call",),
        )

    def seal(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Confirm what was judged, or refuse everything when built with ``seals=False``."""
        self.sealed.append(candidate)
        if not self._seals:
            return Mismatch(case="sealed", reason="differs under a fresh seed")
        verdict = self._found.get(candidate.digest) or _told(candidate)
        return replace(verdict, sealed=True) if isinstance(verdict, Passed) else verdict


def setup() -> Setup:
    """Return what a scripted bench finds: an invented machine and its baselines."""
    return Setup(
        environment=Environment(device="scripted device", device_kind="cpu"),
        fitness=Fitness(rejected=("zeros", "input copy", "mean"), cases=("normal",)),
        baseline=Baseline(eager=timing(EAGER_US), compiled=timing(COMPILED_US)),
        work=Work(bytes_needed=1 << 20),
    )


def _told(candidate: Candidate) -> AnyVerdict:
    said = _SAYS.search(candidate.source)
    if said is None:
        return Mismatch(case="normal", reason="the candidate does not say what it is worth")
    match said["what"]:
        case "speedup":
            return passed(float(said["value"]))
        case "does not build":
            return BuildFailed(log=said["value"] or "error: expected ';'")
        case _:
            return Mismatch(
                case="normal", reason=said["value"] or "differs", error=1.0, allowed=1e-4
            )

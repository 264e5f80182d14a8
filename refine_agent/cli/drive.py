"""Pacing a session from the shell: turns, saves, the gate, Ctrl-C, and what it all came to.

Which turn comes next is the session's; how it looks is the screen's.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rich.table import Table

from refine_agent import inbox, rows
from refine_agent.author import AuthorFault
from refine_agent.cli import faults, words
from refine_agent.cli.gate import Gate
from refine_agent.cli.screen import EventLines, Screen, console_for
from refine_agent.kernel_file import read_candidate
from refine_agent.legible import phrase
from refine_agent.loop import BenchFault, NoAnswer
from refine_agent.records import Passed

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType, TracebackType

    from refine_agent.records import AnyVerdict
    from refine_agent.session import Session
    from refine_agent.transcript import Transcript

COMMAND = "python -m refine_agent"
WAIT_SECONDS = 0.3
# The field's metric: the share of problems solved right and more than p times faster.
FAST_P = (0.0, 1.0, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run came to; ``doubtful`` where the judge suspects the speedups."""

    problem: str
    code: int
    speedup: float | None = None
    vs_eager: float | None = None
    doubtful: bool = False

    @property
    def severity(self) -> int:
        """Order outcomes of a folder by what its caller should hear of: faults before misses."""
        order = (
            faults.DONE,
            faults.FINISHED_WITHOUT,
            faults.WAITS,
            faults.USAGE,
            faults.MODEL,
            faults.MACHINE,
            faults.INTERRUPTED,
        )
        return order.index(self.code)


@dataclass(frozen=True, kw_only=True)
class Share:
    """One row of the table of ``fast_p``: the share of problems for each p."""

    over: str
    with_doubtful: bool
    fast_p: dict[float, float]


class Look:
    """Where a run is shown: a screen for people and, on request, events for programs."""

    def __init__(self, *, as_json: bool) -> None:
        self.screen = Screen(console_for(stderr=as_json))
        self.events = EventLines(self.screen) if as_json else None
        self.watch = self.events or self.screen

    def opening(self, session: Session) -> None:
        """Say who answers, and about what; a recording says so first."""
        run = session.transcript
        if run.model.startswith("recorded:"):
            self.screen.say(
                f"answers come from a recorded session, {phrase(run.model)}; "
                "builds, checks, timings and profiles are live"
            )
        budget = run.options.budget
        limits = [
            f"{budget.turns} turn{'' if budget.turns == 1 else 's'}"
            if budget.turns is not None
            else "",
            f"target {budget.target:g}x" if budget.target is not None else "",
            f"${budget.usd:g}" if budget.usd is not None else "",
            f"{budget.minutes:g} minutes" if budget.minutes is not None else "",
            f"patience {budget.patience}" if budget.patience is not None else "",
        ]
        self.screen.say(
            f"problem   {phrase(run.problem.name)} ({run.problem.digest})",
            f"author    {phrase(run.model)} · {', '.join(each for each in limits if each)}",
            f"run       {run.folder}",
        )
        if run.setup is not None:
            self.screen.replay(run)
        self.watch.follow(run)

    def closing(self, session: Session, *, why: str, code: int) -> None:
        """Show the result, and write it down for programs."""
        self.screen.close()
        for part in words.closing(session.transcript, why=why, command=COMMAND):
            self.screen.console.print(part)
        if self.events is not None:
            self.events.write(
                {
                    "event": "result",
                    "at": time.time(),
                    "exit_code": code,
                    "why": why,
                    "run": rows.run(session.transcript),
                }
            )

    def summary(self, outcomes: list[Outcome], *, problems: int) -> None:
        """Show how a folder of so many problems went; those not begun count as not solved."""
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        for title in ("problem", "speedup", "over eager"):
            table.add_column(title, justify="left" if title == "problem" else "right")
        for each in outcomes:
            ratios = (_ratio(each, each.speedup), _ratio(each, each.vs_eager))
            table.add_row(each.problem, *ratios)
        self.screen.say("")
        self.screen.console.print(table)
        self.screen.say("")
        self.screen.console.print(fast_p_table(outcomes, problems=problems))
        if self.events is not None:
            self.events.write(
                {
                    "event": "fast_p",
                    "problems": problems,
                    "begun": len(outcomes),
                    "rows": outcomes,
                    "shares": shares_of(outcomes, problems=problems),
                }
            )


class Brake:
    """Ctrl-C: the first asks the run to stop at the end of its turn, the second leaves at once."""

    def __init__(self, screen: Screen) -> None:
        self.pulled = False
        self.at_once = False  # while a person is asked there is nothing to wait for
        self._screen = screen
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> Self:
        for number, reaction in ((signal.SIGINT, self._pull), (signal.SIGTERM, self._leave)):
            self._before.append((number, signal.signal(number, reaction)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, reaction in self._before:
            signal.signal(number, reaction)

    def _pull(self, _number: int, _frame: FrameType | None) -> None:
        if self.pulled or self.at_once or self._screen.waits_for_a_person:
            raise KeyboardInterrupt
        self.pulled = True
        self._screen.say(
            "stopping at the end of this turn; Ctrl-C again saves and leaves at once, "
            "and nothing is lost either way"
        )

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt


class Drive:
    """Takes a session's turns one by one; the session changes when the engineer branches."""

    def __init__(self, session: Session, look: Look, *, pair: bool, saves: Path | None) -> None:
        self.session = session
        self.look = look
        self._gate = Gate(look.screen) if pair and _someone_is_there(look.screen) else None
        self._saves = saves

    def run(self, start: Path | None = None) -> Outcome:
        """Take turns until the budget, the engineer or a fault ends them."""
        with Brake(self.look.screen) as brake, ExitStack() as leaving:
            leaving.callback(self.look.screen.close)
            try:
                self.look.opening(self.session)
                why = self._turns(brake, start, leaving)
                if not self._stopped_early(brake):
                    self.session.finish(why)
                    return self._outcome(why, code_of(self.session.transcript))
                self.session.save(why)
            except KeyboardInterrupt as left:
                self.session.save(str(left) or "interrupted")
                return self._outcome(str(left) or "interrupted", faults.INTERRUPTED)
            except BrokenPipeError:
                faults.write_to_nobody()
                why = "nobody reads its output any more"
                self.session.save(why)
            except (NoAnswer, AuthorFault, BenchFault) as why_not:
                code = faults.exit_code_of(why_not)
                return self._outcome(str(why_not), faults.MACHINE if code is None else code)
        return self._outcome(why, faults.INTERRUPTED)

    def _turns(self, brake: Brake, start: Path | None, leaving: ExitStack) -> str:
        """Take the turns; return why there are no more."""
        if self._saves is not None:
            leaving.enter_context(self._watched(self._saves))
        if start is not None:
            source = read_candidate(start, self.session.transcript.problem)
            self.session.offer(source, idea=f"start from {start.name}")
        while True:
            if brake.pulled:
                return "stopped by Ctrl-C at the end of a turn"
            if (why := self.session.boundary()) is not None:
                if not self._goes_on_for_saves():
                    return why
                self._wait_for_a_save(brake)
                continue
            self.session.step()
            if self._gate is not None and not brake.pulled:
                self._ask(self._gate, brake)

    def _ask(self, gate: Gate, brake: Brake) -> None:
        brake.at_once = True
        try:
            chosen = gate.ask(self.session)
        finally:
            brake.at_once = False
        if chosen is not self.session:
            self.session.save(f"branched into {chosen.transcript.folder.name}")
            self.session.close()
            self.session = chosen
            self.look.watch.follow(chosen.transcript)

    def _stopped_early(self, brake: Brake) -> bool:
        return brake.pulled or self.session.stop_requested is not None

    def _watched(self, file: Path) -> inbox.Saves:
        run = self.session.transcript
        return inbox.Saves(
            run.folder,
            file,
            read=lambda path: read_candidate(path, run.problem),
            refuse=self.look.screen.say,
        )

    def _goes_on_for_saves(self) -> bool:
        """With no model turns to take, the engineer's saves are what the run is about."""
        wanted = self.session.transcript.options.budget.turns == 0
        return self._saves is not None and wanted and self.session.stop_requested is None

    def _wait_for_a_save(self, brake: Brake) -> None:
        self.look.watch.phase("save")
        while not brake.pulled and not any(inbox.waiting(self.session.transcript.folder)):
            time.sleep(WAIT_SECONDS)
        self.session.take_up()

    def _outcome(self, why: str, code: int) -> Outcome:
        run = self.session.transcript
        self.look.closing(self.session, why=why, code=code)
        # On a weak problem, and before it is sealed, no speedup counts.
        sealed = run.best.sealed if run.best is not None and not run.weak else None
        best = sealed if isinstance(sealed, Passed) else None
        return Outcome(
            problem=run.problem.name,
            code=code,
            speedup=best.speedup.value if best is not None else None,
            vs_eager=best.vs_eager.value if best is not None else None,
            doubtful=best is not None and bool(best.suspicions),
        )


def code_of(run: Transcript) -> int:
    """Return the exit code of a finished run, by the sealed verdict on its best kernel."""
    sealed = run.best.sealed if run.best is not None else None
    return code_of_verdict(sealed, weak=run.weak, target=run.options.budget.target)


def code_of_verdict(verdict: AnyVerdict | None, *, weak: bool, target: float | None) -> int:
    """Return whether what was asked for is there: a right kernel, as fast as the target if any.

    Whether a right kernel wins is for the target to ask: its numbers, a draw or worse among them,
    are a result. On a weak problem nothing is known to be right.
    """
    if weak or not isinstance(verdict, Passed):
        return faults.FINISHED_WITHOUT
    met = target is None or verdict.speedup.low >= target
    return faults.DONE if met else faults.FINISHED_WITHOUT


def _someone_is_there(screen: Screen) -> bool:
    if sys.stdin.isatty():
        return True
    screen.say("--pair needs a terminal to ask on; going on without asking")
    return False


def _ratio(outcome: Outcome, value: float | None) -> str:
    """Return a ratio with its doubt, as lists of runs mark it."""
    if value is None:
        return "none passed"
    return f"{value:.2f}x ?" if outcome.doubtful else f"{value:.2f}x"


def fast_p(
    outcomes: list[Outcome],
    p: float,
    *,
    over_eager: bool,
    problems: int | None = None,
    with_doubtful: bool = False,
) -> float:
    """Return the share of problems solved right and more than ``p`` times faster.

    Of ``problems`` in all, where some were not begun. A doubtful speedup counts only on request.
    """
    believed = [each for each in outcomes if with_doubtful or not each.doubtful]
    ratios = [each.vs_eager if over_eager else each.speedup for each in believed]
    solved = sum(ratio is not None and ratio > p for ratio in ratios)
    return solved / (problems if problems is not None else len(outcomes))


def shares_of(outcomes: list[Outcome], *, problems: int) -> list[Share]:
    """Return the shares over the faster baseline, and over eager as the field gives them.

    Each without the doubtful speedups and with them.
    """
    return [
        Share(
            over=name,
            with_doubtful=with_doubtful,
            fast_p={
                p: fast_p(
                    outcomes,
                    p,
                    over_eager=over_eager,
                    problems=problems,
                    with_doubtful=with_doubtful,
                )
                for p in FAST_P
            },
        )
        for with_doubtful in (False, True)
        for name, over_eager in (("the faster baseline", False), ("eager", True))
    ]


def fast_p_table(outcomes: list[Outcome], *, problems: int) -> Table:
    """Return the shares; those with the doubtful speedups only where there are such."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    begun = f", {len(outcomes)} of them begun" if len(outcomes) < problems else ""
    table.add_column(f"fast_p of {problems} problems{begun}")
    for p in FAST_P:
        table.add_column(f"p = {p:g}", justify="right")
    doubts = any(each.doubtful for each in outcomes)
    for share in shares_of(outcomes, problems=problems):
        if share.with_doubtful and not doubts:
            continue
        counting = ", the doubtful (?) counted" if share.with_doubtful else ""
        name = f"over {share.over}{counting}"
        table.add_row(name, *(f"{value:.2f}" for value in share.fast_p.values()))
    return table

"""How runs read in a terminal: a line per attempt, the closing table, lists of runs.

Everything that a model or a candidate wrote passes `legible` first; when and where lines appear is
the screen's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from refine_agent import rows
from refine_agent.legible import phrase
from refine_agent.problem import policy_of
from refine_agent.records import Passed, Ratio, Record, Timing, headline
from refine_agent.reply import remark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refine_agent.records import Attempt, Phase, Problem, Setup
    from refine_agent.transcript import Transcript

NOTHING = "\u2013"
BAR_CELLS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_VERDICT_CHARS = 34
_IDEA_CHARS = 100
_REMARK_CHARS = 300
MICROSECONDS_PER_MS = 1000
# How many turns more are proposed to who reads that the turns are taken.
MORE_TURNS = 4


class Rival(Record, frozen=True, kw_only=True):
    """A baseline that was timed next to a kernel."""

    name: str
    ratio: Ratio
    timing: Timing

    def __str__(self) -> str:
        """Return its name and median."""
        return f"{self.name} ({duration(self.timing.median_us)})"


def duration(us: float) -> str:
    """Return microseconds with the unit in which they read best."""
    if us >= MICROSECONDS_PER_MS * 10:
        return f"{us / MICROSECONDS_PER_MS:,.1f} ms"
    return f"{us:,.1f} µs"


def measured(timing: Timing) -> str:
    """Return a timing with its interval in the same unit, and its count."""
    in_ms = timing.median_us >= MICROSECONDS_PER_MS * 10
    unit, divisor = ("ms", MICROSECONDS_PER_MS) if in_ms else ("µs", 1)
    low, high = timing.low_us / divisor, timing.high_us / divisor
    interval = f"[{low:,.1f} to {high:,.1f}], {timing.samples} samples"
    return f"{timing.median_us / divisor:,.1f} {unit} {interval}"


def times(ratio: Ratio) -> str:
    """Return a ratio with its interval."""
    return f"{ratio.value:.2f}x [{ratio.low:.2f} to {ratio.high:.2f}]"


def dollars(cost: float | None) -> str:
    """Return a cost; a dash where the price is not known."""
    if cost is None:
        return NOTHING
    return f"${cost:.2f}" if cost >= 1 else f"${cost:.4f}".rstrip("0").ljust(5, "0")


def bar(value: float, *, scale: float, cells: int = BAR_CELLS) -> str:
    """Return a bar of eighth blocks; a full one stands for ``scale``."""
    eighths = round(min(1.0, value / scale if scale > 0 else 0.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def attempt_line(attempt: Attempt, *, scale: float, seconds: float | None) -> Text:
    """Return one attempt as a line: number, author, verdict, bar, time, cost, seconds, idea."""
    line = Text(f"{attempt.turn:>4}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"#{attempt.number:<3} {attempt.author:<8} ")
    _append_finding(line, attempt, scale)
    cost = attempt.reply.cost_usd if attempt.reply is not None else None
    line.append(f" {dollars(cost):>8}  ")
    line.append(f"{seconds:>6.1f} s  " if seconds is not None else " " * 10)
    idea = attempt.candidate.idea if attempt.candidate is not None else None
    line.append(phrase(idea or "", chars=_IDEA_CHARS), style="dim")
    return line


def _append_finding(line: Text, attempt: Attempt, scale: float) -> None:
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    if isinstance(final, Passed):
        style = _style(attempt, final)
        line.append(f"{final.speedup.value:>6.2f}x ", style=style)
        line.append(bar(final.speedup.value, scale=scale), style=style)
        line.append(f" {duration(final.timing.median_us):>14}")
        line.append(" ?" if final.suspicions else "  ", style="yellow")
        return
    said = headline(final) if final is not None else "not judged yet"
    line.append(f" {phrase(said, chars=_VERDICT_CHARS):<{_VERDICT_CHARS}}", style="red")


def _style(attempt: Attempt, verdict: Passed) -> str:
    if attempt.veto is not None:
        return "strike"
    if verdict.suspicions:
        return "yellow"
    return "green" if verdict.speedup.low > 1 else ""


def remarks(attempt: Attempt) -> list[Text]:
    """Return what else there is to say of an attempt: doubts first, its prediction, its reply."""
    doubts = attempt.passed.suspicions if attempt.passed is not None else ()
    said = [(f"doubtful: {doubt.kind}: {phrase(doubt.evidence)}", "yellow") for doubt in doubts]
    if attempt.grade is not None:
        said.append((f"predicted: {attempt.grade.text}", "dim"))
    if attempt.reply is not None:
        notes = (attempt.reply.note, remark(attempt.reply))
        said += [(f"reply: {note}", "dim") for note in notes if note]
    if attempt.veto is not None:
        said.append((f"vetoed: {attempt.veto}", "dim"))
    return [Text(f"      {phrase(text, chars=_REMARK_CHARS)}", style=style) for text, style in said]


def header_line() -> Text:
    """Return the line above the attempts."""
    return Text(
        f"turn  #    by        speedup{'':<{BAR_CELLS}}         time      cost      took  idea",
        style="bold",
    )


def scale_of(transcript: Transcript) -> float:
    """Return what a full bar stands for: the target, or the best so far where that is more."""
    target = transcript.options.budget.target or 2.0
    return max([target, *(a.speedup for a in transcript.attempts)])


def setup_lines(problem: Problem, setup: Setup) -> list[str]:
    """Return machine, precision, baselines and floor, as measured before the first turn."""
    machine = setup.environment
    versions = [f"torch {machine.torch}" if machine.torch else "", machine.compiler or ""]
    lines = [
        f"device    {' · '.join([machine.device, *(v for v in versions if v)])}",
        f"precision {policy_of(problem, machine.device_kind)}",
        f"PyTorch   eager {measured(setup.baseline.eager)}",
    ]
    if setup.baseline.compiled is not None:
        lines.append(f"          torch.compile {measured(setup.baseline.compiled)}")
    elif setup.baseline.why_not_compiled:
        lines.append(f"          torch.compile not measured: {setup.baseline.why_not_compiled}")
    if setup.floor_us is not None:
        lines.append(f"floor     {duration(setup.floor_us)} at the ceilings measured here")
    if setup.fitness.weak:
        lines.append(
            "weak      this problem cannot tell right from wrong: "
            f"{', '.join(setup.fitness.accepted)} passes; no speedup is claimed on it"
        )
    return [phrase(line, chars=240) if len(line) > 240 else line for line in lines]  # noqa: PLR2004


def closing(transcript: Transcript, *, why: str, command: str) -> list[Text | Table]:
    """Return what stands below the last turn: the result, its doubts first, and where to look."""
    parts: list[Text | Table] = [Text(), *_result(transcript), Text()]
    if any(turn.ledger for turn in transcript.turns):
        parts += [ledger_table(transcript), Text()]
    parts.append(Text(f"stopped   {phrase(why, chars=240)}"))
    parts.append(Text(f"run       {transcript.folder}"))
    if transcript.stopped is not None and transcript.stopped.resumable:
        parts.append(Text(f"go on     {command} resume {transcript.folder}"))
    elif _may_take_more_turns(transcript):
        more = f"--turns {transcript.model_turns + MORE_TURNS}"
        parts.append(Text(f"go on     {command} resume {transcript.folder} {more}"))
    parts.append(Text(f"look on   {command} show {transcript.folder} · report · diff · export"))
    return parts


def _may_take_more_turns(transcript: Transcript) -> bool:
    """Whether only the number of turns ended the run, and somebody could answer more."""
    turns = transcript.options.budget.turns
    ended = transcript.stopped is not None and turns is not None and transcript.model_turns >= turns
    return ended and not transcript.model.startswith("recorded:")


def _result(transcript: Transcript) -> list[Text | Table]:
    best = transcript.best
    if best is None or best.passed is None:
        tried = len(transcript.attempts)
        attempts = "1 attempt" if tried == 1 else f"{tried} attempts"
        said = f"No kernel passed in {attempts}." if tried else "No kernel was tried."
        return [Text(said, style="bold red")]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for doubt in best.passed.suspicions:
        table.add_row("doubtful", Text(f"{doubt.kind}: {phrase(doubt.evidence)}", style="yellow"))
    if transcript.weak:
        table.add_row("doubtful", Text("the problem is weak: impostors pass", style="yellow"))
    for name, value in _best_rows(best, best.passed, target=transcript.options.budget.target):
        table.add_row(name, Text(value))
    table.add_row("cost", rows.cost(transcript, dollars) or NOTHING)
    return [table]


def _best_rows(best: Attempt, passed: Passed, *, target: float | None) -> Iterable[tuple[str, str]]:
    idea = best.candidate.idea if best.candidate is not None else None
    by = f"attempt {best.number}, turn {best.turn}, by the {best.author}"
    yield "best", by + (f": {phrase(idea, chars=_IDEA_CHARS)}" if idea else "")
    faster, *others = _rivals(passed)
    kind = "the faster baseline" if others else "the only baseline measured"
    yield "speedup", f"{times(passed.speedup)} over {faster}, {kind}"
    yield from (("", f"{times(other.ratio)} over {other}") for other in others)
    yield from (("", said) for said in standing(passed.speedup, target))
    yield "time", measured(passed.timing)
    yield "sealed", _sealing(best)
    if passed.sanitized:
        yield "sanitizer", phrase("; ".join(tool.text for tool in passed.sanitized), chars=240)


def standing(speedup: Ratio, target: float | None) -> Iterable[str]:
    """Say what the interval means where its numbers alone could be read as a win."""
    if speedup.high < 1:
        yield "slower than PyTorch: the whole interval lies below 1"
    elif speedup.low <= 1:
        yield "a draw with PyTorch: the interval holds 1"
    if target is not None and speedup.low < target:
        yield f"the target of {target:.2f}x is missed: the interval begins below it"


def _rivals(passed: Passed) -> list[Rival]:
    """Return what was timed next to the kernel, the faster of eager and compiled first."""
    rivals = [Rival(name="eager", ratio=passed.vs_eager, timing=passed.eager)]
    if passed.compiled is not None and passed.vs_compiled is not None:
        compiled = Rival(name="torch.compile", ratio=passed.vs_compiled, timing=passed.compiled)
        rivals.append(compiled)
    rivals.sort(key=lambda rival: rival.timing.median_us)
    if passed.autotuned is not None and passed.vs_autotuned is not None:
        name = "torch.compile, max-autotune"
        rivals.append(Rival(name=name, ratio=passed.vs_autotuned, timing=passed.autotuned))
    return rivals


def _sealing(best: Attempt) -> str:
    if best.sealed is not None:
        return "yes: rebuilt with torch's own headers, judged afresh under a fresh seed"
    return "not yet: the numbers above are those of its turn"


def ledger_table(transcript: Transcript) -> Table:
    """Return the seconds of setup, turns and final rebuild; a turn's sum to its wall time."""
    names = list(dict.fromkeys(p.name for turn in transcript.turns for p in turn.ledger))
    # One space between figures that line up on the right: eleven columns fit 80 characters.
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("seconds", no_wrap=True, min_width=7)
    for name in [*names, "wall"]:
        title = phrase(name, chars=24)
        table.add_column(title, justify="right", min_width=max(map(len, title.split())))
    empty = [""] * len(names)
    if transcript.setup is not None and transcript.setup.phases:
        table.add_row("setup", *empty, f"{_sum(transcript.setup.phases):.1f}")
    for turn in (turn for turn in transcript.turns if turn.ledger):
        spent = {phase.name: phase.seconds for phase in turn.ledger}
        cells = [f"{spent[name]:.1f}" if name in spent else "" for name in names]
        table.add_row(f"turn {turn.number}", *cells, f"{turn.seconds or 0.0:.1f}")
    for attempt in transcript.attempts:
        in_its_turn = any(p.name == "seal" for p in transcript.turn(attempt.turn).ledger)
        if attempt.sealed is not None and not in_its_turn:
            table.add_row(f"seal #{attempt.number}", *empty, f"{_sum(attempt.sealed.phases):.1f}")
    return table


def _sum(phases: tuple[Phase, ...]) -> float:
    return sum(phase.seconds for phase in phases)

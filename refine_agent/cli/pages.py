"""One turn in full, as text: prompt, replies, verdicts, profile pages, sources.

It shows what the transcript holds; what a prompt or a page says is for those who wrote it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from refine_agent.legible import legible
from refine_agent.records import (
    BuildFailed,
    Crashed,
    Disqualified,
    Mismatch,
    Passed,
    TimedOut,
    Unreadable,
    headline,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import AnyVerdict, Attempt, Ratio, Reply, Timing, Turn

_CHARS = 200_000
_RULE = 78


def turn_text(turn: Turn) -> str:
    """Return everything about a turn, in the order in which it happened."""
    return "\n".join(_turn(turn)) + "\n"


def _turn(turn: Turn) -> Iterator[str]:
    if turn.prompt is not None:
        for message in turn.prompt.messages:
            yield _title(f"turn {turn.number} · prompt · {message.role}")
            yield legible(message.content, chars=_CHARS)
    for attempt in turn.attempts:
        yield from _attempt(attempt)
    if turn.ledger:
        yield _title(f"turn {turn.number} · seconds")
        yield from (f"{phase.name:<12} {phase.seconds:8.2f}" for phase in turn.ledger)
        yield f"{'wall':<12} {turn.seconds or 0.0:8.2f}"
    if turn.fault is not None:
        yield _title(f"turn {turn.number} · fault of the machine")
        yield legible(turn.fault)


def _attempt(attempt: Attempt) -> Iterator[str]:
    name = f"attempt {attempt.number}"
    if attempt.reply is not None:
        yield from _reply(name, attempt.reply)
    if attempt.candidate is not None and attempt.reply is None:
        yield _title(f"{name} · source, offered by the {attempt.author}")
        yield legible(attempt.candidate.source, chars=_CHARS)
    if attempt.verdict is not None:
        yield _title(f"{name} · verdict")
        yield from verdict_lines(attempt.verdict)
    if attempt.veto is not None:
        yield f"vetoed by the engineer: {legible(attempt.veto)}"
    if attempt.page is not None:
        yield _title(f"{name} · profile")
        yield legible(attempt.page.text())
    if attempt.grade is not None:
        yield f"prediction: {legible(attempt.grade.text)}"
    if attempt.sealed is not None:
        yield _title(f"{name} · sealed")
        yield from verdict_lines(attempt.sealed)


def _reply(name: str, reply: Reply) -> Iterator[str]:
    if reply.reasoning:
        yield _title(f"{name} · reasoning")
        yield legible(reply.reasoning, chars=_CHARS)
    tokens = reply.usage
    facts = [
        legible(reply.model),
        f"{reply.seconds:.1f} s",
        f"{tokens.input_tokens:,} tokens in" if tokens.input_tokens is not None else "",
        f"{tokens.output_tokens:,} out" if tokens.output_tokens is not None else "",
        f"${reply.cost_usd:.4f}" if reply.cost_usd is not None else "",
        legible(reply.note) if reply.note else "",
    ]
    yield _title(f"{name} · reply · {' · '.join(fact for fact in facts if fact)}")
    yield legible(reply.text, chars=_CHARS)


def verdict_lines(verdict: AnyVerdict) -> Iterator[str]:
    """Yield a verdict with all its evidence."""
    yield legible(headline(verdict))
    match verdict:
        case Passed():
            yield from _passed(verdict)
        case Mismatch():
            yield f"case {verdict.case}"
            if verdict.error is not None and verdict.allowed is not None:
                yield f"error {verdict.error:.3e}, allowed {verdict.allowed:.3e}"
            yield from (legible(text) for text in (verdict.where, verdict.map) if text)
        case BuildFailed() | Crashed():
            yield legible(verdict.log)
        case Disqualified():
            yield legible(verdict.evidence)
        case TimedOut() | Unreadable():
            pass
        case _:
            assert_never(verdict)
    if verdict.fence:
        yield f"fence: {legible(verdict.fence)}"


def _passed(verdict: Passed) -> Iterator[str]:
    for doubt in verdict.suspicions:
        yield f"doubtful: {legible(doubt.kind)}: {legible(doubt.evidence)}"
    yield f"speedup       {_times(verdict.speedup)} over the faster baseline"
    yield f"device time   {_timing(verdict.timing)}"
    yield f"judge's clock {_timing(verdict.judge_clock)}"
    if verdict.single is not None:
        yield f"single call   {_timing(verdict.single)}"
    yield f"eager         {_timing(verdict.eager)}; {_times(verdict.vs_eager)}"
    if verdict.compiled is not None and verdict.vs_compiled is not None:
        yield f"torch.compile {_timing(verdict.compiled)}; {_times(verdict.vs_compiled)}"
    if verdict.autotuned is not None and verdict.vs_autotuned is not None:
        yield f"max-autotune  {_timing(verdict.autotuned)}; {_times(verdict.vs_autotuned)}"
    checks = verdict.checks
    yield (
        f"checked       {checks.cases} cases, {checks.extent}; worst error "
        f"{checks.worst_error:.2e} of {checks.allowed_error:.2e} allowed, in {checks.worst_case}"
    )
    for share in verdict.shares:
        example = f" ({legible(share.example)})" if share.example else ""
        yield f"device time   {share.share_pct:.0f} % {share.origin}{example}"
    yield f"built         {verdict.flavour}" + (", sealed" if verdict.sealed else "")
    if verdict.sanitized:
        yield f"sanitizer     {legible('; '.join(tool.text for tool in verdict.sanitized))}"


def _timing(timing: Timing) -> str:
    return (
        f"{timing.median_us:,.1f} µs [{timing.low_us:,.1f} to {timing.high_us:,.1f}], "
        f"{timing.samples} samples"
    )


def _times(ratio: Ratio) -> str:
    return f"{ratio.value:.2f}x [{ratio.low:.2f} to {ratio.high:.2f}]"


def _title(text: str) -> str:
    return f"\n── {text} ".ljust(_RULE, "─")

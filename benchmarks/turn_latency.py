"""What a turn costs: every phase from an answer's arrival to the next prompt.

    python -m benchmarks.turn_latency [--device cuda] [--turns 5] [--out benchmarks/results]
    python -m benchmarks.turn_latency --from transcripts/recorded/*-h200 --name h200

Live, it runs the loop on examples/layernorm.py with answers made from one kernel, each salted with
a fresh constant so that no cache has seen it, and prints the ledger phase by phase. With --from it
prints the ledgers that recorded sessions hold, with their own devices and days, and what torch's
own build of the same kernel took where one was made. Builds of both flavours side by side are
`benchmarks.build_latency`'s.
"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from refine_agent import problem
from refine_agent.bench import IN_TURNS, LocalBench
from refine_agent.loop import Quiet, refine
from refine_agent.prompts import render
from refine_agent.records import Budget, Environment, Options, Started
from refine_agent.standins import ScriptedAuthor
from refine_agent.transcript import SCHEMA, Transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from refine_agent.records import Attempt, Phase

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "layernorm.py"
KERNELS = ROOT / "benchmarks" / "kernels"
# torch's own build takes tens of seconds; one that was found in the cache takes next to nothing.
_FOUND_IN_CACHE_S = 1.0


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: seconds by phase, and from the answer to the next prompt."""

    session: str
    number: int
    phases: dict[str, float]
    answer_to_prompt_s: float
    verdict: str
    flavour: str | None = None
    """Of the build that was judged."""
    samples: int = 1
    """Candidates that the turn asked for: built side by side, judged one after the other."""


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel built both ways: on the light headers in its turn, by torch for its sealing."""

    session: str
    attempt: int
    light_s: float
    stock_s: float


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A run from its start to its sealed winner, on a machine whose caches know the toolchain."""

    setup_s: float
    turns_s: float
    sealing_s: float
    sealings: int
    """More than one where a winner, judged afresh, fell behind the next best."""
    wall_s: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Turns, where and when they were taken."""

    where: tuple[str, ...]
    days: tuple[str, ...]
    turns: tuple[Turn, ...]
    rebuilds: tuple[Rebuild, ...] = ()
    found_in_cache: int = 0
    """Sealings whose stock build lay in the cache already, so that its cost was not measured."""
    whole: Whole | None = None


def main() -> None:
    """Measure or read, print, save."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"turn_latency-{options.name or options.device}.json"
    if options.recorded:
        measured = _recorded(options.recorded)
        _save(measured, file, live=False)
    else:
        for measured in _measure(options.device, options.turns):
            _save(measured, file, live=True)
            if measured.whole is None:
                took_s = measured.turns[-1].answer_to_prompt_s
                print(f"turn {len(measured.turns)}: {took_s:.2f} s to the next prompt", flush=True)
    print(file.with_suffix(".md").read_text(encoding="utf-8"))


def _save(measured: Measured, file: Path, *, live: bool) -> None:
    table = "\n".join(_table(measured, live=live))
    file.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    written = msgspec.json.format(msgspec.json.encode(measured), indent=1)
    file.write_bytes(written + b"\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--from", dest="recorded", type=Path, nargs="+", default=[],
                        metavar="RUN", help="folders of recorded sessions")  # fmt: skip
    parser.add_argument("--name", help="of the files written; the device if not given")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


# --- live ----------------------------------------------------------------------------------------


def _salted(device: str) -> str:
    """Return an answer whose kernel differs from every other in a constant that changes nothing."""
    source = (KERNELS / f"layernorm_{device}.py").read_text(encoding="utf-8")
    salt = secrets.randbits(48)
    salted = source.replace("SALT", str(salt))
    return f"IDEA: measure a turn\nPREDICTION: time_us 100 -> 100\n```python\n{salted}\n```\n"


def _measure(device: str, count: int) -> Iterator[Measured]:
    """Yield what was measured after each turn, and with the sealing at the end."""
    subject = problem.load(EXAMPLE)
    options = Options(device=device, budget=Budget(turns=count))
    with tempfile.TemporaryDirectory() as scratch:
        header = Started(
            at=time.time(), schema=SCHEMA, run="turn-latency", problem=subject,
            model="scripted", options=options, templates={}, version="0",
        )  # fmt: skip
        run = Transcript.create(Path(scratch) / "run", header)
        author = ScriptedAuthor([_salted(device) for _ in range(count)])
        found: list[Turn] = []
        started = time.monotonic()
        with LocalBench(subject, options, Path(scratch) / "run", deadlines=IN_TURNS) as bench:
            setup = bench.measure(subject, Quiet())
            day = dt.datetime.now(tz=dt.UTC).date().isoformat()
            so_far = Measured(where=(_where(setup.environment),), days=(day,), turns=())
            ready = turned = time.monotonic()
            for turn in refine(run, author, bench):
                began = time.monotonic()
                render(run)
                prompt_s = time.monotonic() - began
                phases = _by_name(turn.ledger) | {"next prompt": prompt_s}
                seconds = (turn.seconds or 0.0) + prompt_s
                found.append(_turn("layernorm", turn.number, turn.attempts, phases, seconds))
                so_far = replace(so_far, turns=tuple(found))
                yield so_far
                turned = time.monotonic()
            sealed = time.monotonic()
    whole = Whole(
        setup_s=ready - started,
        turns_s=turned - ready,
        sealing_s=sealed - turned,
        sealings=sum(attempt.sealed is not None for attempt in run.attempts),
        wall_s=sealed - started,
    )
    yield replace(so_far, whole=whole)


# --- recorded ------------------------------------------------------------------------------------


def _recorded(folders: Sequence[Path]) -> Measured:
    runs = [Transcript.read(folder) for folder in folders]
    setups = [run.setup for run in runs if run.setup is not None]
    days = {dt.datetime.fromtimestamp(e.at, tz=dt.UTC).date() for run in runs for e in run.events}
    sealed = [each for run in runs for each in _sealed(run)]
    return Measured(
        where=tuple(sorted({_where(setup.environment) for setup in setups})),
        days=tuple(day.isoformat() for day in sorted(days)),
        turns=tuple(turn for run in runs for turn in _turns(run)),
        rebuilds=tuple(each for each in sealed if each.stock_s > _FOUND_IN_CACHE_S),
        found_in_cache=sum(each.stock_s <= _FOUND_IN_CACHE_S for each in sealed),
    )


def _turns(run: Transcript) -> Iterator[Turn]:
    for turn in run.turns:
        if turn.seconds is not None:
            phases = _by_name(turn.ledger)
            yield _turn(run.problem.name, turn.number, turn.attempts, phases, turn.seconds)


def _sealed(run: Transcript) -> Iterator[Rebuild]:
    for attempt in run.attempts:
        if attempt.verdict is None or attempt.sealed is None:
            continue
        light, stock = _by_name(attempt.verdict.phases), _by_name(attempt.sealed.phases)
        if "build" in light and "build" in stock:
            yield Rebuild(
                session=run.problem.name,
                attempt=attempt.number,
                light_s=light["build"],
                stock_s=stock["build"],
            )


def _turn(
    session: str, number: int, attempts: Sequence[Attempt], phases: dict[str, float], seconds: float
) -> Turn:
    """Leave out what the model took: nothing here can make that shorter."""
    waited = phases.pop("model", 0.0)
    verdict = attempts[0].verdict if attempts else None
    return Turn(
        session=session,
        number=number,
        phases=phases,
        answer_to_prompt_s=seconds - waited,
        verdict=type(verdict).__name__ if verdict is not None else "none",
        flavour=getattr(verdict, "flavour", None),
        samples=max(1, len(attempts)),
    )


def _by_name(phases: Iterable[Phase]) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in phases}


def _where(here: Environment) -> str:
    tools = f"torch {here.torch}, {here.compiler}, ncu {here.ncu or 'none'}"
    return f"{here.device}, {here.cores} cores, {tools}"


# --- the page ------------------------------------------------------------------------------------


def _table(measured: Measured, *, live: bool) -> Iterator[str]:
    turns = measured.turns
    names = list(dict.fromkeys(name for turn in turns for name in turn.phases))
    devices = sorted({place.partition(",")[0] for place in measured.where})
    said = "What a turn costs on" if live else "What a turn cost in the recorded sessions on"
    yield f"# {said} {' and '.join(devices)}"
    yield ""
    subject = "LayerNorm 4096x8192 fp32, every kernel new to every cache" if live else "Recorded"
    yield f"{subject}, on {'; '.join(measured.where)}; {', '.join(measured.days)}."
    yield "Seconds, without the wait for the model; what a turn did not do is a dash."
    yield ""
    yield (
        f"| session | turn | samples | verdict | build of | {' | '.join(names)} "
        "| answer to next prompt |"
    )
    yield f"|---|---|---|---|---|{'---|' * (len(names) + 1)}"
    for turn in turns:
        cells = [f"{turn.phases[name]:.2f}" if name in turn.phases else "–" for name in names]
        said = f"| {turn.session} | {turn.number} | {turn.samples} | {turn.verdict} "
        said += f"| {turn.flavour or '–'} "
        yield f"{said}| {' | '.join(cells)} | {turn.answer_to_prompt_s:.2f} |"
    yield from _summed("one sample", [t for t in turns if t.samples == 1], names)
    yield from _summed("several samples", [t for t in turns if t.samples > 1], names)
    if measured.whole is not None:
        yield from _told(measured.whole, len(turns))
    if not live:
        yield from _rebuilt(measured)


def _summed(title: str, turns: Sequence[Turn], names: Sequence[str]) -> Iterator[str]:
    """Turns that asked for several candidates are no measure of what one costs."""
    if not turns:
        return
    columns = [[t.phases[name] for t in turns if name in t.phases] for name in names]
    whole = [turn.answer_to_prompt_s for turn in turns]
    medians = [f"{statistics.median(column):.2f}" if column else "–" for column in columns]
    ranges = [f"{min(column):.2f}–{max(column):.2f}" if column else "–" for column in columns]
    median = f"**{statistics.median(whole):.2f}**"
    each = statistics.median([turn.answer_to_prompt_s / turn.samples for turn in turns])
    per = f", {each:.1f} a sample" if turns[0].samples > 1 else ""
    start = f"| median of {len(turns)} turns with {title} | | | | | {' | '.join(medians)} "
    yield f"{start}| {median}{per} |"
    yield f"| range | | | | | {' | '.join(ranges)} | {min(whole):.2f}–{max(whole):.2f} |"


def _told(whole: Whole, turns: int) -> Iterator[str]:
    """Say what the run took as a whole: its user waits for the sealed winner."""
    sealings = f"{whole.sealings} sealing{'s' if whole.sealings != 1 else ''}"
    yield ""
    yield (
        f"The whole run took **{whole.wall_s:.0f} s**: {whole.setup_s:.1f} s of setup, "
        f"{whole.turns_s:.1f} s for {turns} turns, {whole.sealing_s:.1f} s for {sealings} of the "
        "winner by torch's own build."
    )


def _rebuilt(measured: Measured) -> Iterator[str]:
    yield ""
    yield "## The same kernel by torch's own build"
    yield ""
    sealings = len(measured.rebuilds) + measured.found_in_cache
    yield (
        "Winners are built again by torch itself before they are reported. Here the stock build "
        f"was made in {len(measured.rebuilds)} of {sealings} sealings; in the others it lay in the "
        "cache already, and what it took was not measured."
    )
    yield ""
    yield "| session | attempt | light, s | stock, s | ratio |"
    yield "|---|---|---|---|---|"
    for each in measured.rebuilds:
        ratio = each.stock_s / each.light_s
        light, stock = f"{each.light_s:.2f}", f"{each.stock_s:.2f}"
        yield f"| {each.session} | {each.attempt} | {light} | {stock} | {ratio:.1f} |"


if __name__ == "__main__":
    main()

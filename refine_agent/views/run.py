"""A whole run as a report shows it: headline, pictures, story, machine and problem.

It puts together what the other views gather.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent import charts, rows
from refine_agent.charts import machines
from refine_agent.charts.svg import number
from refine_agent.legible import phrase
from refine_agent.listing import Line, listing
from refine_agent.problem import policy_of
from refine_agent.records import Record
from refine_agent.views.headline import Headline, headline_of
from refine_agent.views.story import MOST_TURNS, Remark, TurnView, story
from refine_agent.views.words import Fact, date, dollars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Setup
    from refine_agent.transcript import Transcript

WIDE, HALF, NARROW = 860, 410, 400


class Picture(Record, frozen=True, kw_only=True):
    """A chart in two widths; the page shows the one that fits."""

    title: str
    wide: str
    narrow: str | None = None
    caption: str = ""


class RunView(Record, frozen=True, kw_only=True):
    """A run as the report shows it."""

    key: str
    problem: str
    row: rows.RunRow
    began: str
    machine: str
    precision: str | None
    headline: Headline
    environment: tuple[Fact, ...]
    judged: tuple[Fact, ...]
    pictures: tuple[Picture, ...]
    story: tuple[TurnView | Remark, ...]
    attempts: tuple[rows.AttemptRow, ...]
    reference: tuple[Line, ...]
    damaged: tuple[str, ...]
    turns_left_out: int


def run_view(transcript: Transcript, *, key: str, pictures_only: bool = False) -> RunView:
    """Gather a run; ``pictures_only`` leaves the turns' details out, for a notebook."""
    started, setup = transcript.started, transcript.setup_of_best
    left_out = max(0, len({attempt.turn for attempt in transcript.attempts}) - MOST_TURNS)
    return RunView(
        key=key,
        problem=phrase(started.problem.name, chars=100),
        row=rows.run(transcript),
        began=date(started.at),
        machine=_machine(transcript),
        precision=_precision(transcript),
        headline=headline_of(transcript),
        environment=tuple(_environment(transcript)),
        judged=tuple(_judged(transcript, setup)) if setup is not None else (),
        pictures=_pictures(transcript, None if pictures_only else f"{key}-attempt"),
        story=() if pictures_only else tuple(story(transcript, key)),
        attempts=tuple(rows.attempts(transcript))[-MOST_TURNS:],
        reference=() if pictures_only else listing(started.problem.source),
        damaged=tuple(phrase(line, chars=160) for line in transcript.damaged[:20]),
        turns_left_out=left_out,
    )


def _environment(transcript: Transcript) -> Iterator[Fact]:
    started, setup = transcript.started, transcript.setup_of_best
    found = setup.environment if setup is not None else None
    known = [
        ("device", found.device if found else None),
        ("driver", found.driver if found else None),
        ("torch", found.torch if found else None),
        ("compiler", found.compiler if found else None),
        ("Nsight Compute", found.ncu if found else None),
        ("Python", found.python if found else None),
        ("cores", str(found.cores) if found and found.cores is not None else None),
        ("fence", found.fence if found else None),
        ("other machines", machines.elsewhere(transcript)),
        ("model", transcript.model),
        ("run", started.run),
        ("forked from", started.forked_from),
        ("date", date(started.at)),
        ("refine_agent", started.version),
        ("commit", started.git_commit[:12] if started.git_commit else None),
        ("turns", str(len({attempt.turn for attempt in transcript.attempts}))),
        ("minutes in turns", f"{transcript.seconds / 60:.1f}"),
        ("cost", rows.cost(transcript, dollars)),
        ("ended", transcript.stopped.reason if transcript.stopped is not None else None),
    ]
    yield from (Fact(name=name, value=phrase(value)) for name, value in known if value)


def _machine(transcript: Transcript) -> str:
    """Return the versions that the best kernel's numbers hang on, in a line."""
    started, setup = transcript.started, transcript.setup_of_best
    found = setup.environment if setup is not None else None
    known = (
        ("driver ", found.driver if found else None),
        ("torch ", found.torch if found else None),
        ("", found.compiler if found else None),
        ("Nsight Compute ", found.ncu if found else None),
        ("Python ", found.python if found else None),
        ("refine_agent ", started.version),
        ("commit ", started.git_commit[:12] if started.git_commit else None),
    )
    return " · ".join(name + phrase(value, chars=60) for name, value in known if value)


def _precision(transcript: Transcript) -> str | None:
    setup = transcript.setup_of_best
    if setup is None:
        return None
    return policy_of(transcript.problem, setup.environment.device_kind)


def _judged(transcript: Transcript, setup: Setup) -> Iterator[Fact]:
    """How the problem was judged: what a reader needs before believing a speedup."""
    fitness, work = setup.fitness, setup.work
    # Whether the problem is weak, and by which impostors, is as it was last examined.
    examined = transcript.setup.fitness if transcript.setup is not None else fitness
    yield Fact(name="inputs", value=", ".join(phrase(one) for one in fitness.inputs) or "n/a")
    yield Fact(name="input cases", value=", ".join(phrase(one) for one in fitness.cases) or "n/a")
    if fitness.allowed_error is not None:
        yield Fact(
            name="allowed error",
            value=f"{fitness.allowed_error:.2g} on nominal inputs, norm-wise, against fp64",
        )
    yield Fact(name="impostors rejected", value=", ".join(map(phrase, examined.rejected)) or "none")
    if examined.accepted and transcript.weak:
        yield Fact(name="impostors ACCEPTED", value=", ".join(map(phrase, examined.accepted)))
    yield Fact(name="bytes needed", value=f"{work.bytes_needed / 1e6:,.1f} MB")
    for flops in work.flops:
        yield Fact(name=f"{flops.precision} operations", value=f"{flops.count / 1e9:,.3g} GFLOP")
    if setup.floor_us is not None:
        yield Fact(name="measured floor", value=f"{number(setup.floor_us)} µs")
    if setup.bound_us is not None:
        yield Fact(name="datasheet bound", value=f"{number(setup.bound_us)} µs")
    yield from (Fact(name="ceiling", value=phrase(line)) for line in setup.ceilings[:8])
    yield from (Fact(name="caveat", value=phrase(line)) for line in work.caveats[:8])


def _pictures(transcript: Transcript, anchors: str | None) -> tuple[Picture, ...]:
    roofline = charts.roofline(transcript, width=HALF, anchors=anchors)
    found = (
        Picture(
            title="Speedup per turn",
            wide=charts.speedups(transcript, width=WIDE, anchors=anchors),
            narrow=charts.speedups(transcript, width=NARROW, anchors=anchors),
            caption="Against the faster of eager and torch.compile, with 95 % intervals; "
            "the line is the best so far.",
        ),
        Picture(
            title="Roofline",
            wide=roofline,
            caption="One point per kernel that passed, with its attempt's number where there is "
            "room; hollow squares are the baselines at the bytes that the operation needs.",
        ),
        Picture(
            title="Where the seconds went",
            wide=charts.ledger(transcript, width=HALF if roofline else WIDE),
            narrow=None if roofline else charts.ledger(transcript, width=NARROW),
            caption="Per turn, by phase.",
        ),
        Picture(
            title="The tree of turns",
            wide=charts.tree(transcript, width=WIDE, anchors=anchors),
            narrow=charts.tree(transcript, width=NARROW, anchors=anchors),
            caption="Who revised what; the best kernel's line runs straight.",
        ),
    )
    return tuple(picture for picture in found if picture.wide)

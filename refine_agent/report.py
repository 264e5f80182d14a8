"""One self-contained HTML file per run, or for several: readable without network and script.

It owns the page and the smaller views that notebooks show; what they hold is gathered by `views`,
drawn by `charts`, and written down by nobody but the transcript.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from refine_agent import charts, rows, views
from refine_agent.legible import phrase
from refine_agent.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from refine_agent.profiling.records import Change, Page
    from refine_agent.records import Attempt, Turn
    from refine_agent.transcript import Transcript

# Every run is in the table; more than this many in full make a page that no browser enjoys.
MOST_RUNS_IN_FULL = 12
ROWS_WHILE_LIVE = 12


class Doing(Record, frozen=True, kw_only=True):
    """What a run does now: its phase, for how long, and the characters of a reply so far."""

    phase: str | None
    seconds: float = 0.0
    characters: int = 0


class RunData(Record, frozen=True, kw_only=True):
    """What the page embeds for programs: the same rows as `frames`."""

    run: rows.RunRow
    bytes_needed: int | None
    floor_us: float | None
    bound_us: float | None
    eager_us: float | None
    compiled_us: float | None
    attempts: tuple[rows.AttemptRow, ...]
    metrics: tuple[rows.MetricRow, ...]
    ledger: tuple[rows.PhaseRow, ...]


def render(transcripts: Sequence[Transcript]) -> str:
    """Return the report of one run or of several as one HTML document.

    Everything that a model or a candidate wrote is bounded and escaped.

    Raises:
        ValueError: there is no transcript to report on.
    """
    if not transcripts:
        raise ValueError("there is no run to report on; name at least one")
    summaries = [rows.run(transcript) for transcript in transcripts]
    shown = transcripts[:MOST_RUNS_IN_FULL]
    return _render(
        "report",
        runs=[views.run_view(one, key=f"run{n}") for n, one in enumerate(shown, 1)],
        summaries=summaries,
        left_out=len(transcripts) - len(shown),
        compared=_compared(summaries) if len(summaries) > 1 else None,
        caches=_caches(transcripts),
        data=_embedded(tuple(data(transcript) for transcript in shown)),
    )


# --- pieces for notebooks ------------------------------------------------------------------------


def transcript_html(transcript: Transcript) -> str:
    """Return a run as a piece of HTML for a notebook: headline, pictures, a row per attempt."""
    shown = views.run_view(transcript, key=f"nb{id(transcript):x}", pictures_only=True)
    return _render("report_fragment", run=shown)


def attempt_html(attempt: Attempt, *, parent: Attempt | None = None) -> str:
    """Return an attempt as a piece of HTML: verdict, page, source with hot lines, difference."""
    return _render("report_attempt_fragment", attempt_shown=_alone(attempt, parent))


def turn_html(turn: Turn) -> str:
    """Return a turn as a piece of HTML: its attempts, and where its seconds went."""
    return _render(
        "report_turn_fragment",
        number=turn.number,
        seconds=turn.seconds,
        phases=views.phases_in(turn),
        fault=phrase(turn.fault, chars=600) if turn.fault else None,
        attempts=[_alone(attempt) for attempt in turn.attempts],
    )


def difference_html(before: Attempt, after: Attempt, changes: Sequence[Change]) -> str:
    """Return what lies between two attempts as a piece of HTML."""
    return _render("report_difference_fragment", between=views.between(before, after, changes))


def live_html(transcript: Transcript, doing: Doing) -> str:
    """Return a run that goes on as a piece of HTML: what happens now, and what came so far."""
    return _render(
        "report_live_fragment",
        doing=doing,
        headline=views.headline_of(transcript),
        picture=charts.speedups(transcript, width=views.WIDE) if transcript.attempts else "",
        attempts=list(rows.attempts(transcript))[-ROWS_WHILE_LIVE:],
    )


def page_html(page: Page) -> str:
    """Return a profile page as a piece of HTML."""
    return _render("report_page_fragment", page_shown=views.page_view(page))


def _alone(attempt: Attempt, parent: Attempt | None = None) -> views.AttemptView:
    return views.attempt_view(attempt, key="nb", parent=parent, best=None, floor_us=None)


# --- the page's parts ----------------------------------------------------------------------------


def data(transcript: Transcript) -> RunData:
    """Return what a program would want from the report, as records."""
    # A report is sent around: where the run lay on somebody's disk is nobody else's business.
    run = msgspec.structs.replace(rows.run(transcript), folder=transcript.folder.name)
    setup = transcript.setup_of_best
    compiled = setup.baseline.compiled if setup is not None else None
    return RunData(
        run=run,
        bytes_needed=setup.work.bytes_needed if setup is not None else None,
        floor_us=setup.floor_us if setup is not None else None,
        bound_us=setup.bound_us if setup is not None else None,
        eager_us=setup.baseline.eager.median_us if setup is not None else None,
        compiled_us=compiled.median_us if compiled is not None else None,
        attempts=tuple(rows.attempts(transcript))[: views.MOST_TURNS],
        metrics=tuple(rows.metrics(transcript))[: views.MOST_TURNS * 100],
        ledger=tuple(rows.ledger(transcript))[: views.MOST_TURNS * 20],
    )


_COLD: dict[str, str] = {
    "cuda": "on a GPU the L2 is cold",
    "cpu": "on a CPU the caches are not flushed",
}


def _caches(transcripts: Sequence[Transcript]) -> str:
    """Say how the judge treats the caches of the devices that kernels were timed on."""
    setups = [
        setup
        for one in transcripts
        for setup in (one.setup, *(one.setup_of(attempt.number) for attempt in one.attempts))
    ]
    kinds = {setup.environment.device_kind for setup in setups if setup is not None}
    return "; ".join(words for kind, words in _COLD.items() if kind in kinds)


def _compared(summaries: list[rows.RunRow]) -> views.Picture:
    return views.Picture(
        title="Best kernel of each run",
        wide=charts.comparison(summaries, width=views.WIDE),
        narrow=charts.comparison(summaries, width=views.NARROW),
    )


def _embedded(runs: tuple[RunData, ...]) -> str:
    """Return JSON that cannot end the script element it stands in (HTML 4.12.1.3)."""
    text = msgspec.json.encode(runs).decode()
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _render(template: str, **shown: Any) -> str:  # noqa: ANN401 - what the template asks for
    return _templates().get_template(f"{template}.html.j2").render(shown)


@cache
def _templates() -> Environment:
    from jinja2 import (  # noqa: PLC0415 - a command that shows no page need not wait for it
        Environment,
        FileSystemLoader,
        StrictUndefined,
    )

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

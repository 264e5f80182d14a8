"""One self-contained HTML file per run, or for several: readable without network and script.

It owns the page and the smaller views that notebooks show; what they hold is gathered by `views`,
drawn by `charts`, and written down by nobody but the transcript.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent import charts, rows, views
from refine_agent.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from refine_agent.profiling.records import Page
    from refine_agent.records import Attempt
    from refine_agent.transcript import Transcript

# Every run is in the table; more than this many in full make a page that no browser enjoys.
MOST_RUNS_IN_FULL = 12


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
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            runs=[views.run_view(one, key=f"run{n}") for n, one in enumerate(shown, 1)],
            summaries=summaries,
            left_out=len(transcripts) - len(shown),
            compared=_compared(summaries) if len(summaries) > 1 else None,
            data=_embedded(tuple(data(transcript) for transcript in shown)),
        )
    )


def transcript_html(transcript: Transcript) -> str:
    """Return a run as a piece of HTML for a notebook: headline, pictures, a row per attempt."""
    return (
        _templates()
        .get_template("report_fragment.html.j2")
        .render(run=views.run_view(transcript, key=f"nb{id(transcript):x}", pictures_only=True))
    )


def attempt_html(attempt: Attempt, *, parent: Attempt | None = None) -> str:
    """Return an attempt as a piece of HTML: verdict, page, source with hot lines, difference."""
    shown = views.attempt_view(attempt, key="nb", parent=parent, best=None, floor_us=None)
    return _templates().get_template("report_attempt_fragment.html.j2").render(attempt_shown=shown)


def page_html(page: Page) -> str:
    """Return a profile page as a piece of HTML."""
    return (
        _templates()
        .get_template("report_page_fragment.html.j2")
        .render(page_shown=views.page_view(page))
    )


def data(transcript: Transcript) -> RunData:
    """Return what a program would want from the report, as records."""
    # A report is sent around: where the run lay on somebody's disk is nobody else's business.
    run = msgspec.structs.replace(rows.run(transcript), folder=transcript.folder.name)
    setup = transcript.setup
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

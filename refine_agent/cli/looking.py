"""``show``, ``diff``, ``report`` and ``export``: looking at runs, offline.

None of these needs a model, a device or torch; what they show is the transcript's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refine_agent.cli import settings
from refine_agent.cli.finding import RECORDED, find_run
from refine_agent.legible import legible, phrase
from refine_agent.transcript import Transcript, TranscriptError, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.rows import RunRow


@click.command()
@click.argument("run", required=False)
@click.option(
    "--turn", type=click.IntRange(min=1), help="One turn whole: prompt, reply, page, source."
)
@click.option("--problem", help="List only runs on this problem.")
@settings.runs_option
@settings.json_option
def show(
    run: str | None, *, turn: int | None, problem: str | None, runs: Path, as_json: bool
) -> None:
    """Show RUN, a folder, a name or `last`; without one, list the runs there are."""
    if run is None:
        _list(_listed(runs, problem), problem, as_json=as_json)
        return
    transcript = Transcript.read(find_run(run, runs))
    if turn is not None:
        _show_turn(transcript, turn, as_json=as_json)
    elif as_json:
        _write_rows(transcript)
    else:
        _show_run(transcript)


def _listed(runs: Path, problem: str | None) -> Iterator[RunRow]:
    from refine_agent import rows

    for folder in [*runs_in(RECORDED), *runs_in(runs)]:
        try:
            row = rows.run(Transcript.read(folder, texts=False))
        except (TranscriptError, OSError) as why:
            click.echo(f"{folder}: {phrase(str(why), chars=300)}", err=True)
            continue
        if problem is None or row.problem == problem:
            yield row


def _list(found: Iterator[RunRow], problem: str | None, *, as_json: bool) -> None:
    if as_json:
        _write(*found)
        return
    from rich.table import Table
    from rich.text import Text

    from refine_agent.cli.screen import console_for

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("run", "problem", "began", "turns", "speedup", "time", "device", "state"):
        number = title in {"turns", "speedup", "time"}
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in found:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    if not table.row_count:
        on = f" on {phrase(problem)!r}" if problem is not None else ""
        click.echo(f"no run{on} yet; `refine_agent optimize PROBLEM` begins one")
        return
    console_for(stderr=False).print(table)


def _cells(row: RunRow) -> Iterator[str]:
    from refine_agent.cli.words import NOTHING, duration

    yield phrase(Path(row.folder).name)
    yield phrase(row.problem, chars=24)
    yield time.strftime("%Y-%m-%d %H:%M", time.localtime(row.began))
    yield str(row.turns)
    doubt = " ?" if row.doubtful or row.weak else ""
    yield f"{row.speedup:.2f}x{doubt}" if row.speedup is not None else NOTHING
    yield duration(row.best_us) if row.best_us is not None else NOTHING
    yield phrase(row.device or "not measured", chars=24)
    yield phrase(row.stopped or "running, or cut short", chars=48)


def _show_run(transcript: Transcript) -> None:
    from refine_agent.cli import words
    from refine_agent.cli.screen import Screen, console_for

    console = console_for(stderr=False)
    started = transcript.started
    console.print(f"run       {phrase(started.run)} · {transcript.folder}")
    console.print(f"problem   {phrase(started.problem.name)} ({started.problem.digest})")
    console.print(f"author    {phrase(transcript.model)}")
    if started.forked_from:
        console.print(f"forked    from {phrase(started.forked_from)}")
    for damage in transcript.damaged[:_SHOWN_DAMAGE]:
        console.print(f"damaged   {phrase(damage)}")
    Screen(console).replay(transcript)
    stopped = transcript.stopped
    why = stopped.reason if stopped is not None else "not stopped: it runs, or was cut short"
    for part in words.closing(transcript, why=why, command="python -m refine_agent"):
        console.print(part)


_SHOWN_DAMAGE = 20


def _write_rows(transcript: Transcript) -> None:
    from refine_agent import rows

    _write(rows.run(transcript), *rows.attempts(transcript), *rows.ledger(transcript))


def _write(*values: object) -> None:
    import msgspec

    for value in values:
        click.echo(msgspec.json.encode(value))


def _show_turn(transcript: Transcript, number: int, *, as_json: bool) -> None:
    if number not in {turn.number for turn in transcript.turns}:
        last = max((turn.number for turn in transcript.turns), default=0)
        raise click.UsageError(f"there is no turn {number}; the run has {last}")
    if as_json:
        _write(transcript.turn(number))
        return
    from refine_agent.cli.pages import turn_text

    click.echo_via_pager(turn_text(transcript.turn(number)))


@click.command()
@click.argument("run")
@click.argument("a", type=click.IntRange(min=1))
@click.argument("b", type=click.IntRange(min=1))
@settings.runs_option
def diff(run: str, a: int, b: int, *, runs: Path) -> None:
    """Show what changed in RUN from attempt A to attempt B: verdict, profile, source."""
    from refine_agent.session import difference

    transcript = Transcript.read(find_run(run, runs))
    click.echo(legible(str(difference(transcript, a, b)), chars=_DIFF_CHARS))


_DIFF_CHARS = 400_000


@click.command()
@click.argument("run", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: report.html in the run's folder]",
)
@settings.runs_option
def report(run: tuple[str, ...], *, output: Path | None, runs: Path) -> None:
    """Write RUN, or a comparison of several, as one HTML file that needs no network."""
    from refine_agent.report import render

    folders = [find_run(each, runs) for each in run]
    text = render([Transcript.read(folder) for folder in folders])
    path = output or (folders[0] if len(folders) == 1 else Path()) / "report.html"
    path.write_text(text, encoding="utf-8")
    click.echo(str(path))


@click.command()
@click.argument("run")
@click.option("--winner", "what", flag_value="winner", default=True, help="The best kernel.")
@click.option("--chat", "what", flag_value="chat", help="Turns as JSON lines with rewards.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write."
)
@settings.runs_option
def export(run: str, *, what: str, output: Path | None, runs: Path) -> None:
    """Write what RUN found: the winning module with its evidence, or its turns for training."""
    import msgspec

    from refine_agent.export import examples, winner

    transcript = Transcript.read(find_run(run, runs))
    if what == "winner":
        text = winner(transcript)
    else:
        text = "".join(msgspec.json.encode(e).decode() + "\n" for e in examples(transcript))
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(str(output))

"""``show``, ``diff``, ``report`` and ``export``: looking at runs, offline.

None of these needs a model, a device or torch; what they show is the transcript's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from refine_agent.cli import settings
from refine_agent.cli.finding import find_run
from refine_agent.legible import legible, phrase
from refine_agent.transcript import RECORDED, Transcript, TranscriptError, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from refine_agent.rows import RunRow


@click.command(short_help="Show a run or one of its turns, or list the runs.")
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
        if turn is not None:
            raise click.UsageError(f"--turn is of a run; name it: show RUN --turn {turn}")
        _list(_listed(runs, problem), problem, as_json=as_json)
        return
    if problem is not None:
        raise click.UsageError("--problem chooses among all runs; leave out either RUN or it")
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
    from refine_agent.cli.screen import console_for

    cells = [_cells(row) for row in found]
    if not cells:
        on = f" on {phrase(problem)!r}" if problem is not None else ""
        click.echo(f"no run{on} yet; `refine_agent optimize PROBLEM` begins one")
        return
    console = console_for(stderr=False)
    console.print(_table(cells, console.width))


_GAP = 2
_NUMBERS = {"turns", "speedup", "time"}
# What a narrow terminal has no room for goes in this order; a run's name and result never do.
_DISPENSABLE = ("began", "device", "turns", "problem", "state")
_STATE_CHARS = 20  # it ends in an ellipsis where there is no more room


def _table(rows: list[dict[str, str]], width: int) -> Table:
    """Return the runs as a table in which no name and no number is cut."""
    from rich.table import Table
    from rich.text import Text

    natural = {title: max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]}
    fitting = _that_fit(natural, width)
    table = Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0))
    for title, chars in fitting.items():
        justify: Literal["right", "left"] = "right" if title in _NUMBERS else "left"
        table.add_column(title, justify=justify, width=chars, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[title]) for title in fitting))
    return table


def _that_fit(natural: dict[str, int], width: int) -> dict[str, int]:
    """Return the columns there is room for, with their widths; the state takes what is left."""
    chars = natural | {"state": min(natural["state"], _STATE_CHARS)}
    for title in _DISPENSABLE:
        if sum(chars.values()) + _GAP * len(chars) > width:
            del chars[title]
    spare = width - sum(chars.values()) - _GAP * len(chars)
    if "state" in chars:
        chars["state"] = min(natural["state"], chars["state"] + spare)
    return chars


def _cells(row: RunRow) -> dict[str, str]:
    from refine_agent.cli.words import NOTHING, duration

    doubt = " ?" if row.doubtful or row.weak else ""
    return {
        "run": phrase(Path(row.folder).name),
        "problem": phrase(row.problem, chars=24),
        "began": time.strftime("%Y-%m-%d %H:%M", time.localtime(row.began)),
        "turns": str(row.turns),
        "speedup": f"{row.speedup:.2f}x{doubt}" if row.speedup is not None else NOTHING,
        "time": duration(row.best_us) if row.best_us is not None else NOTHING,
        "device": phrase(row.device or "not measured", chars=24),
        "state": phrase(row.stopped or "running, or cut short", chars=48),
    }


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


@click.command(short_help="Show what changed between two attempts.")
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


@click.command(short_help="Write a run, or several compared, as one HTML file.")
@click.argument("run", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: report.html in the run's folder; NAME.html here for a run that "
    "ships]",
)
@settings.runs_option
def report(run: tuple[str, ...], *, output: Path | None, runs: Path) -> None:
    """Write RUN, or a comparison of several, as one HTML file that needs no network."""
    from refine_agent.report import render

    folders = [find_run(each, runs) for each in run]
    text = render([Transcript.read(folder) for folder in folders])
    path = output or _place_for(folders)
    path.write_text(text, encoding="utf-8")
    click.echo(str(path))


def _place_for(folders: list[Path]) -> Path:
    """Return where a report goes that nobody named a place for: never among what is installed."""
    if len(folders) > 1:
        return Path("report.html")
    [folder] = folders
    if folder.resolve().parent == RECORDED.resolve():
        return Path(f"{folder.name}.html")
    return folder / "report.html"


@click.command(short_help="Write the best kernel, or turns for training.")
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
        click.echo(text.encode(), nl=False)  # a file's bytes, whatever the terminal speaks
        return
    output.write_text(text, encoding="utf-8")
    click.echo(str(output))

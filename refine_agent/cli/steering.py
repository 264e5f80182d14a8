"""``hint`` and ``mcp``: steering a run from outside the process that owns it.

Notes go through the run's inbox; tools for coding agents are `mcp`'s.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from refine_agent.cli import settings
from refine_agent.cli.finding import find_own_run
from refine_agent.legible import phrase
from refine_agent.records import Options

if TYPE_CHECKING:
    from refine_agent.transcript import Transcript


@click.command(short_help="Tell or steer a run from another terminal.")
@click.argument("run")
@click.argument("text", required=False)
@click.option(
    "--offer",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Put this kernel on the bench as the engineer's turn.",
)
@click.option("--veto", type=click.IntRange(min=1), help="Rule this attempt out; TEXT says why.")
@click.option("--back", type=click.IntRange(min=1), help="Go on from this attempt.")
@click.option("--stop", is_flag=True, help="Stop the run at its next boundary.")
@settings.runs_option
def hint(  # noqa: PLR0913 - one parameter for each thing a person can say
    run: str,
    text: str | None,
    *,
    offer: Path | None,
    veto: int | None,
    back: int | None,
    stop: bool,
    runs: Path,
) -> None:
    """Tell the model TEXT, or steer RUN otherwise, from another terminal.

    The run takes it up between two turns, or when it is resumed: a prompt that has gone out
    stays as it is, one that nobody has answered yet is written anew.
    """
    from refine_agent import inbox
    from refine_agent.kernel_file import read_candidate
    from refine_agent.transcript import Transcript

    folder, now = find_own_run(run, runs), time.time()
    known = Transcript.read(folder)
    notes: list[inbox.AnyNote] = []
    if veto is not None:
        if not text:
            raise click.UsageError('a veto needs a reason: hint RUN --veto N "why"')
        known.attempt(veto)
        notes.append(inbox.Veto(at=now, attempt=veto, reason=text))
    elif text:
        notes.append(inbox.Hint(at=now, text=text))
    if back is not None:
        known.attempt(back)
        notes.append(inbox.Back(at=now, attempt=back))
    if offer is not None:
        source = read_candidate(offer, known.problem)
        notes.append(inbox.Offer(at=now, source=source, idea=f"offered {offer.name}"))
    if stop:
        notes.append(inbox.Stop(at=now))
    if not notes:
        raise click.UsageError("say something: hint RUN TEXT, or --offer, --veto, --back, --stop")
    for note in notes:
        inbox.drop(folder, note)
    click.echo(f"{folder.name} {_when(known)}")


def _when(run: Transcript) -> str:
    """Say when a note is taken up, and which prompt is the first that knows of it."""
    from refine_agent.cli.words import MORE_TURNS
    from refine_agent.transcript import is_being_written

    turn = run.open_turn
    if is_being_written(run.folder):
        if turn is None:
            return "takes it up before its next turn"
        return f"takes it up once turn {turn} is over; the prompt of turn {turn} is out already"
    if run.stopped is not None and not run.stopped.resumable:
        return (
            f"is over ({phrase(run.stopped.reason)}) and takes it up when it goes on: "
            f"refine_agent resume {run.folder} --turns {run.model_turns + MORE_TURNS}"
        )
    return f"is not running and takes it up first when it goes on: refine_agent resume {run.folder}"


@click.command(short_help="Serve judge and profiler to a coding agent, over MCP.")
@click.argument("problem", type=click.Path(path_type=Path))
@settings.bench_options
@settings.runs_option
def mcp(problem: Path, **given: Any) -> None:  # noqa: ANN401 - what click parsed
    """Serve PROBLEM's judge and profiler to a coding agent, as MCP tools over stdio.

    PROBLEM is a reference file, or the folder of a run to go on with, as it was begun.
    """
    from refine_agent.mcp import open_session, serve
    from refine_agent.transcript import EVENTS

    if (problem / EVENTS).is_file():
        _refuse_bench_options(problem)
    serve(open_session(problem, options=settings.options_from(given), runs=given["runs"]))


def _refuse_bench_options(run: Path) -> None:
    """Refuse what would change how a run judges: its attempts would no longer be comparable.

    Defaults of the folder and of the environment do not reach a run that goes on.
    """
    context = click.get_current_context()
    given = [
        _as_typed(option, context.params[option.name])
        for option in context.command.params
        if option.name in Options.__struct_fields__
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: {run} goes on with the options it was begun with; leave "
            f"{'them' if len(given) > 1 else 'it'} out, or begin a new run on its problem's file"
        )


def _as_typed(option: click.Parameter, value: object) -> str:
    """Return an option as it was written: a switch by the name that turns it the way it is."""
    names = option.opts if value is not False else option.secondary_opts
    return names[0]

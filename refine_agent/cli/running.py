"""``optimize`` and ``resume``: a run from its first prompt to its closing table.

The turns are the session's; here they are paced, shown, interrupted and turned into an exit code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refine_agent.cli import faults, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.cli.drive import Look, Outcome
    from refine_agent.problem import Refused
    from refine_agent.records import Problem
    from refine_agent.session import Session

_engineer_options = settings.together(
    click.option("--pair", is_flag=True, help="Ask the engineer after every turn."),
    click.option(
        "--watch",
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        help="Judge this file as the engineer's turn whenever it is saved. With --turns 0 nothing "
        "but saves is waited for.",
    ),
)


@click.command(short_help="Refine a kernel for a problem, or for a folder of them.")
@click.argument("problem", type=click.Path(path_type=Path))
@settings.model_options
@settings.budget_options(turns=8)
@settings.bench_options
@click.option(
    "--start",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Begin with this kernel, judged as the engineer's turn.",
)
@_engineer_options
@settings.runs_option
@settings.json_option
def optimize(problem: Path, **given: Any) -> int:  # noqa: ANN401 - what click parsed
    """Refine a kernel for PROBLEM, a PyTorch reference file, or for every one in a folder.

    Without --model the answers come from the model that the environment's keys supply; without
    keys from a recording that ships for this very problem, and the first line says so.
    """
    from refine_agent.problem import load, load_all

    look = _look(given)
    if not problem.is_dir():
        return _optimize_one(load(problem), given, look).code
    problems = load_all(problem)
    outcomes = list(_one_after_another(problems, given, look))
    look.summary(outcomes, problems=len(problems))
    return max(outcomes, key=lambda outcome: outcome.severity).code


def _one_after_another(
    problems: list[Problem | Refused], given: dict[str, Any], look: Look
) -> Iterator[Outcome]:
    """Refine one problem after the other; only Ctrl-C keeps a later one from its turn."""
    from refine_agent.cli.drive import Outcome
    from refine_agent.problem import Refused
    from refine_agent.session import SessionError

    for problem in problems:
        look.screen.say("")
        if isinstance(problem, Refused):
            look.screen.say(problem.why)
            yield Outcome(problem=problem.name, code=faults.USAGE)
            continue
        try:
            outcome = _optimize_one(problem, given, look)
        except SessionError as why:
            look.screen.say(f"{problem.name}: {why}")
            outcome = Outcome(problem=problem.name, code=faults.USAGE)
        yield outcome
        if outcome.code == faults.INTERRUPTED:
            return


def _optimize_one(problem: Problem, given: dict[str, Any], look: Look) -> Outcome:
    from refine_agent.cli.drive import Drive
    from refine_agent.session import Session

    session = Session.start(
        problem,
        model=given["model"],
        options=settings.options_from(given),
        runs=given["runs"],
        watch=look.watch,
    )
    drive = Drive(session, look, pair=given["pair"], saves=given["watch"])
    try:
        return drive.run(given["start"])
    finally:
        drive.session.close()


@click.command(short_help="Go on with a run where it stands.")
@click.argument("run")
@click.option("--model", help="Let this model answer from here on.")
@settings.budget_options(turns=None)
@_engineer_options
@settings.runs_option
@settings.json_option
def resume(run: str, **given: Any) -> int:  # noqa: ANN401 - what click parsed
    """Go on with RUN where it stands: a folder, a run's name, or `last`.

    No turn is lost and no reply that arrived is asked for again. Limits given here replace the
    run's own, and count from its beginning.
    """
    from refine_agent.cli.drive import Drive
    from refine_agent.cli.finding import find_own_run
    from refine_agent.session import Session

    look = _look(given)
    session = Session.open(find_own_run(run, given["runs"]), watch=look.watch)
    drive = Drive(session, look, pair=given["pair"], saves=given["watch"])
    try:
        _change(session, given)
        return drive.run().code
    finally:
        drive.session.close()


def _change(session: Session, given: dict[str, Any]) -> None:
    names = {
        "turns": "turns",
        "target": "target",
        "budget_usd": "usd",
        "minutes": "minutes",
        "patience": "patience",
        "samples": "samples",
        "model": "model",
    }
    wanted = {ours: given[flag] for flag, ours in names.items() if given[flag] is not None}
    if wanted:
        session.change(**wanted)


def _look(given: dict[str, Any]) -> Look:
    from refine_agent.cli.drive import Look

    return Look(as_json=given["as_json"])

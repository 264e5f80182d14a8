"""``evaluate``, ``profile``, ``doctor`` and ``cache``: the bench without a model.

The verdicts and pages are the bench's; here they are shown and turned into exit codes.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from refine_agent.cli import faults, settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refine_agent.cli.screen import EventLines, Screen
    from refine_agent.loop import Bench, Watch
    from refine_agent.profiling.records import Page
    from refine_agent.records import AnyVerdict, Candidate, Problem, Setup

_file = click.Path(dir_okay=False, path_type=Path)
REPORT_SUFFIX = ".ncu-rep"
_MIB = 1 << 20
_COMMANDLINE = click.core.ParameterSource.COMMANDLINE


@click.command(short_help="Judge one kernel on a problem, without a model.")
@click.argument("problem", type=_file)
@click.argument("candidate", type=_file)
@click.option(
    "--seal", is_flag=True, help="Also rebuild with torch's own headers and judge afresh."
)
@settings.setting(
    "--target",
    type=settings.POSITIVE,
    help="Also require that its whole 95 % interval reaches this speedup over the faster of eager "
    "and torch.compile.",
)
@settings.bench_options
@settings.json_option
def evaluate(
    problem: Path,
    candidate: Path,
    *,
    seal: bool,
    target: float | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - what click parsed
) -> int:
    """Judge one CANDIDATE file on PROBLEM; no model is asked.

    Leaves with 0 when it is right and meets the target, where there is one; else with 1.
    """
    from refine_agent.cli.drive import code_of_verdict
    from refine_agent.cli.words import standing
    from refine_agent.records import Passed

    subject = _load(problem)
    kernel = _kernel(candidate, subject)
    watch = _watch(as_json=as_json)
    with _opened(subject, given) as bench:
        setup = bench.measure(subject, watch)
        verdict = _judged(bench, kernel, watch)
        page = bench.profile(kernel, verdict, watch) if isinstance(verdict, Passed) else None
        if seal and isinstance(verdict, Passed):
            verdict = bench.seal(kernel, watch)
    _close(watch)
    _show(subject, setup, verdict, page, as_json=as_json)
    if isinstance(verdict, Passed) and not as_json:
        for said in standing(verdict.speedup, target):
            click.echo(said)
    return code_of_verdict(verdict, weak=setup.fitness.weak, target=target)


@click.command(short_help="Print the profile page of a problem, a kernel or a report.")
@click.argument("subject", metavar="PROBLEM|REPORT.ncu-rep", type=_file)
@click.argument("candidate", type=_file, required=False)
@click.option(
    "--nvtx",
    metavar="RANGE",
    help="Take only the launches of a report inside this NVTX range, named as for ncu's "
    "--nvtx-include: step/ if pushed, step if started.",
)
@settings.bench_options
@settings.json_option
def profile(
    subject: Path,
    candidate: Path | None,
    *,
    nvtx: str | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - what click parsed
) -> int:
    """Print the profile page of a PROBLEM's reference, of a CANDIDATE, or of an existing report.

    A report of Nsight Compute is read on any machine; no GPU is needed.
    """
    if subject.suffix == REPORT_SUFFIX:
        from refine_agent.profiling.summary import read_report_page

        _refuse_for_a_report(given, candidate)
        _show_page(read_report_page(subject, nvtx=nvtx), as_json=as_json)
        return 0
    if nvtx is not None:
        raise click.UsageError(f"--nvtx chooses launches of a report; {subject} is a problem")
    if given["profile"] == "off":
        raise click.UsageError("--profile off leaves no page to print; evaluate judges without one")
    from refine_agent.records import Passed

    problem = _load(subject)
    kernel = _kernel(candidate, problem) if candidate is not None else _reference(problem)
    watch = _watch(as_json=as_json)
    with _opened(problem, given) as bench:
        setup = bench.measure(problem, watch)
        verdict = _judged(bench, kernel, watch)
        page = bench.profile(kernel, verdict, watch) if isinstance(verdict, Passed) else None
    _close(watch)
    if page is None:
        _show(problem, setup, verdict, None, as_json=as_json)
        return faults.FINISHED_WITHOUT
    _show_page(page, as_json=as_json)
    return 0


def _refuse_for_a_report(given: Mapping[str, Any], candidate: Path | None) -> None:
    """Refuse what only means something where a kernel is run."""
    context = click.get_current_context()
    if candidate is not None:
        raise click.UsageError(
            f"a report is read as it was recorded and nothing is run; leave out {candidate}"
        )
    said = [name for name in given if context.get_parameter_source(name) is _COMMANDLINE]
    flags = [
        "/".join((*one.opts, *one.secondary_opts))
        for one in context.command.params
        if one.name in said
    ]
    if flags:
        raise click.UsageError(
            f"a report is read as it was recorded and nothing is run; leave out {', '.join(flags)}"
        )


@click.command(short_help="Say what works on this machine, and what to do about the rest.")
@settings.json_option
def doctor(*, as_json: bool) -> int:
    """Say what works here (compiler, GPU, counters, model, fence) and what to do about the rest."""
    import msgspec

    from refine_agent.bench import doctor as examine

    works = True
    for check in examine():
        works = works and check.ok is not False
        if as_json:
            click.echo(msgspec.json.encode(check))
            continue
        mark = {True: "ok", False: "no", None: "--"}[check.ok]
        click.echo(f"{mark}  {check.name:<18} {check.found}")
        if check.advice:
            click.echo(f"    {'':<18} → {check.advice}")
    return 0 if works else faults.MACHINE


@click.command(short_help="Show what finished builds take up, or remove them.")
@click.option("--clear", is_flag=True, help="Empty it.")
def cache(*, clear: bool) -> None:
    """Show where finished builds are kept and how much room they take, or empty that.

    It keeps itself below 4 GiB; REFINE_AGENT_CACHE names another folder.
    """
    from refine_agent.bench.machine import cache_folder
    from refine_agent.builder.store import Store

    store = Store(cache_folder())
    size = store.clear() if clear else store.size_bytes()
    click.echo(f"{store.root}: {size / _MIB:,.1f} MiB {'removed' if clear else 'in use'}")


@contextmanager
def _opened(problem: Problem, given: dict[str, Any]) -> Iterator[Bench]:
    from refine_agent.bench import LocalBench

    with (
        TemporaryDirectory(prefix="refine_agent-") as folder,
        LocalBench(problem, settings.options_from(given), Path(folder)) as bench,
    ):
        yield bench


def _judged(bench: Bench, kernel: Candidate, watch: Watch) -> AnyVerdict:
    watch.phase("build")
    return bench.build(kernel, watch) or bench.judge(kernel, watch)


def _load(path: Path) -> Problem:
    from refine_agent.problem import load

    return load(path)


def _kernel(path: Path, problem: Problem) -> Candidate:
    from refine_agent.kernel_file import read_candidate
    from refine_agent.records import Candidate

    return Candidate(source=read_candidate(path, problem), author="engineer")


def _reference(problem: Problem) -> Candidate:
    """The reference itself, put forward as a candidate: what there is to gain, and where."""
    from refine_agent.records import Candidate

    return Candidate(source=f"{problem.source.rstrip()}\n\n\nModelNew = Model\n", author="engineer")


def _watch(*, as_json: bool) -> Screen | EventLines:
    from refine_agent.cli.screen import EventLines, Screen, console_for

    screen = Screen(console_for(stderr=True))
    return EventLines(screen) if as_json else screen


def _close(watch: Screen | EventLines) -> None:
    from refine_agent.cli.screen import EventLines

    (watch.screen if isinstance(watch, EventLines) else watch).close()


def _show(
    problem: Problem, setup: Setup, verdict: AnyVerdict, page: Page | None, *, as_json: bool
) -> None:
    import msgspec

    from refine_agent.cli.pages import verdict_lines
    from refine_agent.cli.words import setup_lines

    if as_json:
        found = {"event": "evaluated", "setup": setup, "verdict": verdict, "page": page}
        click.echo(msgspec.json.encode(found))
        return
    click.echo("\n".join([*setup_lines(problem, setup), "", *verdict_lines(verdict)]))
    if page is not None:
        click.echo("")
        _show_page(page, as_json=False)


def _show_page(page: Page, *, as_json: bool) -> None:
    import msgspec

    from refine_agent.legible import legible

    click.echo(msgspec.json.encode(page) if as_json else legible(page.text()))

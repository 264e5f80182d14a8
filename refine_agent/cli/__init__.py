"""The command line: the commands, their exit codes, and the only modules that print.

What the commands do is `session`'s and the bench's; a command imports what it needs when it runs,
so that --help and looking at runs stay instant.
"""

from __future__ import annotations

import os
import sys
import threading
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from refine_agent import __version__
from refine_agent.cli.faults import (
    DONE,
    INTERRUPTED,
    exit_code_of,
    sentence_of,
    write_to_nobody,
)
from refine_agent.cli.judging import cache, doctor, evaluate, profile
from refine_agent.cli.looking import diff, export, report, show
from refine_agent.cli.running import optimize, resume
from refine_agent.cli.settings import read_settings
from refine_agent.cli.steering import hint, mcp

__all__ = ["cli", "leave", "main"]

EXIT_CODES = """\b
Exit codes:
  0    finished with a right kernel, sealed; where --target was set, the whole
       95 % interval of its speedup meets it
  1    finished without
  2    usage, or a bad problem file
  3    the machine is at fault
  4    the model failed for good
  5    the run waits for an answer; go on with `resume`
  130  interrupted; go on with `resume`"""


class Commands(click.Group):
    """The commands; where nobody reads on, as after `| head`, they end in silence."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command; click itself would call a reader that left a failure."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            write_to_nobody()
            return DONE
        return result


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.version_option(__version__, package_name="refine-agent")
@click.pass_context
def cli(context: click.Context) -> None:
    """Refine a CUDA kernel against a PyTorch reference, one measured turn at a time.

    Defaults come from [tool.refine_agent] in the nearest pyproject.toml, then from variables
    REFINE_AGENT_*; options given here win.
    """
    context.default_map = read_settings(cli.commands)


for command in (
    optimize,
    resume,
    show,
    evaluate,
    profile,
    doctor,
    hint,
    diff,
    report,
    export,
    mcp,
    cache,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code; a fault is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # bars and dashes, where there is no UTF-8
    try:
        code = cli.main(args=arguments, prog_name="refine_agent", standalone_mode=False)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except Exception as fault:
        known = exit_code_of(fault)
        if known is None:
            raise
        click.echo(f"refine_agent: {sentence_of(fault)}", err=True)
        sys.exit(known)
    leave(code if isinstance(code, int) else 0)


def leave(code: int) -> NoReturn:
    """Leave; after Ctrl-C without waiting for replies that other threads still wait for."""
    if code == INTERRUPTED and threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

"""Options that several commands share, and where their defaults come from.

It turns flags, REFINE_AGENT_* variables and [tool.refine_agent] into `Options`; what they do is the
loop's, the author's and the bench's.
"""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from refine_agent.records import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

# A resumed run has options of its own, and defaults of the folder must not change it silently;
# where runs are looked for is the folder's affair.
_OF_RESUME = {"runs"}


def setting(*names: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401 - click's own
    """Declare an option that REFINE_AGENT_<NAME> sets too."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "REFINE_AGENT_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=False, **attributes)


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Apply several option declarations, in the order in which --help shall show them."""

    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


runs_option = setting(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("transcripts"),
    show_default=True,
    help="Folder in which runs are kept.",
)
json_option = setting(
    "--json", "as_json", is_flag=True, help="JSON lines on stdout; text for people on stderr."
)


def _device(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is no device; say cpu, cuda or cuda:N")
    return value


class Positive(click.FloatRange):
    """A number above 0; nan and inf, which would be above every limit or none, are no numbers."""

    name = "number"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's own
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number, or say what is wrong with it."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not finite", param, ctx)
        return number


POSITIVE = Positive(min=0, min_open=True)

model_options = together(
    setting(
        "--model",
        help="A litellm model, recorded:RUN, script:DIR or manual.  [default: what the "
        "environment's keys or a shipped recording supply]",
    ),
    setting("--api-base", help="Base URL of an OpenAI-compatible server."),
    setting(
        "--fallback-model",
        "fallback_models",
        multiple=True,
        help="Model to ask when the first fails for good; may be repeated.",
    ),
    setting("--temperature", type=click.FloatRange(0, 2), help="Sampling temperature."),
    setting("--max-tokens", type=click.IntRange(min=256), help="Longest reply, in tokens."),
    setting("--reasoning-effort", help="Reasoning effort, as the provider names it."),
    setting(
        "--context-tokens",
        type=click.IntRange(min=2048),
        help="Keep prompts below this many tokens.  [default: the model's window]",
    ),
)
bench_options = together(
    setting(
        "--device",
        callback=lambda _context, _option, value: _device(value),
        help="cpu, cuda or cuda:N.  [default: cuda where there is one]",
    ),
    setting(
        "--profile",
        type=click.Choice(["auto", "ncu", "torch", "static", "off"]),
        default="auto",
        show_default=True,
        help="How deep to profile; auto goes as far as the machine lets it.",
    ),
    setting(
        "--require-sandbox", is_flag=True, help="Refuse to run candidates without a full fence."
    ),
    setting(
        "--sanitize/--no-sanitize",
        default=True,
        help="Run compute-sanitizer on CUDA crashes and before sealing.  [default: yes]",
    ),
    setting(
        "--authored-only",
        is_flag=True,
        help="Disqualify kernels that leave the work to libraries or compilers.",
    ),
    setting(
        "--compile-baseline/--no-compile-baseline",
        default=True,
        help="Hold candidates against torch.compile too.  [default: yes]",
    ),
    setting(
        "--autotune-baseline/--no-autotune-baseline",
        default=False,
        help="Also measure torch.compile with max-autotune.  [default: no]",
    ),
)


def budget_options(*, turns: int | None) -> Callable[[F], F]:
    """Declare the limits; ``turns`` is the default number of them."""
    option = setting if turns is not None else _plain
    return together(
        option(
            "--turns",
            type=click.IntRange(min=0),
            default=turns,
            show_default=turns is not None,
            help="Model turns to take in all.",
        ),
        option(
            "--target",
            type=POSITIVE,
            help="Stop once a sealed kernel's whole 95 % interval reaches this speedup over the "
            "faster of eager and torch.compile.",
        ),
        option("--budget-usd", type=POSITIVE, help="Stop when the replies cost this much."),
        option("--minutes", type=POSITIVE, help="Stop after this many minutes of turns."),
        option(
            "--patience",
            type=click.IntRange(min=1),
            help="Stop after this many turns without a better kernel.",
        ),
        option(
            "--samples",
            type=click.IntRange(1, 32),
            default=1 if turns is not None else None,
            show_default=turns is not None,
            help="Replies to ask for in each turn.",
        ),
    )


def _plain(*names: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401 - click's own
    return click.option(*names, **attributes)


_LIMITS = {
    "turns": "turns",
    "target": "target",
    "budget_usd": "usd",
    "minutes": "minutes",
    "patience": "patience",
}


def options_from(given: Mapping[str, Any]) -> Options:
    """Return what the flags ask for, as the run will record it."""
    budget = {ours: given[flag] for flag, ours in _LIMITS.items() if flag in given}
    others = {name: given[name] for name in Options.__struct_fields__ if name in given}
    return msgspec.convert({"budget": budget, **others}, Options)


def read_settings(commands: Mapping[str, click.Command]) -> dict[str, dict[str, Any]]:
    """Return [tool.refine_agent] of the nearest pyproject.toml as defaults for each command."""
    path = _nearest_pyproject(Path.cwd())
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise click.UsageError(f"{path} cannot be read: {why}") from None
    found = table.get("refine_agent", {})
    if not isinstance(found, dict):
        raise click.UsageError(f"{path}: tool.refine_agent must be a table")
    return _by_command(path, {str(k).replace("-", "_"): v for k, v in found.items()}, commands)


def _by_command(
    path: Path, found: dict[str, Any], commands: Mapping[str, click.Command]
) -> dict[str, dict[str, Any]]:
    optimize = _spellings(commands["optimize"])
    unknown = sorted(found.keys() - optimize.keys())
    if unknown:
        raise click.UsageError(
            f"{path}: [tool.refine_agent] has no setting {', '.join(unknown)}; "
            f"known are {', '.join(sorted(optimize))}"
        )
    defaults = {}
    for name, command in commands.items():
        known = _spellings(command)
        if name == "resume":
            known = {key: value for key, value in known.items() if key in _OF_RESUME}
        defaults[name] = {known[key]: value for key, value in found.items() if key in known}
    return defaults


def _spellings(command: click.Command) -> dict[str, str]:
    """Return the names under which a command's options can be set, with click's own for each."""
    return {
        spelling.removeprefix("--").replace("-", "_"): parameter.name or ""
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for spelling in parameter.opts
        if spelling.startswith("--")
    }


def _nearest_pyproject(folder: Path) -> Path | None:
    paths = (each / "pyproject.toml" for each in (folder, *folder.parents))
    return next((path for path in paths if path.is_file()), None)

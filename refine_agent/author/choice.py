"""Who answers when nobody was named: a model whose key is at hand, else a recording that ships.

It owns the order in which they are tried; opening them is `open_author`'s business. Nothing here
imports litellm, so that asking costs nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from refine_agent.author.recording import SHIPPED
from refine_agent.transcript import Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refine_agent.records import Problem

DeviceKind = Literal["cpu", "cuda"]

# Names the model outright, whatever keys there are.
MODEL_VARIABLE = "REFINE_AGENT_MODEL"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Whose key lies in which variable, and the model it buys unless another is named."""

    variable: str
    model: str


# In this order. Each writes CUDA well for its price; any other is a matter of `--model`.
PROVIDERS = (
    Provider(variable="ANTHROPIC_API_KEY", model="anthropic/claude-opus-5"),
    Provider(variable="OPENAI_API_KEY", model="openai/gpt-5.5"),
    Provider(variable="GEMINI_API_KEY", model="gemini/gemini-3.1-pro-preview"),
    Provider(variable="XAI_API_KEY", model="xai/grok-4.6"),
    Provider(variable="MOONSHOT_API_KEY", model="moonshot/kimi-k3"),
    Provider(variable="DEEPSEEK_API_KEY", model="deepseek/deepseek-reasoner"),
    Provider(variable="MISTRAL_API_KEY", model="mistral/mistral-large-latest"),
)


def default_model(problem: Problem, *, device: str | None = None) -> str | None:
    """Return who answers when no ``--model`` is given, or ``None`` where there is no one.

    First what ``REFINE_AGENT_MODEL`` names, then the model of the first provider whose key is in
    the environment (`PROVIDERS`), then a recording that ships for this very problem and a device
    of this kind. ``device`` is the one asked for ("cpu", "cuda", "cuda:1"); by default CUDA where
    the driver is there.
    """
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return named
    keyed = next((p.model for p in PROVIDERS if os.environ.get(p.variable)), None)
    if keyed is not None:
        return keyed
    return next(_recordings_of(problem, _kind_of(device)), None)


def why_no_model(problem: Problem, *, device: str | None = None) -> str:
    """Return the one sentence that says how to come by a model for this problem."""
    keys = ", ".join(p.variable for p in PROVIDERS[:3])
    return (
        f"no recording of {problem.name!r} for {_kind_of(device)} ships, and no key is in the "
        f"environment: set {keys} or another provider's key, name a model with --model (any that "
        "litellm knows) or a server with --api-base, or answer yourself with --model manual"
    )


def _recordings_of(problem: Problem, kind: DeviceKind) -> Iterator[str]:
    for folder in runs_in(SHIPPED):
        run = Transcript.read(folder)
        measured = run.setup
        if (
            run.problem.digest == problem.digest
            and measured is not None
            and measured.environment.device_kind == kind
        ):
            yield f"recorded:{folder.name}"


def _kind_of(device: str | None, *, environment: Mapping[str, str] = os.environ) -> DeviceKind:
    if device is not None:
        return "cuda" if device.startswith("cuda") else "cpu"
    hidden = environment.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    # The driver makes this file; asking torch would import it.
    return "cuda" if Path("/dev/nvidiactl").exists() and not hidden else "cpu"

"""Whoever answers a prompt: a model behind litellm, a recording, a folder of answers, a person.

It owns opening the right one for a `--model` and choosing one where none is named; what the answer
is worth is found out by the loop and the bench.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent.author.choice import default_model, why_no_model
from refine_agent.author.faults import AuthorFault
from refine_agent.author.recording import Recorded, find_recording
from refine_agent.author.written import Manual, Scripted

if TYPE_CHECKING:
    from refine_agent.loop import Author
    from refine_agent.records import Options
    from refine_agent.transcript import Transcript

__all__ = ["AuthorFault", "default_model", "open_author", "why_no_model"]

# What callers and exit codes name is where the class is imported from, not where it is written.
AuthorFault.__module__ = __name__


def open_author(
    model: str,
    *,
    options: Options,
    transcript: Transcript | None = None,
    fallback_models: tuple[str, ...] | None = None,
    api_base: str | None = None,
) -> Author:
    """Open whoever answers under the name ``model``.

    Args:
        model: ``recorded:RUN`` (a run's folder, or the name of a recording that ships),
            ``script:DIR``, ``manual``, or the name of any model litellm knows.
        options: how the run was asked for; tokens, temperature and effort are taken from here.
        transcript: the run being answered; it tells which turn it is, and writes shorter prompts.
        fallback_models: litellm models to try in turn when ``model`` fails; the options' if absent.
        api_base: an OpenAI-compatible server's address; the options' if absent.

    Raises:
        AuthorFault: the name, the key or the recording is not there.
    """
    scheme, _, rest = model.partition(":")
    if scheme == "recorded":
        return Recorded(find_recording(rest), name=model, transcript=transcript)
    if scheme == "script":
        return Scripted.open(rest, transcript=transcript)
    if model == "manual":
        return Manual(transcript)
    # Importing litellm takes seconds; recordings and people do not need it.
    from refine_agent.author.model import open_model  # noqa: PLC0415

    others = options.fallback_models if fallback_models is None else fallback_models
    return open_model(
        (model, *others),
        options=options,
        transcript=transcript,
        api_base=api_base or options.api_base,
    )

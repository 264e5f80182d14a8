"""The next prompt, as a pure function of the transcript: the same run always asks the same.

It owns rendering, how long a prompt may be and what it is called; what is said is in `templates/`,
what it is about in `scene`, and who answers is the author's business.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from refine_agent.prompts.lines import against, quoted
from refine_agent.prompts.quoting import fenced, one_line, said
from refine_agent.prompts.scene import NotMeasuredError, Scene, judged, look, own_page, rooms
from refine_agent.prompts.shape import Difference, differences, shape_of
from refine_agent.records import Message, Prompt, digest_of, headline

if TYPE_CHECKING:
    from collections.abc import Iterable

    import jinja2

    from refine_agent.profiling.records import Page
    from refine_agent.records import Attempt, Options, Ratio, Timing
    from refine_agent.transcript import Transcript

__all__ = [
    "Difference",
    "NotMeasuredError",
    "as_markdown",
    "differences",
    "prompt_of",
    "render",
    "render_template",
    "tokens_in",
]

TEMPLATES = Path(__file__).parent.parent / "templates"
SUFFIX = ".md.j2"
# What a reply may take when nobody says: a long kernel and the thinking before it.
REPLY_TOKENS = 32_000
# Byte-pair tokenizers make 3 to 4.5 characters of English and of code into a token; four is the
# usual rule, and every use of the estimate leaves room for its being a quarter off.
CHARS_PER_TOKEN = 4


def render(transcript: Transcript, *, room_tokens: int | None = None) -> Prompt:
    """Return the prompt for the next turn, within ``room_tokens`` as far as that can be.

    Bodies of old kernels go first, then long logs, the end of the page and the general advice; the
    reference, the kernel to revise and the line per attempt always stay. Tokens are estimated as a
    quarter of the characters. Raises ``NotMeasuredError`` where the bench has not set up yet.
    """
    scene = look(transcript)
    room = room_tokens or _room(transcript.options)
    prompt = None
    for size in rooms(scene):
        prompt = prompt_of(_messages(replace(scene, room=size)))
        if room is None or tokens_in(prompt.messages) <= room:
            return prompt
    assert prompt is not None  # noqa: S101 - there is always a smallest room
    return prompt


def prompt_of(messages: tuple[Message, ...]) -> Prompt:
    """Return messages as a prompt, with its digest and its shape."""
    digest = digest_of(msgspec.json.encode(messages).decode())
    return Prompt(messages=messages, digest=digest, shape=shape_of(messages))


def tokens_in(messages: Iterable[Message]) -> int:
    """Return an estimate of the tokens in messages: a quarter of their characters."""
    return sum(math.ceil(len(message.content) / CHARS_PER_TOKEN) for message in messages)


def as_markdown(prompt: Prompt) -> str:
    """Return a prompt as one text for people and files."""
    parts = (f"<!-- {message.role} -->\n\n{message.content}" for message in prompt.messages)
    return f"<!-- prompt {prompt.digest} -->\n\n" + "\n\n".join(parts) + "\n"


def render_template(name: str, scene: Scene, *, attempt: Attempt | None = None) -> str:
    """Return one template, filled in; ``attempt`` is what `verdict` is about."""
    text = _environment().get_template(name + SUFFIX).render(it=scene, attempt=attempt)
    return text.strip() + "\n"


def _messages(scene: Scene) -> tuple[Message, ...]:
    """Return the stable text first, so that a provider's prompt cache hits from turn two on."""
    turn = "next_turn" if scene.attempts else "first_turn"
    return (
        Message(role="system", content=render_template("system", scene)),
        Message(role="user", content=render_template(turn, scene)),
    )


def _room(options: Options) -> int | None:
    """Return the tokens a prompt may take of the context window the run was given."""
    if options.context_tokens is None:
        return None
    reply = options.max_tokens or REPLY_TOKENS
    return max(options.context_tokens - reply, options.context_tokens // 2)


# --- what templates may call ---------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - reading a transcript needs no templates

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the reader is a model; fences quote what is not ours
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        against=against,
        fenced=fenced,
        headline=headline,
        judged=judged,
        kind=_kind,
        line=one_line,
        number=_number,
        own_page=own_page,
        worsened=_worsened,
        quoted=quoted,
        ratio=_ratio,
        said=said,
        timing=_timing,
        waits=_waits,
    )
    return environment


def _waits(page: Page, most: int) -> list[str]:
    """Return the lines of a page that tell what its warps wait for and where, the first few."""
    return [line for line in page.lines if line.startswith(("STALLS", "HOT"))][:most]


# Worse time is why a try failed, and says nothing of its cause.
_NO_CAUSE = {"time_us", "floor_ratio", "bound_ratio"}
_MOST_CAUSES = 3


def _worsened(attempts: Iterable[Attempt], *, parent: int) -> list[str]:
    """Return what got worse in every profiled attempt that was made from one parent."""
    pages = [
        page
        for attempt in attempts
        if attempt.candidate is not None
        and attempt.candidate.parent == parent
        and (page := own_page(attempt)) is not None
    ]
    if len(pages) < 2:  # noqa: PLR2004 - one try has nothing in common with itself
        return []
    worse = [
        {one.metric: one for one in page.changed if one.direction == "worse"} for page in pages
    ]
    common = [key for key in worse[0] if key not in _NO_CAUSE and all(key in one for one in worse)]
    return [
        f"`{key}` {_number(worse[0][key].before)} -> "
        f"{', '.join(_number(one[key].after) for one in worse)} {worse[0][key].unit}"
        for key in common[:_MOST_CAUSES]
    ]


def _kind(verdict: msgspec.Struct) -> str:
    return str(verdict.__struct_config__.tag)


def _number(value: float) -> str:
    """Return a number with as many digits as its size deserves."""
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - where floats stop being exact
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - digits


def _timing(timing: Timing) -> str:
    return (
        f"{timing.median_us:,.1f} µs "
        f"(95 % interval {timing.low_us:,.1f} to {timing.high_us:,.1f}, {timing.samples} samples)"
    )


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.value:.2f}x (95 % interval {ratio.low:.2f} to {ratio.high:.2f})"

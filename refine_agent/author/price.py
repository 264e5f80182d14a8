"""What a reply cost, in dollars: by prices the user gave, else by litellm's list, else unknown.

It owns the arithmetic over a provider's own token counts; what is spent in all is the transcript's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent.author.faults import AuthorFault

if TYPE_CHECKING:
    from refine_agent.records import Usage

# JSON, or the path of a file of it: {"openai/NAME": {"input": 3.0, "cached": 0.3, "output": 15.0}}
PRICING_VARIABLE = "REFINE_AGENT_PRICING"
_FORM = '{"MODEL": {"input": 3.0, "cached": 0.3, "output": 15.0}}, in dollars per million tokens'


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per million tokens; cached input costs as much as other input unless said."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Usage) -> float | None:
        """Return the dollars of one reply, or ``None`` where the tokens were not counted."""
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        cached = usage.cached_tokens or 0
        cached_price = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - cached
        dollars = fresh * self.input + cached * cached_price + usage.output_tokens * self.output
        return dollars / 1e6


def given_prices() -> dict[str, Price]:
    """Return the prices in ``REFINE_AGENT_PRICING`` by model; none where it is not set."""
    given = os.environ.get(PRICING_VARIABLE, "").strip()
    if not given:
        return {}
    try:
        content = given if given.startswith("{") else Path(given).read_text(encoding="utf-8")
        return msgspec.json.decode(content, type=dict[str, Price])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as why:
        raise AuthorFault(
            f"{PRICING_VARIABLE} holds no prices ({why}); give JSON or the path of a file of it: "
            f"{_FORM}"
        ) from None

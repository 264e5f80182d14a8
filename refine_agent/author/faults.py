"""The fault of an author, and how it is said without giving a key away.

It owns the exception and the masking of what a provider said; which failures are faults and which
are tried again is the authors' business.
"""

from __future__ import annotations

import re

from refine_agent.prompts.quoting import one_line
from refine_agent.transcript import mask

SAID_CHARS = 240

# What providers' keys look like, even half hidden: sk-…, sk-ant-…, gsk_…, xai-…, AIza…, hf_…
_KEY = re.compile(
    r"(?i:\bbearer\s+\S+)|\b(?:sk|gsk|xai|pk|hf|key|r8|nvapi|AIza)[-_]?[A-Za-z0-9_*-]{8,}"
    r"|\b[A-Za-z0-9+/_-]{40,}={0,2}"
)


class AuthorFault(Exception):  # noqa: N818 - a fault of whoever answers, in the field's word
    """No answer can be had; the message names the cause and the next step in one sentence."""


def without_keys(text: str) -> str:
    """Return what somebody said on one line, with everything masked that may be a key."""
    return one_line(_KEY.sub("[key]", str(mask(text))), SAID_CHARS)

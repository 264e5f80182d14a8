"""Of which machine a picture speaks, where a run was copied and went on elsewhere.

Roofs, baselines and floors are one machine's: the one on which the best kernel was judged or
sealed. Where an attempt is drawn is left to the pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent.legible import phrase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refine_agent.records import Attempt
    from refine_agent.transcript import Transcript

MOST_NUMBERS = 6
DEVICE_CHARS = 60


def shown_device(transcript: Transcript) -> str | None:
    """Return the device whose roofs and baselines a picture shows."""
    setup = transcript.setup_of_best
    return setup.environment.device if setup is not None else None


def of_shown(transcript: Transcript, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return those attempts that were judged on the device whose roofs and baselines are shown."""
    device = shown_device(transcript)
    return [attempt for attempt in attempts if transcript.device_of(attempt.number) == device]


def elsewhere(transcript: Transcript) -> str | None:
    """Say which attempts were judged on other devices; ``None`` where all were on the shown one."""
    others: dict[str, list[int]] = {}
    for attempt in _of_others(transcript):
        device = transcript.device_of(attempt.number) or "an unknown device"
        others.setdefault(device, []).append(attempt.number)
    found = [f"{named(numbers)} on {phrase(device)}" for device, numbers in others.items()]
    return "; ".join(found) or None


def of_one_machine(transcript: Transcript, *, what: str, fate: str) -> str:
    """Say whose ``what`` are shown and the ``fate`` of the rest; empty with a single machine."""
    others = [attempt.number for attempt in _of_others(transcript)]
    if not others:
        return ""
    device = phrase(shown_device(transcript) or "unknown", chars=DEVICE_CHARS)
    return f"{what} of {device}; {named(others)} {fate}"


def named(numbers: Iterable[int]) -> str:
    """Return attempts by their numbers, or how many they are where that is shorter."""
    known = list(numbers)
    if len(known) > MOST_NUMBERS:
        return f"{len(known)} attempts from {known[0]} to {known[-1]}"
    return f"attempt{'s' if len(known) > 1 else ''} {', '.join(map(str, known))}"


def _of_others(transcript: Transcript) -> list[Attempt]:
    """Return the judged attempts of other devices; one that waits belongs to none yet."""
    judged = [attempt for attempt in transcript.attempts if attempt.verdict is not None]
    here = {attempt.number for attempt in of_shown(transcript, judged)}
    return [attempt for attempt in judged if attempt.number not in here]

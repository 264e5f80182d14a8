"""kill -9 after every event a run writes, then resume: nothing is lost and nothing asked twice."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from refine_agent.inbox import Hint, Offer, drop
from refine_agent.records import (
    Budget,
    Hinted,
    Offered,
    Options,
    Passed,
    Problem,
    Replied,
    TurnClosed,
)
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source
from refine_agent.transcript import EVENTS, INBOX, Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refine_agent.records import AnyEvent

PROBLEM = Problem(name="scale", source="class Model: ...\n")
REPLIES = (
    kernel(speedup=1.2, idea="one"),
    "only words",
    kernel(says="does not build", idea="three"),
    kernel(speedup=1.8, idea="four"),
)
MINE = source(speedup=1.5)


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill leaves what was written; only a power cut needs it on the disk, and takes minutes."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


def start(runs: Path, *, samples: int = 1, target: float | None = None) -> Session:
    budget = Budget(turns=len(REPLIES) // samples, target=target)
    return Session.start(
        PROBLEM,
        options=Options(budget=budget, samples=samples),
        runs=runs,
        author=ScriptedAuthor(REPLIES),
        bench=ScriptedBench(),
    )


def played(session: Session) -> None:
    """Two turns, what an engineer drops into the inbox, and the rest."""
    session.run(turns=1)
    drop(session.transcript.folder, Hint(at=time.time(), text="use float4"))
    drop(session.transcript.folder, Offer(at=time.time(), source=MINE))
    session.run()


def resumed(folder: Path) -> Transcript:
    events = Transcript.read(folder).events
    arrived = {event.reply.text for event in events if isinstance(event, Replied)}
    due = [reply for reply in REPLIES if reply not in arrived]
    author = ScriptedAuthor(due)
    with Session.open(folder, author=author, bench=ScriptedBench()) as session:
        session.run()
        assert len(author.asked) == len(due)
    return Transcript.read(folder)


def killed_after(events: int, runs: Path, play: Callable[[Session], None], **how: int) -> Path:
    """Play in a process of its own that gets SIGKILL right after its n-th event is on the disk."""
    child = os.fork()
    if child == 0:
        _play_and_die(events, runs, play, **how)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    (folder,) = runs_in(runs)
    return folder


def _play_and_die(events: int, runs: Path, play: Callable[[Session], None], **how: int) -> None:
    try:
        session = start(runs, **how)

        def count(_event: AnyEvent) -> None:
            if len(session.transcript.events) >= events:
                os.kill(os.getpid(), signal.SIGKILL)

        session.transcript.listeners.append(count)
        play(session)
    finally:
        os._exit(1)


def length_of(tmp_path: Path, play: Callable[[Session], None], **how: int) -> int:
    with start(tmp_path / "whole", **how) as session:
        play(session)
        return len(session.transcript.events)


def test_a_run_killed_after_any_event_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    total = length_of(tmp_path, Session.run)  # type: ignore[arg-type]
    assert total > 20
    for events in range(2, total):
        folder = killed_after(events, tmp_path / f"at{events}", Session.run)  # type: ignore[arg-type]

        run = resumed(folder)

        assert [a.reply.text for a in run.attempts if a.reply] == list(REPLIES)
        assert [a.speedup for a in run.attempts] == [1.2, 0.0, 0.0, 1.8]
        assert run.open_turn is None
        assert run.best is not None
        assert isinstance(run.best.sealed, Passed)
        assert run.damaged == []


def test_no_note_of_the_engineers_is_lost_or_done_twice(tmp_path: Path) -> None:
    total = length_of(tmp_path, played)
    for events in range(8, total):
        folder = killed_after(events, tmp_path / f"at{events}", played)
        if not (folder / INBOX).exists():
            continue  # killed before the engineer said anything

        run = resumed(folder)

        said = [event for event in run.events if isinstance(event, Hinted)]
        offered = [event for event in run.events if isinstance(event, Offered)]
        assert len(said) <= 1
        assert len(offered) <= 1
        assert list((folder / INBOX).glob("*.json")) == []
        mine = [attempt.speedup for attempt in run.attempts if attempt.author == "engineer"]
        assert mine == [1.5] * len(offered)


def test_of_samples_asked_side_by_side_those_that_arrived_are_kept(tmp_path: Path) -> None:
    total = length_of(tmp_path, Session.run, samples=2)  # type: ignore[arg-type]
    for events in range(2, total):
        folder = killed_after(events, tmp_path / f"at{events}", Session.run, samples=2)  # type: ignore[arg-type]

        run = resumed(folder)

        assert sorted(a.reply.text for a in run.attempts if a.reply) == sorted(REPLIES)
        assert [len(turn.attempts) for turn in run.turns] == [2, 2]


@pytest.mark.parametrize("left", [0.1, 0.5, 0.99])
def test_a_last_line_that_was_half_written_is_written_again(tmp_path: Path, left: float) -> None:
    total = length_of(tmp_path, Session.run)  # type: ignore[arg-type]
    for events in range(3, total):
        folder = killed_after(events, tmp_path / f"at{events}", Session.run)  # type: ignore[arg-type]
        lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
        half = lines[-1][: max(1, int(len(lines[-1]) * left))]
        (folder / EVENTS).write_bytes(b"".join(lines[:-1]) + half)

        run = resumed(folder)

        assert [a.speedup for a in run.attempts] == [1.2, 0.0, 0.0, 1.8]
        assert sum(isinstance(event, TurnClosed) for event in run.events) == len(REPLIES)
        assert run.damaged == []

"""The command line's own pacing over stand-ins, as a process of its own: what the tests drive.

python play.py RUNS [--pair] [--json] [--turns N] [--target X] [--slow S] [--watch FILE] [--model M]
python play.py RUN --resume ...
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from refine_agent.author import AuthorFault
from refine_agent.cli import leave
from refine_agent.cli.drive import Drive, Look
from refine_agent.loop import BenchFault, NoAnswer
from refine_agent.records import Budget, Options, Problem, Replied, Reply
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel
from refine_agent.transcript import Transcript

if TYPE_CHECKING:
    from refine_agent.loop import Watch
    from refine_agent.records import Prompt

REPLIES = (
    kernel(speedup=1.2, idea="one pass over memory"),
    "Let me think.",
    kernel(says="does not build", idea="vector loads"),
    kernel(speedup=1.8, idea="rows in registers"),
    kernel(speedup=1.5, idea="two rows a block"),
    kernel(speedup=2.5, idea="streaming stores"),
)
FAULTS = {
    "no-answer": NoAnswer("answer 3 is not in the folder"),
    "model": AuthorFault("the key was refused; set OPENAI_API_KEY"),
    "machine": BenchFault("no CUDA driver answers; run `refine_agent doctor`"),
}


class Slow(ScriptedAuthor):
    """An author who takes their time, piece by piece."""

    seconds = 0.0

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Answer after a while."""
        print("asked", attempt, file=sys.stderr, flush=True)  # noqa: T201 - the tests wait for it
        time.sleep(self.seconds)
        return super().ask(prompt, attempt=attempt, watch=watch)


def main() -> int:
    """Play what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--target", type=float)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--watch", type=Path)
    parser.add_argument("--fault", choices=sorted(FAULTS))
    given = parser.parse_args()

    look = Look(as_json=given.json)
    bench = ScriptedBench([FAULTS["machine"]] if given.fault == "machine" else ())
    if given.resume:
        events = Transcript.read(given.folder).events
        answered = sum(isinstance(event, Replied) for event in events)
        session = Session.open(
            given.folder, author=author_of(given, answered), bench=bench, watch=look.watch
        )
    else:
        session = Session.start(
            Problem(name="scale", source="class Model: ...\n"),
            model=given.model,
            options=Options(
                budget=Budget(turns=given.turns, target=given.target), samples=given.samples
            ),
            runs=given.folder,
            author=author_of(given, 0),
            bench=bench,
            watch=look.watch,
        )
    drive = Drive(session, look, pair=given.pair, saves=given.watch)
    try:
        return drive.run(given.start).code
    finally:
        drive.session.close()


def author_of(given: argparse.Namespace, answered: int) -> Slow:
    """Return an author who goes on where the run stands, and may fail at its third answer."""
    replies: list[str | BaseException] = list(REPLIES[answered:])
    if given.fault in {"no-answer", "model"}:
        replies = [*REPLIES[answered:2], FAULTS[given.fault]]
    author = Slow(replies)
    author.seconds = given.slow
    return author


if __name__ == "__main__":
    leave(main())

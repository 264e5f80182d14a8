"""Questions prepared for a candidate's trial while its compiler runs, on a core that it leaves.

It owns drawing, answering and keying nominal questions between the moment a candidate's source is
known and its trial; what is asked there, and in which order, is ``examiner``'s.

A seed is drawn after the source is known, and never leaves the judge: the build cannot change the
source any more, so what is prepared is as fresh as what is drawn in the trial. Nothing is prepared
for a source that is not there yet, nor kept for another.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from refine_agent.judge import cases
from refine_agent.judge.examiner import NOMINALS

if TYPE_CHECKING:
    from refine_agent.judge.examiner import Key, Question
    from refine_agent.judge.trial import House

# What is prepared lies in memory until it is asked: so much of it, and so much of what is free.
MOST_QUESTIONS, MOST_BYTES, FREE_PART = 64, 2 << 30, 1 / 8
# The check needs the keys to its nominal questions; one in float64 makes about this many times as
# much of a question.
WITH_KEY = 3
# The compiler goes first wherever both want a core.
POLITE = 10


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    question: Question
    key: Key | None  # of those that a check will ask

    @property
    def total_bytes(self) -> int:
        """What it takes of memory."""
        exact = self.key.exact if self.key is not None else []
        tensors: list[Any] = [*self.question.tensors, *self.question.expected, *exact]
        return sum(tensor.nbytes for tensor in tensors)


class Ahead:
    """What is ready for the next trial."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._source: str | None = None
        self._model: torch.nn.Module | None = None
        self._ready: list[_Prepared] = []
        self._asked: list[_Prepared] = []
        self._on_trial = False
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, source: str) -> None:
        """Prepare for a source until told to rest; on a GPU a draw takes no time worth saving."""
        if self._house.kind != "cpu":
            return
        self._join()
        if source != self._source:
            self._ready, self._source = [], source
        self._model = self._house.reference.model
        self._enough.clear()
        cores, started = torch.get_num_threads(), threading.Event()
        self._thread = threading.Thread(
            target=self._prepare, args=(max(1, cores // 2), started), daemon=True, name="ahead"
        )
        self._thread.start()
        started.wait()
        # OpenMP's count is each thread's own; what else torch set for all is put back.
        torch.set_num_threads(cores)

    def rest(self) -> None:
        """Prepare no more; what is under way is finished, for it will be asked."""
        self._enough.set()

    def open(self, source: str) -> None:
        """Let a trial ask what was prepared for its source."""
        self._join()
        self._on_trial = source == self._source

    def close(self) -> None:
        """Forget what a trial did not ask."""
        if self._on_trial:
            self._ready, self._asked, self._source, self._on_trial = [], [], None, False

    def take(self) -> Question | None:
        """Return a question that nobody was asked, if there is one for this trial and model."""
        if not self._on_trial or not self._ready or self._model is not self._house.reference.model:
            return None
        prepared = self._ready.pop(0)
        if prepared.key is not None:
            self._asked.append(prepared)
        return prepared.question

    def key(self, question: Question) -> Key | None:
        """Return the key to a question that was taken, if it was prepared as well."""
        for number, prepared in enumerate(self._asked):
            if prepared.question is question:
                return self._asked.pop(number).key
        return None

    def _join(self) -> None:
        self.rest()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _prepare(self, cores: int, started: threading.Event) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), POLITE)
            torch.set_num_threads(cores)
        finally:
            started.set()
        keyed = max(NOMINALS, self._house.cadence.calls)
        room = min(MOST_BYTES, int(_free_bytes() * FREE_PART))
        while len(self._ready) < MOST_QUESTIONS and not self._enough.is_set():
            wanted = len(self._ready) < keyed
            taken = sum(each.total_bytes for each in self._ready)
            if taken + self._house.layout.slot_bytes * (WITH_KEY if wanted else 1) > room:
                return
            question = self._house.draw(cases.NOMINAL)
            wanted = wanted and not self._enough.is_set()
            key = self._house.find_key(question) if wanted else None
            self._ready.append(_Prepared(question=question, key=key))


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

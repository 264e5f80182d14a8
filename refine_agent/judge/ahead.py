"""Questions prepared for a candidate's trial while its compiler runs, on a core that it leaves.

It owns drawing, answering and keying questions between the moment a candidate's source is known and
its trial; what is asked there, and in which order, is ``examiner``'s.

A seed is drawn after the source is known, and never leaves the judge: the build cannot change the
source any more, so what is prepared is as fresh as what is drawn in the trial. Nothing is prepared
for a source that is not there yet, nor kept for another.
"""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from refine_agent.judge import cases
from refine_agent.judge.examiner import NOMINALS
from refine_agent.judge.reference import ProblemFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.judge.cases import Case
    from refine_agent.judge.examiner import Key, Question
    from refine_agent.judge.trial import House

# What is prepared lies in memory until it is asked: so much of it, and so much of what is free.
MOST_QUESTIONS, MOST_BYTES, FREE_PART = 64, 3 << 30, 1 / 6
# The check needs the keys to its questions; one in float64 makes about this many times as much of
# a question.
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
        self._stresses: list[Case] = []  # as they are prepared, and a check asks them first
        self._ready: list[_Prepared] = []
        self._asked: list[_Prepared] = []
        self._on_trial = False
        self._sealed = False
        self._enough = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, source: str, *, sealed: bool = False) -> None:
        """Prepare for a source until told to rest; on a GPU a draw takes no time worth saving."""
        if self._house.kind != "cpu":
            return
        self.finish()
        if source != self._source:
            self._ready, self._source = [], source
            self._stresses = self._shuffled()
        self._sealed = sealed
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

    def finish(self) -> None:
        """Prepare no more, and wait until nobody draws numbers, or reads the parameters, but us."""
        self.rest()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def open(self, source: str) -> None:
        """Let a trial ask what was prepared for its source; what is under way ends meanwhile."""
        self.rest()
        self._on_trial = source == self._source

    def close(self) -> None:
        """Forget what a trial did not ask."""
        self.finish()
        if self._on_trial:
            self._ready, self._asked, self._source, self._on_trial = [], [], None, False

    def stresses(self) -> list[Case]:
        """Return the stresses in an order drawn for this trial: what is prepared comes first."""
        return list(self._stresses) if self._on_trial else self._shuffled()

    def take(self, case: Case) -> Question | None:
        """Return a question that nobody was asked, if there is one for this trial and model."""
        if threading.current_thread() is self._thread:
            return None  # what is prepared may need others of its kind, and those are drawn
        if not self._on_trial or self._model is not self._house.reference.model:
            return None
        self.finish()
        for number, prepared in enumerate(self._ready):
            if prepared.question.case is case:
                del self._ready[number]
                if prepared.key is not None:
                    self._asked.append(prepared)
                return prepared.question
        return None

    def key(self, question: Question) -> Key | None:
        """Return the key to a question that was taken, if it was prepared as well."""
        for number, prepared in enumerate(self._asked):
            if prepared.question is question:
                return self._asked.pop(number).key
        return None

    def _prepare(self, cores: int, started: threading.Event) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), POLITE)
            torch.set_num_threads(cores)
        finally:
            started.set()
        room = min(MOST_BYTES, int(_free_bytes() * FREE_PART))
        for case, keyed in self._wanted():
            taken = sum(each.total_bytes for each in self._ready)
            needed = self._house.layout.slot_bytes * (WITH_KEY if keyed else 1)
            if self._enough.is_set() or taken + needed > room:
                return
            self._prepare_one(case, keyed=keyed)

    def _wanted(self) -> Iterator[tuple[Case, bool]]:
        """Yield what a trial will ask, in the order in which it is missed most, and if with a key.

        What is looked at quickly needs none: an honest answer is as near to the reference's as can
        be.
        """
        nominal = max(NOMINALS, self._house.cadence.calls)
        stresses = self._stresses[: None if self._sealed else self._house.most_stresses]
        exactly = self._house.compares_exactly(sealed=self._sealed)
        checked = [(cases.NOMINAL, True)] + [(cases.NOMINAL, exactly)] * (nominal - 1)
        checked += [(case, exactly) for case in stresses]
        yield from checked[len(self._ready) :]
        while len(self._ready) < MOST_QUESTIONS:
            yield cases.NOMINAL, False

    def _prepare_one(self, case: Case, *, keyed: bool) -> None:
        try:
            question = self._house.draw(case)
        except ProblemFault:
            if case is cases.NOMINAL:
                raise
            return  # these happen to lie outside of the reference's domain
        keyed = keyed and not self._enough.is_set()
        key = self._house.find_key(question) if keyed else None
        if case is not cases.NOMINAL and keyed and key is None:
            return  # on such inputs the reference itself is lost
        self._ready.append(_Prepared(question=question, key=key))

    def _shuffled(self) -> list[Case]:
        stresses = self._house.stresses
        random.SystemRandom().shuffle(stresses)
        return stresses


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

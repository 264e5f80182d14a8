"""What this machine does while the model thinks: rebuild the best kernel with torch's own headers.

It owns when that begins, and that it ends before anything else does: beside what is timed, nothing
of another candidate's may run. What was built lies in the cache, where a seal finds it; what was
not is begun again at the next wait.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Self

from refine_agent import wire
from refine_agent.loop import BenchFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from refine_agent.bench.processes import Worker

# An answer that comes sooner, as a recorded one does, is not worth a process.
PATIENCE_S = 1.0


class Meanwhile:
    """Has a worker of its own do something between a block's beginning and its end."""

    def __init__(
        self,
        spawn: Callable[[], Worker],
        work: Callable[[Worker], None],
        end: Callable[[Worker], None],
    ) -> None:
        self._spawn, self._work, self._end = spawn, work, end
        self._over = threading.Event()
        self._spawning = threading.Lock()
        self._worker: Worker | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="meanwhile")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._spawning:
            worker = self._worker
        if worker is not None:
            with contextlib.suppress(BenchFault):  # whoever needs the machine next says so
                self._end(worker)
        self._thread.join()

    def _run(self) -> None:
        if self._over.wait(PATIENCE_S):
            return
        # What goes wrong here goes wrong again where it is asked for, and is told there.
        with contextlib.suppress(BenchFault, wire.Broken, OSError):
            with self._spawning:
                if self._over.is_set():
                    return
                self._worker = self._spawn()
            self._work(self._worker)

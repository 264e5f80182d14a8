"""What this machine does while the model thinks: rebuild the best kernel with torch's own headers.

It owns when that begins, and that it ends before anything else does: beside what is timed, nothing
of another candidate's may run. What was built lies in the cache, where a seal finds it; what was
not is begun again at the next wait.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from refine_agent import wire
from refine_agent.loop import BenchFault, aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refine_agent.bench.processes import Worker

# An answer that comes sooner, as a recorded one does, is not worth a process.
PATIENCE_S = 1.0


@contextlib.contextmanager
def meanwhile(
    spawn: Callable[[], Worker], work: Callable[[Worker], None], end: Callable[[Worker], None]
) -> Iterator[None]:
    """Have a worker of its own do something between the block's beginning and its end."""
    over, spawning = threading.Event(), threading.Lock()
    workers: list[Worker] = []

    def run() -> None:
        if over.wait(PATIENCE_S):
            return
        # What goes wrong here goes wrong again where it is asked for, and is told there.
        with contextlib.suppress(BenchFault, wire.Broken, OSError):
            with spawning:
                if over.is_set():
                    return
                workers.append(spawn())
            work(workers[0])

    doing = aside(run)
    try:
        yield
    finally:
        over.set()
        with spawning, contextlib.suppress(BenchFault):  # whoever needs the machine next says so
            for worker in workers:
                end(worker)
        doing.result()

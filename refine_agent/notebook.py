"""A run in a notebook: one output per cell that redraws itself while turns run.

It owns when to redraw; what is drawn is the report's, and what happens is the session's. Nothing
here needs widgets or script, so that a saved notebook shows the same to whoever opens it.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from refine_agent import report
from refine_agent.records import (
    Failed,
    Judged,
    Measured,
    Profiled,
    Sealed,
    Stopped,
    TurnClosed,
)

if TYPE_CHECKING:
    from refine_agent.records import AnyEvent
    from refine_agent.session import Session

# A reply streams hundreds of pieces a second; redrawing for each would only slow it down.
EVERY_SECONDS = 0.5
_SHOWN = (Measured, Judged, Profiled, Sealed, TurnClosed, Stopped, Failed)


class Cell(Protocol):
    """An output that can be drawn again."""

    def update(self, picture: Any) -> None:  # noqa: ANN401 - whatever IPython can show
        """Replace what is shown."""


class Live:
    """A watch that draws the run below the cell that is running.

    Give it to a session with ``live(session)``; outside a notebook it draws nothing.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._phase: str | None = None
        self._since = time.monotonic()
        self._characters = 0
        self._drawn = 0.0
        self._cell: Cell | None = None
        self._execution: int | None = None

    def phase(self, name: str) -> None:
        """Show which phase runs now."""
        self._phase, self._since, self._characters = name, time.monotonic(), 0
        self.draw()

    def text(self, piece: str) -> None:
        """Show how much of a reply has arrived."""
        self._characters += len(piece)
        if time.monotonic() - self._drawn >= EVERY_SECONDS:
            self.draw()

    def heard(self, event: AnyEvent) -> None:
        """Show what was recorded."""
        if isinstance(event, Measured | Sealed | TurnClosed | Stopped):
            self._phase = None
        if isinstance(event, _SHOWN):
            self.draw()

    def draw(self) -> None:
        """Draw the run as it stands: once per cell, then again in the same place."""
        shell = _shell()
        if shell is None:
            return
        from IPython.display import HTML, display  # noqa: PLC0415 - only notebooks have it

        self._drawn = time.monotonic()
        picture = HTML(self._picture())
        if self._cell is None or self._execution != shell.execution_count:
            self._execution = shell.execution_count
            self._cell = display(picture, display_id=True)
        else:
            self._cell.update(picture)

    def _picture(self) -> str:
        doing = report.Doing(
            phase=self._phase,
            seconds=time.monotonic() - self._since,
            characters=self._characters,
        )
        return report.live_html(self._session.transcript, doing)


def live(session: Session) -> Session:
    """Draw the session below each cell that takes a turn, while it runs; return the session."""
    watch = Live(session)
    session.watch = watch
    session.transcript.listeners.append(watch.heard)
    return session


def _shell() -> Any:  # noqa: ANN401 - IPython's own
    """Return IPython's shell if this is a notebook, without importing IPython elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if shell is not None and hasattr(shell, "kernel") else None

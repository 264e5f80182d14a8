"""Take the README's pictures of a report: ``python docs/pictures/shoot.py [RUN ...]``.

Without RUN it takes the recorded session that ships: a GPU's before a CPU's, the longest of them.
Only measured runs are pictured. Needs a Chromium; what the pictures show is the report's business.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from docs.pictures.browser import Browser, browser  # noqa: E402 - the path is set above
from refine_agent.records import Passed  # noqa: E402 - see above
from refine_agent.report import render  # noqa: E402 - see above
from refine_agent.transcript import Transcript, runs_in  # noqa: E402 - see above

DESKTOP, PHONE = 1100, 390


def main() -> None:
    """Render the report and save each picture beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(render(_runs(sys.argv[1:])), encoding="utf-8")
        _shoot(page)


def _runs(named: list[str]) -> list[Transcript]:
    if named:
        return [Transcript.read(Path(name)) for name in named]
    folders = (ROOT / "transcripts" / "recorded", ROOT / "examples" / "pairing" / "recorded")
    recorded = [Transcript.read(path) for folder in folders for path in runs_in(folder)]
    return [max(recorded, key=lambda run: (_on_gpu(run), _is_beyond_doubt(run), len(run.attempts)))]


def _on_gpu(run: Transcript) -> bool:
    return run.setup is not None and run.setup.environment.device_kind == "cuda"


def _is_beyond_doubt(run: Transcript) -> bool:
    sealed = run.best.sealed if run.best is not None else None
    return isinstance(sealed, Passed) and not sealed.suspicions


def _shoot(page: Path) -> None:
    with browser() as tab:
        for dark in (False, True):
            scheme = "-dark" if dark else ""
            tab.look(page, width=DESKTOP, dark=dark, script=False)
            _save(tab, f"report{scheme}.png", height=1240)
        _save(tab, "attempt-dark.png", element=".attempt.best", height=1000)
        tab.look(page, width=PHONE, script=False)
        _save(tab, "phone.png", height=1500)
        if tab.problems:
            raise SystemExit(f"the page is not self-contained: {tab.problems}")


def _save(tab: Browser, name: str, *, element: str | None = None, height: int) -> None:
    tab.shoot(HERE / name, element=element, height=height)
    print(HERE / name)


if __name__ == "__main__":
    main()

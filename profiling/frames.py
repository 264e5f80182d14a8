"""Pages as a tidy pandas table for notebooks: one row per shape, kernel and metric.

pandas is loaded when a frame is asked for; the numbers are those of the pages.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from refine_agent.profiling.records import Page

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("candidate", "device", "shape", "rung", "kernel", "metric", "value", "unit", "ceiling")


def frame(pages: Page | Iterable[Page]) -> "pd.DataFrame":
    """Return the metrics of pages, one row each, with the columns `COLUMNS`.

    `kernel` is "(call)" for numbers of the whole call; `ceiling` is NaN where there is none.
    """
    import pandas as pd  # noqa: PLC0415  (0.4 s: only notebooks need it)

    every = (pages,) if isinstance(pages, Page) else pages
    rows = [
        (
            page.candidate_digest,
            page.device,
            page.shape,
            page.rung,
            metric.kernel or "(call)",
            metric.key,
            metric.value,
            metric.unit,
            metric.ceiling,
        )
        for page in every
        for metric in page.metrics
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"ceiling": "float64"})

"""Runs as pandas frames: attempts, metrics, seconds, and a table of many runs.

It owns the columns' types and nothing else; what the rows say is `rows`' business, and a plot of
them is the reader's.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from refine_agent import rows
from refine_agent.transcript import Transcript, TranscriptError, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pandas import DataFrame

R = TypeVar("R", bound=msgspec.Struct)
LARGEST = 2**63 - 1

# pandas' own missing values: a frame of a run without a single profile has the same types as any.
_DTYPES = {
    "str": "string",
    "str | None": "string",
    "int": "int64",
    "int | None": "Int64",
    "float": "float64",
    "float | None": "float64",
    "bool": "bool",
}


def turns(transcripts: Transcript | Iterable[Transcript]) -> DataFrame:
    """Return one row per attempt: verdict, microseconds, ratios with intervals, cost, grade."""
    return _frame(rows.AttemptRow, _of_each(transcripts, rows.attempts))


def metrics(transcripts: Transcript | Iterable[Transcript]) -> DataFrame:
    """Return the numbers of every page, tidy: run, turn, attempt, kernel, metric, value, unit."""
    return _frame(rows.MetricRow, _of_each(transcripts, rows.metrics))


def ledger(transcripts: Transcript | Iterable[Transcript]) -> DataFrame:
    """Return the seconds of every turn by phase."""
    return _frame(rows.PhaseRow, _of_each(transcripts, rows.ledger))


def runs(folder: Path | str) -> DataFrame:
    """Return one row per run below ``folder``, oldest first.

    Folders that hold no readable run are left out and named in ``frame.attrs["unreadable"]``.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that readers of one run need not wait

    found: list[rows.RunRow] = []
    unreadable: list[str] = []
    for path in runs_in(Path(folder)):
        try:
            found.append(_checked(rows.run(Transcript.read(path, texts=False))))
        except (TranscriptError, OSError) as why:
            unreadable.append(f"{path.name}: {why}")
    frame = _frame(rows.RunRow, found)
    frame["began"] = pd.to_datetime(frame["began"], unit="s", utc=True).dt.tz_convert(UTC)
    frame.attrs["unreadable"] = unreadable
    return frame


def _of_each(
    transcripts: Transcript | Iterable[Transcript], read: Callable[[Transcript], Iterable[R]]
) -> Iterator[R]:
    every = (transcripts,) if isinstance(transcripts, Transcript) else transcripts
    return (row for transcript in every for row in read(transcript))


def _checked(row: R) -> R:
    """Return the row; raise ``TranscriptError`` where it holds what no column can."""
    for value in msgspec.structs.astuple(row):
        if isinstance(value, int) and abs(value) > LARGEST:
            raise TranscriptError(
                "it holds a whole number of more than 64 bits; no run of ours does"
            )
    return row


def _frame(row: type[msgspec.Struct], found: Iterable[msgspec.Struct]) -> DataFrame:
    import pandas as pd  # noqa: PLC0415 - see above

    columns = row.__struct_fields__
    frame = pd.DataFrame.from_records(
        [msgspec.structs.astuple(_checked(one)) for one in found], columns=list(columns)
    )
    return frame.astype({name: _DTYPES[_annotation(row, name)] for name in columns})


def _annotation(row: type[msgspec.Struct], name: str) -> str:
    return str(row.__annotations__[name])

"""A profile page as a report shows it: findings, what changed, kernels, every number.

The numbers and their order are the profile's; words in them that a candidate chose are cleaned.
"""
# Factors and gaps are written as people write them.
# ruff: noqa: RUF001

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from refine_agent.charts.svg import number
from refine_agent.legible import legible, phrase
from refine_agent.profiling.metrics import BY_KEY
from refine_agent.records import Record
from refine_agent.views.words import Fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.profiling.records import Change, Finding, Metric, Page

PAGE_CHARS = 24_000


class MetricRow(Record, frozen=True, kw_only=True):
    """One number of a page with its unit, its ceiling, and how near it is (0 to 100)."""

    key: str
    meaning: str
    value: str
    unit: str
    ceiling: str
    share_pct: float | None
    kernel: str


class PageView(Record, frozen=True, kw_only=True):
    """A profile page, most important first."""

    rung: str
    why_not_higher: str | None
    device: str
    shape: str
    kernels: tuple[Fact, ...]
    findings: tuple[Finding, ...]
    changes: tuple[Fact, ...]
    metrics: tuple[MetricRow, ...]
    text: str


def page_view(page: Page) -> PageView:
    """Gather a profile page."""
    return PageView(
        rung=page.rung,
        why_not_higher=phrase(page.why_not_higher, chars=400) if page.why_not_higher else None,
        device=phrase(page.device),
        shape=phrase(page.shape),
        kernels=tuple(_kernels(page)),
        findings=tuple(_finding(finding) for finding in page.findings[:20]),
        changes=tuple(changed(change) for change in page.changed[:12]),
        metrics=tuple(_metric(metric) for metric in page.metrics[:300]),
        text=legible(page.text(), chars=PAGE_CHARS),
    )


def changed(change: Change) -> Fact:
    """Return how a metric moved, named by whether that is better or worse."""
    return Fact(name=change.direction, value=phrase(change.text))


def _kernels(page: Page) -> Iterator[Fact]:
    for kernel in page.kernels[:12]:
        share = f"{kernel.share_pct:.0f} %" if kernel.share_pct is not None else "share n/a"
        time = f"{number(kernel.time_us)} µs" if kernel.time_us is not None else "time n/a"
        launch = f"{phrase(kernel.grid)} × {phrase(kernel.block)}"
        yield Fact(
            name=phrase(kernel.name),
            value=f"{share}, {time}, launched {kernel.launches} times as {launch}"
            if kernel.launches != 1
            else f"{share}, {time}, {launch}",
        )


def _finding(finding: Finding) -> Finding:
    return msgspec.structs.replace(
        finding,
        kind=phrase(finding.kind),
        severity=min(max(finding.severity, 0.0), 1.0),
        text=phrase(finding.text, chars=600),
        advice=phrase(finding.advice, chars=600),
        where=phrase(finding.where) if finding.where else None,
    )


def _metric(metric: Metric) -> MetricRow:
    known, ceiling = BY_KEY.get(metric.key), metric.ceiling
    near = None
    if ceiling is not None and ceiling > 0 and metric.unit in {"%", "GB/s", "TFLOP/s"}:
        near = min(100.0, max(0.0, 100 * metric.value / ceiling))
    return MetricRow(
        key=phrase(metric.key),
        meaning=known.meaning if known is not None else "",
        value=number(metric.value),
        unit=phrase(metric.unit),
        ceiling=number(ceiling) if ceiling is not None else "",
        share_pct=near,
        kernel=phrase(metric.kernel) if metric.kernel else "",
    )

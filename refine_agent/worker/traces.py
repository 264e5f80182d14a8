"""torch.profiler around a candidate, as rows of JSON for whoever digests them.

It owns running the profiler in the candidate's process; what the rows mean is profiling's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from refine_agent.profiling.trace import KernelRow, OperatorRow, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from refine_agent.profiling.processor import Tally

# More rows than any honest call has; the rest is counted, not listed.
MAX_ROWS = 400


def record(
    call: Callable[[], Any], *, calls: int, device: str, processor: Tally | None = None
) -> bytes:
    """Run ``call`` under torch.profiler; return JSON of ``refine_agent.profiling.trace.Rows``.

    ``processor`` is what other calls took of the CPU, handed on with the rows.
    """
    cuda = device != "cpu"
    _synchronise(cuda=cuda)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, record_shapes=not cuda, acc_events=True) as seen:
        for _ in range(calls):
            call()
        _synchronise(cuda=cuda)
    rows = Rows(
        calls=calls,
        kernels=_kernels(seen, calls) if cuda else [],
        operators=[] if cuda else _operators(seen),
        processor=processor,
    )
    return msgspec.json.encode(rows)


def warm(device: str) -> None:
    """Start the profiler's machinery, which takes seconds the first time on a GPU."""
    record(lambda: torch.zeros(1, device=device) + 1, calls=1, device=device)


def _synchronise(*, cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


def _kernels(seen: profile, calls: int) -> list[KernelRow]:
    """Every kernel, copy and fill on the device, in time order, with the call it belongs to."""
    events = [e for e in seen.events() or [] if e.device_type == DeviceType.CUDA]
    events.sort(key=lambda event: event.time_range.start)
    per_call = max(1, len(events) // calls)
    return [
        KernelRow(
            name=event.name[:400],
            start_us=event.time_range.start,
            duration_us=event.time_range.elapsed_us(),
            call=min(number // per_call, calls - 1),
        )
        for number, event in enumerate(events[:MAX_ROWS])
    ]


def _operators(seen: profile) -> list[OperatorRow]:
    averages = seen.key_averages(group_by_input_shape=True)
    rows = sorted(averages, key=lambda row: -row.self_cpu_time_total)
    return [
        OperatorRow(
            name=row.key[:400],
            self_us=row.self_cpu_time_total,
            calls=row.count,
            shapes=str(row.input_shapes)[:200],
        )
        for row in rows[:MAX_ROWS]
    ]
